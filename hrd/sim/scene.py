"""A face before a camera: layers, light, movement and pulse composed into pictures over time.

Dichromatic reflection model (Wang et al. 2017): C(t) = I(t) (v_s(t) + v_d(t)), where the pulse
is on the diffuse part v_d and v_s is the mirrored light. Everything is in the camera's encoded
0..255 scale: a relative change stays relative under a gamma curve, so gains work there as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional, Tuple, Union

import cv2
import numpy as np

from hrd.sim.background import Background
from hrd.sim.canvas import Patch
from hrd.sim.face import FaceLayers, Lighting, LitFace, light_face
from hrd.sim.light import Light
from hrd.sim.motion import Motion
from hrd.sim.pulse import Heart
from hrd.sim.signals import smoothstep

PULSE_RGB = (0.33, 0.77, 0.53)
"""Relative pulse amplitude of the channels of a camera (de Haan & van Leest 2014)."""

_BATCH = 8  # frames whose layers are mixed by one matrix product


@dataclass(frozen=True)
class PulseLook:
    """How the heart shows. ``green_ac``: peak-to-peak over mean of the green channel where the
    gain is 1; ``rgb``: ratio of the channels; ``recoil``: movement of the head with each beat,
    face widths."""

    green_ac: float
    rgb: Tuple[float, float, float] = PULSE_RGB
    recoil: float = 0.0


@dataclass(frozen=True)
class Pose:
    """Where the face is: (N,) arrays; the face's origin in pixels, radians, and relative size."""

    x_px: np.ndarray
    y_px: np.ndarray
    roll: np.ndarray
    zoom: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray


class FaceScene:
    """Draws pictures of one face at any time.

    ``lighting`` may be a face already lit. ``origin_px``: where the face's origin rests in the
    picture; ``tint``: colour of the lamp. ``heart`` None or ``pulse`` None: a face without a
    pulse. ``fixed_edge_px``: within this distance of the picture's edge nothing moves, so that
    it can be laid into a larger picture.
    """

    def __init__(
        self,
        layers: FaceLayers,
        lighting: Union[Lighting, LitFace],
        size: Tuple[int, int],
        origin_px: Tuple[float, float],
        background: Background,
        motion: Motion,
        light: Light,
        heart: Optional[Heart] = None,
        pulse: Optional[PulseLook] = None,
        tint: Tuple[float, float, float] = (1.0, 1.0, 1.0),
        shine: float = 30.0,
        fixed_edge_px: float = 0.0,
    ) -> None:
        self.layers = layers
        self.size = size
        self.origin_px = origin_px
        self.background = background
        self.motion = motion
        self.light = light
        self.heart = heart
        self.pulse = pulse
        self.shine = shine
        self._moves = self._freedom(fixed_edge_px) if fixed_edge_px > 0.0 else None
        lit = lighting if isinstance(lighting, LitFace) else light_face(layers, lighting)
        self._build(lit, np.array(tint, np.float32))
        self._screen_rgb = np.array(light.screen_rgb)

    def _build(self, lit: LitFace, tint: np.ndarray) -> None:
        layers = self.layers
        height, width = layers.alpha.shape
        alpha = layers.alpha[..., None]
        color = layers.albedo * tint * alpha
        basis = np.zeros((6, height, width, 4), np.float32)  # RGB and coverage
        basis[0, ..., :3] = color * lit.shading[..., None]
        basis[0, ..., 3] = layers.alpha
        ratio = np.array(self.pulse.rgb if self.pulse else PULSE_RGB, np.float32)
        basis[1, ..., :3] = basis[0, ..., :3] * layers.gain[..., None] * (ratio / ratio[1])
        basis[2, ..., :3] = basis[1, ..., :3] * layers.delay_s[..., None]
        basis[3, ..., :3] = color * lit.turn[..., None]
        basis[4, ..., :3] = color * lit.nod[..., None]
        basis[5, ..., :3] = lit.shine[..., None] * tint * alpha
        self._basis = basis.reshape(6, -1)
        self._layer_shape = (height, width, 4)
        self._lids = _lit_patch(layers.lids, lit.shading, tint)
        self._mouth = _lit_patch(layers.mouth, lit.shading, tint)
        y = (np.arange(height, dtype=np.float32) - layers.center_px[1])[:, None] / layers.unit_px
        x = (np.arange(width, dtype=np.float32) - layers.center_px[0])[None, :] / layers.unit_px
        chin = np.clip((y - 0.2) / 0.3, 0.0, 1.0) * np.clip((0.8 - y) / 0.15, 0.0, 1.0)
        jaw = (chin * np.clip((0.6 - np.abs(x)) / 0.2, 0.0, 1.0)).astype(np.float32)
        self._depth = np.dstack([layers.relief - 0.06, jaw])
        self._textures = np.empty((_BATCH, self._basis.shape[1]), np.float32)
        # OpenCV interpolates between 1/32ths of a pixel. A face that sways by less would jump
        # from one to the next everywhere at once; a random part of a step per pixel spreads that.
        columns, rows = self.size
        rng = np.random.default_rng(self.layers.look.seed)
        self._dither = ((rng.random((2, rows, columns)) - 0.5) / 32.0).astype(np.float32)
        self._scratch = _Scratch(rows, columns)

    def _freedom(self, edge_px: float) -> np.ndarray:
        """(H, W) float32: 0 at the edge of the picture, 1 from ``edge_px`` inwards."""
        width, height = self.size
        across = np.minimum(np.arange(width), np.arange(width)[::-1])
        down = np.minimum(np.arange(height), np.arange(height)[::-1])
        inwards = np.minimum(across[None, :], down[:, None]) / edge_px
        return smoothstep(inwards - 0.02).astype(np.float32)

    def pose(self, times_s: np.ndarray) -> Pose:
        """Where the face is at these times."""
        motion, unit = self.motion, self.layers.unit_px
        y = motion.y(times_s) + motion.shake_y(times_s)
        if self.heart is not None and self.pulse is not None and self.pulse.recoil:
            y = y + self.pulse.recoil * (self.heart.bvp(times_s + 0.1) - self.heart.bvp(times_s))
        return Pose(
            x_px=self.origin_px[0] + unit * (motion.x(times_s) + motion.shake_x(times_s)),
            y_px=self.origin_px[1] + unit * y,
            roll=motion.roll(times_s),
            zoom=1.0 + motion.zoom(times_s),
            yaw=np.clip(motion.yaw(times_s), -0.5, 0.5),
            pitch=np.clip(motion.pitch(times_s), -0.4, 0.4),
        )

    def frames(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """(H, W, 3) float32 pictures, 0..255 (and above where light is too bright), one per time.

        Each lies in the same memory: it must be used or copied before the next is asked for.
        """
        for first in range(0, len(times_s), _BATCH):
            yield from self._batch(np.asarray(times_s[first : first + _BATCH], float))

    def _batch(self, times_s: np.ndarray) -> Iterator[np.ndarray]:
        pose = self.pose(times_s)
        count = len(times_s)
        mix = np.zeros((count, 6), np.float32)
        mix[:, 0] = 1.0
        if self.heart is not None and self.pulse is not None:
            volume = self.heart.volume(times_s)
            slope = (self.heart.volume(times_s + 0.01) - volume) / 0.01
            mix[:, 1] = -self.pulse.green_ac * volume  # more blood, darker skin
            mix[:, 2] = self.pulse.green_ac * slope
        swing = self.light.lamp(times_s)
        mix[:, 3] = pose.yaw + swing
        mix[:, 4] = pose.pitch
        mix[:, 5] = self.shine * (1.0 + 1.5 * pose.yaw - 1.5 * pose.pitch)
        textures = np.matmul(mix, self._basis, out=self._textures[:count])
        blink = self.motion.blink(times_s)
        jaw = self.motion.jaw(times_s)
        gain = self._gains(times_s)
        screen = np.exp(np.multiply.outer(self.light.screen(times_s), self._screen_rgb))
        shake_x = self.motion.shake_x(times_s) * self.layers.unit_px
        shake_y = self.motion.shake_y(times_s) * self.layers.unit_px
        relief, chin = self._depth_in_picture(pose, count // 2)
        for k in range(count):
            texture = textures[k].reshape(self._layer_shape)
            self._animate(texture, float(blink[k]), float(jaw[k]))
            map_x, map_y = self._maps(pose, k)
            map_x -= np.float32(self.layers.unit_px * pose.yaw[k]) * relief
            map_y += np.float32(self.layers.unit_px * pose.pitch[k]) * relief
            if jaw[k] > 0.01:
                map_y -= np.float32(0.05 * self.layers.unit_px * jaw[k]) * chin
            front = cv2.remap(
                texture,
                map_x,
                map_y,
                cv2.INTER_LINEAR,
                dst=self._scratch.front,
                borderMode=cv2.BORDER_REPLICATE,
            )
            behind = self.background.at(float(times_s[k]))
            behind = self._shaken(behind, float(shake_x[k]), float(shake_y[k]))
            picture = self._scratch.over(front, behind, screen[k])
            self._expose(picture, gain[k], float(times_s[k]))
            yield picture

    def _gains(self, times_s: np.ndarray) -> np.ndarray:
        """(N, 3) gain of the channels of the whole picture."""
        light = self.light
        exposure = light.exposure(times_s)
        logs = np.stack(
            [exposure + light.red(times_s), exposure, exposure + light.blue(times_s)], axis=1
        )
        return np.exp(logs)

    def _animate(self, texture: np.ndarray, blink: float, jaw: float) -> None:
        layers = self.layers
        if blink > 0.01:
            texture[layers.lids.rows, layers.lids.columns] += np.float32(blink) * self._lids
        if jaw > 0.01:
            texture[layers.mouth.rows, layers.mouth.columns] += np.float32(jaw) * self._mouth

    def _to_layer(self, pose: Pose, k: int) -> np.ndarray:
        """(2, 3) affine map from the picture to the layers: turns back about the face's origin."""
        roll, zoom = float(pose.roll[k]), float(pose.zoom[k])
        cos, sin = np.cos(roll) / zoom, np.sin(roll) / zoom
        x, y = float(pose.x_px[k]), float(pose.y_px[k])
        left, top = self.layers.center_px
        return np.array(
            [[cos, sin, left - cos * x - sin * y], [-sin, cos, top + sin * x - cos * y]]
        )

    def _maps(self, pose: Pose, k: int) -> Tuple[np.ndarray, np.ndarray]:
        """For every pixel of the picture, where it looks in the layers (without parallax)."""
        matrix = self._to_layer(pose, k).astype(np.float32)
        columns = np.arange(self.size[0], dtype=np.float32)
        rows = np.arange(self.size[1], dtype=np.float32)[:, None]
        scratch = self._scratch
        np.add(self._dither[0], matrix[0, 0] * columns + matrix[0, 2], out=scratch.map_x)
        np.add(self._dither[1], matrix[1, 0] * columns + matrix[1, 2], out=scratch.map_y)
        scratch.map_x += matrix[0, 1] * rows
        scratch.map_y += matrix[1, 1] * rows
        if self._moves is not None:
            left = np.float32(self.layers.center_px[0] - self.origin_px[0])
            top = np.float32(self.layers.center_px[1] - self.origin_px[1])
            for line, rest in ((scratch.map_x, columns + left), (scratch.map_y, rows + top)):
                line -= rest
                line *= self._moves
                line += rest
        return scratch.map_x, scratch.map_y

    def _depth_in_picture(self, pose: Pose, k: int) -> Tuple[np.ndarray, np.ndarray]:
        """Relief and chin, (H, W) each, where the face is in the middle of a batch: both are
        smooth, so its movement within a quarter of a second may be neglected."""
        depth = cv2.warpAffine(
            self._depth,
            self._to_layer(pose, k),
            self.size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        relief, chin = cv2.split(depth)
        return relief, chin

    def _shaken(self, behind: np.ndarray, dx: float, dy: float) -> np.ndarray:
        width, height = self.size
        if dx == 0.0 and dy == 0.0:
            return behind
        matrix = np.array([[1.0, 0.0, -dx], [0.0, 1.0, -dy]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(
            behind, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )

    def _expose(self, picture: np.ndarray, gain: np.ndarray, time_s: float) -> None:
        height, width = picture.shape[:2]
        flat = picture.reshape(height, width * 3)
        flat *= np.tile(gain.astype(np.float32), width)
        light = self.light
        if light.band > 0.0:
            angle = np.arange(height) * (2.0 * np.pi * light.band_rows / height)
            angle = angle + 2.0 * np.pi * light.band_rate_hz * time_s
            flat *= (1.0 + light.band * np.sin(angle)).astype(np.float32)[:, None]


def _lit_patch(patch: Patch, shading: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """(h, w, 4): the patch's change of colour as it shows under the lamp; coverage unchanged."""
    lit = np.zeros(patch.change.shape[:2] + (4,), np.float32)
    lit[..., :3] = patch.change * shading[patch.rows, patch.columns, None] * tint
    return lit


class _Scratch:
    """Arrays of the picture's size that are written anew for every frame."""

    def __init__(self, height: int, width: int) -> None:
        shape = (height, width)
        self.map_x = np.empty(shape, np.float32)
        self.map_y = np.empty(shape, np.float32)
        self.front = np.empty(shape + (4,), np.float32)
        self.picture = np.empty(shape + (3,), np.float32)
        self._through = np.empty(shape + (3,), np.float32)
        self._clear = np.empty(shape, np.float32)

    def over(self, front: np.ndarray, behind: np.ndarray, front_gain: np.ndarray) -> np.ndarray:
        """Lay (H, W, 4) premultiplied, its colour times a gain, over (H, W, 3)."""
        height, width = behind.shape[:2]
        np.subtract(np.float32(1.0), front[..., 3], out=self._clear)
        through = cv2.merge([self._clear, self._clear, self._clear], dst=self._through)
        cv2.multiply(behind, through, dst=through)
        picture = cv2.cvtColor(front, cv2.COLOR_BGRA2BGR, dst=self.picture)
        if not np.all(front_gain == 1.0):
            flat = picture.reshape(height, width * 3)
            flat *= np.tile(front_gain.astype(np.float32), width)
        return cv2.add(picture, through, dst=picture)
