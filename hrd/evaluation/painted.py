"""A real pulse on drawn faces: a measured colour trace painted onto skin that moves.

The trace of a person's mean facial colour, over its own mean, multiplies the skin's albedo of a
drawn face channel by channel; light, movement, camera and compression are simulated round it. The
reference is the finger clip that was worn with the trace: a real wave for a check without a real
video.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np

from hrd.evaluation.conditions import CONDITIONS, EASY, HARD, TYPICAL
from hrd.evaluation.drawn import (
    DrawnClip,
    as_recording,
    cache_folder,
    drawing_mark,
    follow,
    load_or_draw,
    meta_groups,
)
from hrd.evaluation.recording import DataError, Entry, Recording, Reference, checked_signal
from hrd.evaluation.sampling import sample_light, sample_motion
from hrd.sim.background import sample_background
from hrd.sim.face import Lighting, draw_face
from hrd.sim.framing import BOX_SIZE, KnowingDetector, lay_out
from hrd.sim.lens import CodecConfig, Sensor, SensorConfig
from hrd.sim.look import sample_look
from hrd.sim.pulse import Heart, HeartConfig
from hrd.sim.scene import FaceScene

VERSION = 1
FPS = 30.0
FIRST_SEED = 40_000

SKIN_GROUPS = (2, 4, 6)
MOTIONS = {"still": EASY, "moving": TYPICAL, "moving much": HARD}
"""Name of a way to move -> conditions of the test set that it is drawn from."""

_SAMPLE_S = 0.3
_SAMPLES = tuple((motion, k) for motion in MOTIONS for k in (0, 1))  # one per codec

_KEYS = ("rgb", "t", "bvp", "bvp_t")


@dataclass(frozen=True)
class Trace:
    """``rgb`` (N, 3) mean facial colour at ``time_s`` (N,), and the finger clip's reference."""

    rgb: np.ndarray
    time_s: np.ndarray
    reference: Reference
    sha256: str

    def relative(self, times_s: np.ndarray) -> np.ndarray:
        """(T, 3) colour over its mean at any times."""
        over = self.rgb / self.rgb.mean(axis=0)
        return np.stack([np.interp(times_s, self.time_s, over[:, c]) for c in range(3)], axis=1)


def load_trace(path: Path) -> Trace:
    """Read an npz of ``rgb`` (N, 3), ``t`` (N,) s, ``bvp`` (M,), ``bvp_t`` (M,) s.

    Raises ``DataError`` if it is not one.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file; give the .npz of a colour trace")
    try:
        with np.load(path) as stored:
            missing = [key for key in _KEYS if key not in stored.files]
            arrays = {key: stored[key] for key in _KEYS if key in stored.files}
    except Exception as error:  # a zip or npy that is no such thing; many error types
        raise DataError(f"{path} is no .npz that can be read ({error})") from None
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; a trace has rgb, t, bvp and bvp_t")
    rgb = np.asarray(arrays["rgb"], float)
    if rgb.ndim != 2 or rgb.shape[1] != 3 or not (rgb > 0.0).all():
        raise DataError(f"{path} has an rgb of shape {rgb.shape}, not (N, 3) of positive colours")
    start_s = float(np.asarray(arrays["t"]).ravel()[0])
    green, time_s = checked_signal(path, rgb[:, 1], np.asarray(arrays["t"]) - start_s, "rgb")
    if len(green) != len(rgb):
        raise DataError(f"{path} has times t of its rgb that do not rise")
    bvp, bvp_s = checked_signal(path, arrays["bvp"], np.asarray(arrays["bvp_t"]) - start_s, "bvp")
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    return Trace(rgb, time_s, Reference(bvp, bvp_s), content)


def recipe() -> Dict[str, Any]:
    """What defines the painted clips, as JSON."""
    return {
        "version": VERSION,
        "fps": FPS,
        "first_seed": FIRST_SEED,
        "skin_groups": SKIN_GROUPS,
        "motions": MOTIONS,
        "conditions": {name: dataclasses.asdict(CONDITIONS[name]) for name in MOTIONS.values()},
    }


def find_traces(path: Path) -> List[Path]:
    """The trace, or those of a folder. Raises ``DataError`` if it holds none."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.npz"))
    if not found:
        raise DataError(f"{path} holds no .npz; give a colour trace, or a folder of them")
    return found


def entries_of_all(paths: Sequence[Path], clips: int, cache: Optional[str]) -> List[Entry]:
    """``entries`` of several traces, each clip named and grouped by its trace."""
    found = []
    for path in paths:
        for entry in entries(path, clips, cache):
            load = partial(_load_of, path.stem, entry.load)
            found.append(dataclasses.replace(entry, name=f"{path.stem}: {entry.name}", load=load))
    return sorted(found, key=lambda one: tuple(MOTIONS).index(one.section))


def _load_of(trace: str, load: Callable[[], Recording]) -> Recording:
    recording = load()
    return dataclasses.replace(
        recording,
        name=f"{trace}: {recording.name}",
        subject=f"{trace}: {recording.subject}",
        groups={"trace": trace, **recording.groups},
    )


def entries(
    path: Path, clips: int, cache: Optional[str], motions: Sequence[str] = tuple(MOTIONS)
) -> List[Entry]:
    """The trace on every skin group and motion, ``clips`` faces each; drawn when loaded."""
    trace = load_trace(path)
    # what is drawn tells drawing code apart that differs; see hrd.evaluation.testset.drawn_by
    samples = (draw_clip(trace, SKIN_GROUPS[0], motion, k, _SAMPLE_S) for motion, k in _SAMPLES)
    mark = drawing_mark({**recipe(), "trace": trace.sha256}, samples)[:16]
    folder = cache_folder(cache) / f"painted-{VERSION}-{mark}"
    return [
        Entry(
            _name(group, motion, k),
            partial(load_clip, str(path), group, motion, k, str(folder)),
            section=motion,
        )
        for motion in motions
        for group in SKIN_GROUPS
        for k in range(clips)
    ]


def _name(group: int, motion: str, k: int) -> str:
    return f"skin {group}, {motion}, face {k}"


def load_clip(path: str, group: int, motion: str, k: int, folder: Optional[str]) -> Recording:
    """One painted clip as a recording, from the cache if it is there."""
    name = _name(group, motion, k)
    stored = None
    if folder is not None:
        stored = Path(folder) / f"{group}-{motion.replace(' ', '-')}-{k:03d}.npz"
    trace = load_trace(Path(path))
    clip = load_or_draw(stored, partial(draw_clip, trace, group, motion, k))
    groups = meta_groups(
        clip.meta,
        {"skin_group": "skin group (simulated)", "motion": "motion", "codec": "compression"},
    )
    return as_recording(clip, name, groups)


def draw_clip(
    trace: Trace,
    group: int,
    motion: str,
    k: int,
    seconds: Optional[float] = None,
    codec: Optional[CodecConfig] = None,
    fps: float = FPS,
) -> DrawnClip:
    """Paint the trace onto face ``k`` of a skin group, moving as ``motion`` says.

    ``seconds`` cuts the trace short; ``codec``: other than the one that ``k`` has; ``fps`` of the
    camera. Raises ``ValueError`` for a group or motion that is not one.
    """
    if motion not in MOTIONS:
        raise ValueError(f"motion {motion!r} is not one of {tuple(MOTIONS)}")
    conditions = CONDITIONS[MOTIONS[motion]]
    order = list(MOTIONS).index(motion)
    seed = FIRST_SEED + 1000 * order + 100 * group + k
    rng = np.random.default_rng((seed, 29))
    length_s = float(trace.time_s[-1])
    if seconds is not None:
        length_s = min(length_s, seconds)
    times_s = np.arange(int(length_s * fps) + 1) / fps
    look = sample_look(rng, group)
    breathing = Heart(HeartConfig(), int(rng.integers(1 << 31)))  # lends its breath, not its beat
    movement, _ = sample_motion(rng, conditions, breathing, "painted")
    unit_px = 130.0 / BOX_SIZE
    geometry = lay_out(rng, movement, times_s, unit_px)
    layers = draw_face(look, unit_px, 0.9, 0.95, 0.9)
    light = sample_light(rng, conditions, "painted")
    background = sample_background(rng, geometry.size, alive=False)
    lighting = Lighting(azimuth=float(rng.uniform(-0.7, 0.7)), elevation=0.4, ambient=0.6)

    def scene(albedo: np.ndarray) -> FaceScene:
        return FaceScene(
            dataclasses.replace(layers, albedo=albedo),
            lighting,
            geometry.size,
            geometry.origin_px,
            background,
            movement,
            light,
        )

    # what the camera sees is linear in the albedo: the difference of a picture with skin and one
    # without is all the light that comes back from skin, and the trace multiplies that
    with_skin = scene(layers.albedo).frames(times_s)
    without_skin = scene(layers.albedo * (1.0 - layers.skin[..., None])).frames(times_s)
    change = trace.relative(times_s).astype(np.float32) - 1.0
    sensor = SensorConfig(read_noise=1.0, shot_noise=0.015, grain="fine")
    camera = Sensor(sensor, rng)

    def pictures() -> Iterator[np.ndarray]:
        for index, (full, bare) in enumerate(zip(with_skin, without_skin)):
            yield camera.expose(full + (full - bare) * change[index])

    detector = KnowingDetector(geometry.boxes, rng, 0.005)

    def at(index: int) -> None:
        detector.index = index

    if codec is None:
        jpeg = k % 2 == 0
        codec = CodecConfig("jpeg", quality=85) if jpeg else CodecConfig("h264", crf=21, gop=60)
    return follow(
        pictures(),
        times_s,
        codec,
        fps,
        detector,
        at,
        trace.reference,
        {"seed": seed, "skin_group": group, "motion": motion, "codec": codec.kind, "fps": fps},
    )
