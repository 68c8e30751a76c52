"""Data sets of simulated face video with their truth, in the layout of UBFC-rPPG's DATASET_2."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from hrd.capture.simulated import FACE, SimulatedConfig, SimulatedSource
from hrd.drawn_mark import MARK, RECIPE
from hrd.errors import HrdError
from hrd.sim.look import PULSE_OF_GROUP
from hrd.sim.motion import DIFFICULTIES

CODECS = {
    "mjpeg": ("yuvj444p", {"qmin": "2", "qmax": "2"}),
    "ffv1": ("bgr0", {"level": "3", "slices": "4"}),
}
"""MJPEG at its best quality (30 to 50 KB a frame at 640x480) or FFV1, lossless (230 to 310 KB)."""


def write_dataset(
    out_dir: Path,
    subjects: int,
    seconds: float,
    seed: int,
    *,
    bpm: Tuple[float, float] = (45.0, 160.0),
    motions: Sequence[str] = DIFFICULTIES,
    skins: Sequence[int] = (1, 2, 3, 4, 5, 6),
    fps: Sequence[float] = (30.0,),
    size: Tuple[int, int] = (640, 480),
    codec: str = "mjpeg",
    progress: Optional[Callable[[int], object]] = None,
) -> List[Path]:
    """Write ``subject1`` .. ``subjectN`` into ``out_dir`` and return their folders.

    Each holds ``vid.avi``, ``ground_truth.txt`` (three rows, one number per frame: PPG, heart rate
    in bpm, time in seconds; PPG rises with systole) and ``recipe.json`` (how it was drawn). Rates
    are spread evenly over the logarithm of ``bpm``; motions, skin groups and frame rates take
    turns. The same seed gives the same files. ``progress`` is called with the number of frames
    written since the last call. Raises ``HrdError`` where ``out_dir`` already holds a subject or
    cannot be written, and ``ValueError`` for invalid arguments.
    """
    if subjects < 1 or seconds <= 0:
        raise ValueError(f"{subjects} subjects of {seconds} s make no data set")
    if codec not in CODECS:
        raise ValueError(f"codec {codec!r} is not one of {', '.join(CODECS)}")
    out_dir = Path(out_dir)
    folders = []
    for number in range(1, subjects + 1):
        config = _subject(number, subjects, seconds, seed, bpm, motions, skins, fps, size)
        folder = out_dir / f"subject{number}"
        if folder.exists():
            raise HrdError(f"{folder} already exists; choose another folder or delete it first.")
        # written beside and renamed: what has its name is whole
        unfinished = out_dir / f".subject{number}.part"
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            _write_subject(unfinished, config, codec, progress)
            unfinished.rename(folder)
        except OSError as error:
            raise HrdError(f"{folder} cannot be written: {error.strerror or error}.") from error
        folders.append(folder)
    return folders


def _subject(
    number: int,
    subjects: int,
    seconds: float,
    seed: int,
    bpm: Tuple[float, float],
    motions: Sequence[str],
    skins: Sequence[int],
    fps: Sequence[float],
    size: Tuple[int, int],
) -> SimulatedConfig:
    rng = np.random.default_rng((seed, 41, number))
    # the skin group must not go in step with the motion
    skin = skins[((number - 1) + (number - 1) // len(skins)) % len(skins)]
    # across people the pulse differs by more than skin explains
    green_ac = 0.8 * PULSE_OF_GROUP[skin] * float(np.exp(rng.normal(0.0, 0.4)))
    # strata keep a small set from bunching; the golden ratio keeps order and rate apart
    place = ((number * 0.6180339887 + seed * 0.7548776662) % 1.0 + rng.uniform(0.0, 0.1)) % 1.0
    low, high = bpm
    motion = motions[(number - 1) % len(motions)]
    return SimulatedConfig(
        spec=f"simulated subject {number} of {subjects}, seed {seed}",
        bpm=float(low * (high / low) ** place),
        variability=float(rng.uniform(0.5, 2.0)),
        seconds=seconds,
        seed=int(rng.integers(1 << 31)),
        motion=motion,
        light=motion,
        skin=skin,
        fps=fps[(number - 1) % len(fps)],
        size=size,
        ac=green_ac,
        noise=float(rng.uniform(0.7, 2.0)),
    )


def _write_subject(
    folder: Path, config: SimulatedConfig, codec: str, progress: Optional[Callable[[int], object]]
) -> None:
    with SimulatedSource(config) as source:
        times_s = _write_video(folder / "vid.avi", source, codec, progress)
        heart = source.heart
        rows = np.stack([heart.bvp(times_s), heart.bpm(times_s), times_s])
        np.savetxt(folder / "ground_truth.txt", rows, fmt="%.7e")
        recipe: Dict[str, Any] = {
            "simulated": True,
            "seed": config.seed,
            "kind": FACE,
            "mean_bpm": float(rows[1].mean()),
            "bpm": config.bpm,
            "variability": config.variability,
            "motion": config.motion,
            "light": config.light,
            "skin_group": source.look.skin_group,
            "fps": config.fps,
            "frames": len(times_s),
            "size": list(config.size),
            "green_ac_percent": config.ac,
            "noise": config.noise,
            "codec": codec,
        }
    (folder / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")


def _write_video(
    path: Path, source: SimulatedSource, codec: str, progress: Optional[Callable[[int], object]]
) -> np.ndarray:
    """Write all frames; returns their times in seconds."""
    import av

    pixel_format, options = CODECS[codec]
    rate = Fraction(source.config.fps).limit_denominator(100_000)
    times_s = []
    with av.open(str(path), "w", format="avi") as container:
        container.metadata["comment"] = MARK
        stream = container.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height = source.config.size
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1
        for frame in source:
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts = frame.index
            picture.time_base = 1 / rate
            for packet in stream.encode(picture):
                container.mux(packet)
            times_s.append(frame.time_s)
            if progress is not None:
                progress(1)
        for packet in stream.encode(None):
            container.mux(packet)
    return np.array(times_s)
