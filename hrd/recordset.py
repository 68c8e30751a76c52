"""Recording one's own set: face video beside a pulse oximeter, in UBFC-rPPG's layout.

This is the one place where hrd writes video to a disk. It does so only when asked to by
``hrd record-set``, into a folder that its user names.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from hrd.capture.source import FrameSource
from hrd.compare.live import DeviceRecorder
from hrd.devices.files import read_samples
from hrd.devices.sample import Device
from hrd.errors import HrdError
from hrd.face.detect import FaceDetector
from hrd.face.stage import FaceStage
from hrd.picture import to_rgb
from hrd.rate import FrameRateMeter
from hrd.types import Frame, RoiFrame

TICKS_HZ = 240
"""Frames lie in the file at multiples of 1/240 s: 2 ms is as far as their times are rounded."""

CHECK_S = 4.0
LEAST_FPS = 15.0
_LEAST_FACES = 0.8
_LEAST_WAVE_HZ = 20.0
_LEAST_COVER = 0.9
_DARK, _BRIGHT = 40.0, 235.0


@dataclass(frozen=True)
class Task:
    """A part of a set: its folder, and what the person is asked to do."""

    name: str
    asked: str


TASKS = (
    Task("still", "Sit still and look at the camera."),
    Task("talk", "Look at the camera and talk: read something aloud, or tell of your day."),
    Task("turn", "Turn your head slowly, left and right, up and down."),
    Task("stairs", "Climb stairs until you are out of breath, sit down, then go on at once."),
)


@dataclass(frozen=True)
class Checked:
    """What the camera check found; ``problem``: one sentence, if it will not do."""

    fps: float
    faces: float
    level: float
    problem: Optional[str] = None


def check_camera(source: FrameSource, detector: FaceDetector, seconds: float = CHECK_S) -> Checked:
    """Look through the camera for a few seconds: rate, light, and whether a face is there."""
    stage, meter = FaceStage(detector), FrameRateMeter()
    faces, count, levels = 0, 0, [0.0]
    for frame in _for(source, seconds):
        meter.push(frame.time_s)
        view = stage.push(frame)
        count += 1
        if isinstance(view, RoiFrame):
            faces += 1
            levels.append(float(view.crop.mean()))
    fps, share = meter.fps() or 0.0, faces / max(count, 1)
    level = float(np.median(levels[1:] or levels))
    problem = None
    if count == 0:
        problem = "the camera gives no picture"
    elif share < _LEAST_FACES:
        problem = "no face is seen well: sit in front of the camera, about an arm's length away"
    elif fps < LEAST_FPS:
        problem = f"the camera gives {fps:.0f} pictures a second only: turn on a light"
    elif not _DARK <= level <= _BRIGHT:
        problem = "the face is too dark" if level < _DARK else "the face is too bright"
        problem += ": change the light"
    return Checked(fps, share, level, problem)


def record_task(
    folder: Path,
    source: FrameSource,
    device: Device,
    seconds: float,
    on_frame: Callable[[float], object] = lambda passed_s: None,
    clock: Callable[[], float] = time.time,
) -> Path:
    """Record ``seconds`` of video and pulse wave into ``folder``, whole or not at all.

    ``vid.avi`` (MJPEG at its best quality), ``ground_truth.txt`` (rows of PPG, heart rate and
    time in s from the first frame: a number for every frame) and ``reference.csv`` (all that the
    device said, in Unix seconds). Raises ``HrdError`` where the device gives no pulse wave.
    """
    if folder.exists():
        raise HrdError(f"{folder} already exists; choose another name, or delete it first")
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    recorder = DeviceRecorder(device, unfinished / "reference.csv")
    recorder.start()
    try:
        recorder.begun.wait()
        times_s, unix_s = np.zeros(0), 0.0
        if recorder.error is None:
            times_s, unix_s = _write_video(unfinished / "vid.avi", source, seconds, on_frame, clock)
            _outlast(recorder, unix_s + float(times_s[-1]) if len(times_s) else 0.0, clock)
        recorder.finish()
        _write_truth(unfinished, times_s, unix_s, device.name)
        unfinished.rename(folder)
    except BaseException:
        recorder.error = None
        recorder.finish()
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


def _outlast(recorder: DeviceRecorder, end_s: float, clock: Callable[[], float]) -> None:
    """Wait, not long, until the device has told of the last frame's time."""
    limit_s = time.monotonic() + 1.0
    while recorder.is_alive() and time.monotonic() < limit_s:
        newest = recorder.newest
        if newest is not None and newest.time_s >= end_s:
            return
        recorder.join(0.05)


def _for(source: FrameSource, seconds: float) -> Iterator[Frame]:
    first_s: Optional[float] = None
    for frame in source:
        first_s = frame.time_s if first_s is None else first_s
        if frame.time_s - first_s > seconds:
            return
        yield frame


def _write_video(
    path: Path,
    source: FrameSource,
    seconds: float,
    on_frame: Callable[[float], object],
    clock: Callable[[], float],
) -> Tuple[np.ndarray, float]:
    """Times of the frames, from the first one on, as they lie in the file; and its Unix time."""
    import av

    ticks: List[int] = []
    first_s = 0.0
    offsets_s: List[float] = []
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=TICKS_HZ, options={"qmin": "2", "qmax": "2"})
        stream.pix_fmt = "yuvj444p"
        for frame in _for(source, seconds):
            offsets_s.append(clock() - frame.time_s)
            image = to_rgb(frame)
            if not ticks:
                first_s = frame.time_s
                stream.height, stream.width = image.shape[:2]
            tick = round((frame.time_s - first_s) * TICKS_HZ)
            if ticks and tick <= ticks[-1]:
                continue
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = tick, Fraction(1, TICKS_HZ)
            for packet in stream.encode(picture):
                container.mux(packet)
            ticks.append(tick)
            on_frame(frame.time_s - first_s)
        if ticks:
            for packet in stream.encode(None):
                container.mux(packet)
    if len(ticks) < 2:
        raise HrdError("the camera gave no pictures; look whether another program uses it")
    # a frame is never here before it was taken: the smallest difference has the least delay in it
    return np.array(ticks) / TICKS_HZ, first_s + min(offsets_s)


def _write_truth(folder: Path, times_s: np.ndarray, unix_s: float, device: str) -> None:
    samples = read_samples(folder / "reference.csv")
    wave = np.array([(one.time_s, one.wave) for one in samples if one.wave is not None], float)
    rates = np.array([(one.time_s, one.bpm) for one in samples if one.bpm is not None], float)
    at_s = unix_s + times_s
    seconds = float(at_s[-1] - at_s[0])
    if len(wave):
        wave = wave[(wave[:, 0] >= at_s[0] - 1.0) & (wave[:, 0] <= at_s[-1] + 1.0)]
    steps_s = np.diff(wave[:, 0]) if len(wave) > 1 else np.zeros(0)
    covered_s = float(steps_s[steps_s < 0.25].sum())
    if len(wave) < _LEAST_WAVE_HZ * seconds or covered_s < _LEAST_COVER * seconds:
        raise HrdError(
            f"{device} gave a pulse wave for {covered_s:.0f} of {seconds:.0f} s only, so nothing "
            "was kept; keep the finger still, and use an oximeter, not a strap"
        )
    ppg = np.interp(at_s, wave[:, 0], wave[:, 1])
    bpm = np.interp(at_s, rates[:, 0], rates[:, 1]) if len(rates) else np.zeros(len(at_s))
    np.savetxt(folder / "ground_truth.txt", np.stack([ppg, bpm, times_s]), fmt="%.7e")


def tasks_named(names: Sequence[str]) -> List[Task]:
    """Tasks by name. Raises ``HrdError`` for an unknown one."""
    known = {task.name: task for task in TASKS}
    for name in names:
        if name not in known:
            raise HrdError(f"there is no task {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names]
