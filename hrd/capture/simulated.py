"""The simulated camera: a drawn face with a pulse of known rate, frame by frame, without end."""

from __future__ import annotations

import dataclasses
import logging
from typing import Iterator, List, Optional, Tuple

import numpy as np

from hrd.capture.simulated_options import (
    DARK,
    FACE,
    NO_FACE,
    PHOTO,
    WALL,
    SimulatedConfig,
    parse_simulated,
)
from hrd.capture.source import FrameSource, SourceInfo
from hrd.sim.background import Background, sample_background
from hrd.sim.face import Lighting, draw_face, light_face
from hrd.sim.lens import CodecConfig, Sensor, SensorConfig, encode
from hrd.sim.light import Light, sample_light
from hrd.sim.look import PULSE_OF_GROUP, sample_look
from hrd.sim.motion import (
    HARD,
    STILL,
    TYPICAL,
    Motion,
    sample_motion,
    sample_photo_motion,
)
from hrd.sim.pulse import Heart, HeartConfig, ramp, step
from hrd.sim.scene import FaceScene, PulseLook
from hrd.types import Frame

__all__ = ["FACE", "SimulatedConfig", "SimulatedSource", "parse_simulated"]

logger = logging.getLogger(__name__)

_BANK = 8  # noisy copies of what does not move
_BATCH = 8
_REACH = {STILL: 0.82, TYPICAL: 0.88, HARD: 1.0}  # of the moving part, face widths


class SimulatedSource(FrameSource):
    """Draws what ``SimulatedConfig`` says; the same spec always gives the same frames.

    Not ``live``: frames carry simulated time from 0 on and are drawn when they are read, so it
    must be paced (``PacedSource``) to stand in for a camera.
    """

    live = False

    def __init__(self, config: SimulatedConfig) -> None:
        self.config = config
        width, height = config.size
        self.info = SourceInfo(config.spec, "simulated", width, height, config.fps, "rgb24")
        rng = np.random.default_rng((config.seed, 31))
        self.look = sample_look(rng, config.skin)
        self.heart = Heart(_heart_config(config, rng), config.seed)
        self._room = sample_background(rng, config.size, alive=False).image
        self._closed = False
        self._scene: Optional[FaceScene] = None
        self._left = self._top = 0
        self._bank: List[np.ndarray] = []
        self._build(rng)
        self.rewind()

    @classmethod
    def parse(cls, spec: str) -> SimulatedSource:
        """Open what ``sim:key=value,...`` says; raises ``SourceError``."""
        return cls(parse_simulated(spec))

    @property
    def has_pulse(self) -> bool:
        """Whether there is a heart rate to be read."""
        return self.config.kind == FACE and self.config.pulse

    def true_bpm(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) seconds since the first frame -> (N,) heart rate in bpm; NaN without a pulse."""
        if not self.has_pulse:
            return np.full(np.shape(times_s), np.nan)
        return self.heart.bpm(times_s)

    def rewind(self) -> None:
        """Start again from the first frame."""
        config = self.config
        self._slot = 0  # of the camera's clock, dropped frames included
        self._index = 0
        self._frozen: Optional[np.ndarray] = None
        self._queue: List[Tuple[int, float]] = []
        self._pictures: Iterator[np.ndarray] = iter(())
        self._sensor = Sensor(_sensor_config(config), np.random.default_rng((config.seed, 32)))
        self._rng = np.random.default_rng((config.seed, 33))

    def read(self) -> Optional[Frame]:
        if self._closed:
            return None
        if not self._queue:
            self._queue = self._next_times()
            if not self._queue:
                return None
            times_s = np.array([time_s for _, time_s in self._queue])
            if self._scene is not None:
                self._pictures = self._scene.frames(times_s)
        _, time_s = self._queue.pop(0)
        image = self._image(time_s)
        frame = Frame(image, time_s, self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        self._closed = True
        self._bank = []
        self._scene = None

    def _next_times(self) -> List[Tuple[int, float]]:
        """The next frames that arrive: (slot, time); fewer than a batch only at the end."""
        config = self.config
        found: List[Tuple[int, float]] = []
        while len(found) < _BATCH:
            nominal_s = self._slot / config.fps
            if config.seconds is not None and nominal_s >= config.seconds - 1e-9:
                break
            # one generator per frame: what arrives does not hang on how it is asked for
            chance, late = np.random.default_rng((config.seed, 34, self._slot)).random(2)
            jitter = config.jitter * np.sqrt(12.0) * (late - 0.5) if self._slot > 0 else 0.0
            if self._slot == 0 or chance >= config.drops:
                found.append(
                    (self._slot, nominal_s + float(np.clip(jitter, -0.45, 0.45)) / config.fps)
                )
            self._slot += 1
        return found

    def _build(self, rng: np.random.Generator) -> None:
        config = self.config
        if config.kind in (WALL, DARK, NO_FACE):
            self._fill_bank(self._empty_picture(rng))
            return
        width, height = config.size
        unit_px = min(0.33 * height, 0.3 * width)
        center = (width * rng.uniform(0.46, 0.54), height * rng.uniform(0.44, 0.5))
        left, right = center[0] / unit_px, (width - center[0]) / unit_px
        half = max(left, right) + 0.05
        layers = draw_face(
            self.look,
            unit_px,
            half,
            center[1] / unit_px + 0.05,
            (height - center[1]) / unit_px + 0.05,
        )
        motion = self._motion(rng)
        light = sample_light(rng, config.light)
        pulse = None
        if self.has_pulse:
            percent = config.ac
            if percent is None:
                percent = 0.9 * PULSE_OF_GROUP[self.look.skin_group]
            pulse = PulseLook(green_ac=percent / 100.0, recoil=0.0003)
        lighting = Lighting(
            azimuth=float(rng.uniform(-0.6, 0.6)),
            elevation=float(rng.uniform(0.1, 0.7)),
            ambient=float(rng.uniform(0.5, 0.8)),
        )
        lift = 1.25 if self.look.skin_group >= 5 else 0.9
        tint = (lift, lift, lift)

        lit = light_face(layers, lighting)
        whole = FaceScene(
            layers, lit, config.size, center, Background(self._room), Motion(), Light(), tint=tint
        )
        self._fill_bank(next(whole.frames(np.zeros(1))).copy())
        # only the part round the head is drawn for every frame, and its edge stands still
        reach = _REACH[config.motion]
        left, top = _even(center[0] - reach * unit_px), _even(center[1] - (reach + 0.05) * unit_px)
        end_x = min(width, _even(center[0] + reach * unit_px))
        end_y = min(height, _even(center[1] + (reach + 0.1) * unit_px))
        shift_x, shift_y = layers.center_px[0] - center[0], layers.center_px[1] - center[1]
        rows = slice(int(top + shift_y), int(end_y + shift_y) + 2)
        columns = slice(int(left + shift_x), int(end_x + shift_x) + 2)
        self._left, self._top = left, top
        self._scene = FaceScene(
            layers.part(rows, columns),
            lit.part(rows, columns),
            (end_x - left, end_y - top),
            (center[0] - left, center[1] - top),
            Background(np.ascontiguousarray(self._room[top:end_y, left:end_x])),
            motion,
            light,
            self.heart if pulse is not None else None,
            pulse,
            tint=tint,
            fixed_edge_px=0.12 * unit_px,
        )

    def _motion(self, rng: np.random.Generator) -> Motion:
        config = self.config
        if config.kind == PHOTO:
            motion = sample_photo_motion(rng, held=config.motion != STILL)
        else:
            motion = sample_motion(rng, config.motion, self.heart.breath)
        # the camera itself stands: only part of the picture is drawn anew
        return dataclasses.replace(motion, shake_x=Motion.shake_x, shake_y=Motion.shake_y)

    def _empty_picture(self, rng: np.random.Generator) -> np.ndarray:
        if self.config.kind == WALL:
            width, height = self.config.size
            grey = np.linspace(0.9, 1.1, width, dtype=np.float32)[None, :, None]
            color = np.array(rng.uniform(120, 200, 3), np.float32)
            return np.ascontiguousarray(np.broadcast_to(grey * color, (height, width, 3)))
        return self._room * np.float32(0.012 if self.config.kind == DARK else 1.0)

    def _fill_bank(self, picture: np.ndarray) -> None:
        """Noise costs more than drawing; what stands still takes turns among noisy copies."""
        sensor = Sensor(_sensor_config(self.config), np.random.default_rng((self.config.seed, 35)))
        self._bank = [sensor.expose(picture) for _ in range(_BANK)]

    def _image(self, time_s: float) -> np.ndarray:
        config = self.config
        if self._frozen is not None:
            return self._frozen.copy()
        image = self._bank[int(self._rng.integers(_BANK))].copy()
        if self._scene is not None:
            part = self._sensor.expose(next(self._pictures))
            height, width = part.shape[:2]
            image[self._top : self._top + height, self._left : self._left + width] = part
        if config.quality > 0:
            image = next(encode([image], CodecConfig("jpeg", quality=config.quality), config.fps))
        if config.freeze is not None and time_s >= config.freeze:
            self._frozen = image
        return image


def _even(px: float) -> int:
    return max(0, int(px) // 2 * 2)


def _heart_config(config: SimulatedConfig, rng: np.random.Generator) -> HeartConfig:
    profile: Tuple[Tuple[float, float], ...] = ()
    if config.to is not None:
        if config.ramp > 0.0:
            profile = ramp(config.bpm, config.to, config.at, config.ramp)
        else:
            profile = step(config.bpm, config.to, config.at)
    return HeartConfig(
        bpm=config.bpm,
        profile=profile,
        lf=0.012 * config.variability,
        hf=0.012 * config.variability,
        breath_hz=float(rng.uniform(0.2, 0.3)),
        notch=float(rng.uniform(0.15, 0.4)),
    )


def _sensor_config(config: SimulatedConfig) -> SensorConfig:
    return SensorConfig(
        read_noise=0.9 * config.noise, shot_noise=0.012 * config.noise**2, grain="fine"
    )
