"""What a camera does to light: blur, noise, eight bits, and compression.

Noise is drawn from banks made once per process; which part of a bank a frame gets is decided by
the clip's own random numbers, so a seed always gives the same video.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Deque, Dict, Iterable, Iterator, List, Optional

import cv2
import numpy as np

from hrd.types import Frame

_BANK_PX = 1024
_BANK_MARGIN_PX = 64
_SIGMA_FRAMES = 16  # how bright a pixel is, and so how noisy, is looked up this often


@dataclass(frozen=True)
class SensorConfig:
    """How a sensor and its signal processor see.

    ``read_noise``: standard deviation in the dark, 8-bit steps; ``shot_noise``: variance per
    step of brightness; both before ``grain``: white, fine (demosaiced) or blotchy (denoised).
    ``blur_px``: sigma of the lens; ``sharpen``: amount of unsharp masking; ``denoise``: 0 none ..
    0.9, weight of the previous picture in a recursive filter that lets go where something moves.
    ``beautify``: 0 none, or how large a step in brightness the smoothing of skin levels, 8-bit
    steps (a telephone's bilateral filter).
    """

    read_noise: float = 0.8
    shot_noise: float = 0.01
    grain: str = "fine"
    blur_px: float = 0.0
    sharpen: float = 0.0
    denoise: float = 0.0
    beautify: float = 0.0


VIDEO_ENCODERS = {"h264": "libx264", "h265": "libx265", "mpeg4": "mpeg4", "vp8": "libvpx"}
"""FFmpeg's encoder of each codec that has key frames and predicts the frames between them."""

_DECODERS = {"h265": "hevc"}  # the others are called as their codec


@dataclass(frozen=True)
class CodecConfig:
    """``kind``: raw, yuv420 (uncompressed, chroma halved), jpeg, or one of ``VIDEO_ENCODERS``.

    ``quality``, ``subsample``: JPEG's. Of the others, ``gop``: frames from one key frame to the
    next; ``bframes``; ``bitrate``: bits per pixel, the encoder's rate control; where it is 0,
    constant quality: ``crf`` (H.264, H.265) or the quantiser ``quantiser`` (MPEG-4 part 2, 2 good
    .. 31; VP8 has its bit rate only). ``preset``, ``tune``: x264's and x265's.
    """

    kind: str = "yuv420"
    quality: int = 90
    subsample: bool = True
    crf: int = 23
    quantiser: int = 5
    preset: str = "veryfast"
    tune: str = ""
    gop: int = 250
    bframes: int = 0
    bitrate: float = 0.0


_banks: Dict[str, np.ndarray] = {}


def noise_bank(grain: str) -> np.ndarray:
    """(1024, 1024, 3) float32 noise with the grain's look; unit variance where it is white."""
    bank = _banks.get(grain)
    if bank is not None:
        return bank
    rng = np.random.default_rng(991)
    white = rng.standard_normal((_BANK_PX, _BANK_PX, 3), dtype=np.float32)
    # blurring keeps the slow part of noise and with it what is left of noise in a face's mean
    if grain == "white":
        bank = white
    elif grain == "fine":
        bank = cv2.GaussianBlur(white, (0, 0), 0.6)
    elif grain == "blotchy":
        bank = 0.6 * cv2.GaussianBlur(white, (0, 0), 0.9)
        bank += 0.9 * cv2.GaussianBlur(white[::-1], (0, 0), 2.2)
    else:
        raise ValueError(f"grain {grain!r} is not one of white, fine, blotchy")
    bank = np.ascontiguousarray(bank, np.float32)
    _banks[grain] = bank
    return bank


class Sensor:
    """Turns pictures into 8-bit frames; keeps the last one if it denoises over time."""

    def __init__(self, config: SensorConfig, rng: np.random.Generator) -> None:
        self.config = config
        self._rng = rng
        self._bank = noise_bank(config.grain)
        self._last: Optional[np.ndarray] = None
        self._sigma: Optional[np.ndarray] = None
        self._exposed: Optional[np.ndarray] = None
        self._count = 0

    def expose(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 0..255 -> (H, W, 3) uint8."""
        config = self.config
        if config.blur_px > 0.0:
            picture = cv2.GaussianBlur(picture, (0, 0), config.blur_px)
        if self._sigma is None or self._count % _SIGMA_FRAMES == 0:
            variance = np.maximum(picture, 0.0) * np.float32(config.shot_noise)
            self._sigma = np.sqrt(variance + np.float32(config.read_noise**2))
            self._exposed = np.empty_like(picture)
        self._count += 1
        noise = self._noise(picture.shape[0], picture.shape[1])
        exposed = cv2.multiply(self._sigma, noise, dst=self._exposed)
        cv2.add(exposed, picture, dst=exposed)
        if config.denoise > 0.0:
            exposed = self._denoised(exposed)
        if config.sharpen > 0.0:
            soft = cv2.GaussianBlur(exposed, (0, 0), 1.0)
            exposed = cv2.addWeighted(exposed, 1.0 + config.sharpen, soft, -config.sharpen, 0.0)
        picture = cv2.add(exposed, 0.0, dtype=cv2.CV_8U)
        if config.beautify > 0.0:
            picture = cv2.bilateralFilter(picture, 5, config.beautify, 2.0)
        return picture

    def _noise(self, height: int, width: int) -> np.ndarray:
        span = _BANK_PX - max(height, width)
        if span < _BANK_MARGIN_PX:  # too large for the bank: tile it
            repeat = (height // _BANK_PX + 2, width // _BANK_PX + 2, 1)
            y, x = self._rng.integers(0, _BANK_PX, 2)
            return np.tile(self._bank, repeat)[y : y + height, x : x + width]
        y, x = self._rng.integers(0, span, 2)
        return self._bank[y : y + height, x : x + width]

    def _denoised(self, picture: np.ndarray) -> np.ndarray:
        if self._last is None:
            self._last = picture.copy()
            return picture
        last = self._last
        change = cv2.subtract(picture, last)
        # small changes are taken for noise and held back, large ones pass
        threshold = 6.0 * max(self.config.read_noise, 0.8)
        weight = cv2.blur(np.abs(change), (3, 3))
        weight *= np.float32(self.config.denoise / threshold)
        weight += np.float32(1.0 - self.config.denoise)
        np.minimum(weight, np.float32(1.0), out=weight)
        cv2.multiply(change, weight, dst=change)
        return cv2.add(last, change, dst=last)


def encode(frames: Iterable[np.ndarray], config: CodecConfig, fps: float) -> Iterator[np.ndarray]:
    """Send (H, W, 3) uint8 RGB frames through a codec; as many come out, in order.

    Video codecs need even sides. Raises ``ValueError`` for an unknown kind.
    """
    if config.kind == "raw":
        return iter(frames)
    if config.kind == "yuv420":
        return (_yuv420(frame) for frame in frames)
    if config.kind == "jpeg":
        return (_jpeg(frame, config) for frame in frames)
    if config.kind in VIDEO_ENCODERS:
        return _video(frames, config, fps)
    kinds = ", ".join(["raw", "yuv420", "jpeg", *VIDEO_ENCODERS])
    raise ValueError(f"codec {config.kind!r} is not one of {kinds}")


def encode_frames(frames: Iterable[Frame], config: CodecConfig, fps: float) -> Iterator[Frame]:
    """``encode`` of frames that keep their times."""
    waiting: Deque[Frame] = deque()

    def pictures() -> Iterator[np.ndarray]:
        for frame in frames:
            waiting.append(frame)
            yield frame.image

    for image in encode(pictures(), config, fps):
        yield replace(waiting.popleft(), image=image)


def _yuv420(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420)


def _jpeg(frame: np.ndarray, config: CodecConfig) -> np.ndarray:
    options = [cv2.IMWRITE_JPEG_QUALITY, config.quality]
    if not config.subsample and hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR"):  # OpenCV 4.7
        factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    # OpenCV takes and gives BGR
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _video(frames: Iterable[np.ndarray], config: CodecConfig, fps: float) -> Iterator[np.ndarray]:
    import av

    encoder = None
    decoder = av.CodecContext.create(_DECODERS.get(config.kind, config.kind), "r")
    decoder.thread_count = 1
    for index, frame in enumerate(frames):
        if encoder is None:
            encoder = _encoder(frame.shape[1], frame.shape[0], config, fps)
        planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts = index
        for packet in encoder.encode(picture):
            yield from _decoded(decoder.decode(packet))
    if encoder is not None:
        for packet in encoder.encode(None):
            yield from _decoded(decoder.decode(packet))
        yield from _decoded(decoder.decode(None))


def _encoder(width: int, height: int, config: CodecConfig, fps: float):  # type: ignore[no-untyped-def]
    import av

    encoder = av.CodecContext.create(VIDEO_ENCODERS[config.kind], "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p"
    rate = Fraction(fps).limit_denominator(1000)
    encoder.framerate = rate
    encoder.time_base = 1 / rate
    encoder.thread_count = 1
    encoder.gop_size = config.gop
    if config.bitrate > 0.0:
        encoder.bit_rate = int(config.bitrate * width * height * fps)
    encoder.options = _options(config)
    return encoder


def _options(config: CodecConfig) -> Dict[str, str]:
    constant = config.bitrate <= 0.0
    if config.kind == "vp8":
        if constant:
            raise ValueError("VP8 needs a bit rate")
        return {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    options = {"bf": str(config.bframes)}
    if config.kind == "mpeg4":
        if constant:
            options.update(qmin=str(config.quantiser), qmax=str(config.quantiser))
        return options
    options["preset"] = config.preset
    if config.tune:
        options["tune"] = config.tune
    if constant:
        options["crf"] = str(config.crf)
    if config.kind == "h265":
        options["x265-params"] = f"log-level=none:pools=none:frame-threads=1:keyint={config.gop}"
    return options


def _decoded(pictures: List[object]) -> Iterator[np.ndarray]:
    for picture in pictures:
        planes = picture.to_ndarray(format="yuv420p")  # type: ignore[attr-defined]
        yield cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)
