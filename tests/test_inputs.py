"""A drawn face of 84 beats a minute through every kind of file: right, or refused in a sentence."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import av
import cv2
import numpy as np
import pytest

from hrd.capture.files import is_animated_webp
from hrd.capture.open import CaptureOptions, open_source
from hrd.capture.source import SourceError
from hrd.cli.main import main
from hrd.config import Config, override
from hrd.engine.select import Selection, open_engine
from hrd.face.detect import FaceDetector, open_detector
from hrd.measure import Measurement, measure_file
from tests import video_making

BPM = 84
FPS = 30
SECONDS = 12
CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases"


def draw(bpm: int = BPM, fps: int = FPS, seconds: float = SECONDS, seed: int = 11) -> List[Any]:
    spec = f"sim:bpm={bpm},fps={fps},seconds={seconds},seed={seed},size=320x240,variability=0,ac=3"
    with open_source(spec, CaptureOptions()) as source:
        return [frame.image for frame in source]


@pytest.fixture(scope="module")
def face() -> List[Any]:
    return draw()


@pytest.fixture(scope="module")
def engine() -> Iterator[Selection]:
    selection = open_engine("onnx")
    yield selection
    selection.engine.close()


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceDetector]:
    found = open_detector("auto")
    yield found
    found.close()


@pytest.fixture
def measured(engine: Selection, detector: FaceDetector) -> Any:
    def measure(path: Path, **capture: Any) -> Measurement:
        values = {f"source.capture.{key}": value for key, value in capture.items()}
        return measure_file(str(path), detector, engine, override(Config(), values))

    return measure


def encode(
    path: Path,
    images: Sequence[Any],
    codec: str = "libx264",
    fps: float = FPS,
    pix_fmt: str = "yuv420p",
    codec_options: Optional[Dict[str, str]] = None,
    metadata: Optional[Dict[str, str]] = None,
    times_s: Optional[Sequence[float]] = None,
    format: Optional[str] = None,
    tick: Fraction = Fraction(1, 90000),
    **settings: Any,
) -> Path:
    """Write frames at ``i / fps``, or at ``times_s``."""
    options = {"libx264": {"crf": "12", "preset": "veryfast"}, "libx265": {"crf": "12"}}
    options["libx265"]["preset"] = "ultrafast"
    options["libx265"]["x265-params"] = "log-level=none"
    muxer = {"movflags": "use_metadata_tags"} if metadata else {}
    with av.open(str(path), "w", format=format, options=muxer) as container:
        container.metadata.update(metadata or {})
        chosen = {**options.get(codec, {}), **(codec_options or {})}
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(), options=chosen)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.bit_rate = 8_000_000
        stream.codec_context.time_base = tick
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            time_s = index / fps if times_s is None else times_s[index]
            frame.time_base, frame.pts = tick, round(time_s / tick)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, restamp: Any, format: Optional[str] = None) -> Path:
    """Copy packets with other stamps: ``restamp(index, pts)`` in the stream's ticks."""
    with av.open(str(source)) as old, av.open(str(target), "w", format=format) as new:
        stream = old.streams.video[0]
        if hasattr(new, "add_stream_from_template"):
            copy = new.add_stream_from_template(stream)
        else:  # PyAV before 14
            copy = new.add_stream(template=stream)
        for index, packet in enumerate(old.demux(stream)):
            if packet.dts is None:
                continue
            packet.pts = restamp(index, packet.pts)
            packet.dts = min(packet.pts, restamp(0, packet.dts))
            packet.stream = copy
            new.mux(packet)
    return target


def right(result: Measurement, bpm: float = BPM) -> bool:
    """The whole clip within 3 bpm, and every second that was published within 5."""
    said = [reading.bpm for reading in result.readings if reading.bpm is not None]
    assert said, [reading.reason for reading in result.readings]
    assert result.bpm == pytest.approx(bpm, abs=3)
    assert said == pytest.approx([bpm] * len(said), abs=5)
    return True


PLAIN = {
    "mp4": ("libx264", "yuv420p"),
    "mov": ("libx264", "yuv420p"),
    "mkv": ("libx264", "yuv420p"),
    "ts": ("libx264", "yuv420p"),
    "flv": ("libx264", "yuv420p"),
    "webm": ("libvpx", "yuv420p"),
    "avi": ("mjpeg", "yuvj444p"),
    "mpg": ("mpeg2video", "yuv420p"),
    "3gp": ("mpeg4", "yuv420p"),
    "ogv": ("libtheora", "yuv420p"),
    "nut": ("ffv1", "yuv444p"),
    "asf": ("mpeg4", "yuv420p"),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PLAIN)
def test_containers(tmp_path: Path, face: List[Any], measured: Any, suffix: str) -> None:
    codec, pix_fmt = PLAIN[suffix]
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    settings: Dict[str, Any] = {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "8M"}
    options = settings if codec == "libvpx" else None
    path = encode(
        tmp_path / f"a.{suffix}",
        face,
        codec,
        pix_fmt=pix_fmt,
        codec_options=options,
        tick=Fraction(1, FPS),
    )
    result = measured(path)
    assert right(result)
    assert result.fps == pytest.approx(FPS, abs=0.1)
    assert result.frames == len(face)


@pytest.mark.slow
def test_ten_bits_and_hdr(tmp_path: Path, face: List[Any], measured: Any) -> None:
    path = encode(
        tmp_path / "hdr.mp4",
        face,
        "libx265",
        pix_fmt="yuv420p10le",
        color_primaries=9,  # BT.2020
        color_trc=18,  # HLG
        colorspace=9,
    )
    assert right(measured(path))


@pytest.mark.slow
@pytest.mark.parametrize("matrix", [video_making.TKHD_ROTATE_CW, video_making.TKHD_ROTATE_CCW])
def test_a_telephone_held_upright(
    tmp_path: Path, face: List[Any], measured: Any, matrix: Sequence[int]
) -> None:
    turn = 1 if matrix is video_making.TKHD_ROTATE_CW else -1
    lying = [np.ascontiguousarray(np.rot90(image, turn)) for image in face]
    path = encode(tmp_path / "phone.mp4", lying)
    video_making.set_display_matrix(path, matrix)
    assert right(measured(path))


@pytest.mark.slow
def test_interlaced(tmp_path: Path, face: List[Any], measured: Any) -> None:
    options = {"x264-params": "tff=1"}
    assert right(measured(encode(tmp_path / "i.ts", face, codec_options=options)))


@pytest.mark.slow
def test_a_variable_rate(tmp_path: Path, face: List[Any], measured: Any) -> None:
    # a telephone in changing light: of 30 pictures a second it takes all, then every second one
    kept = [i for i in range(len(face)) if i < 120 or i % 2 == 0]
    times_s = [i / FPS for i in kept]
    path = encode(tmp_path / "vfr.mp4", [face[i] for i in kept], times_s=times_s)
    assert right(measured(path))


@pytest.mark.slow
def test_240_frames_a_second(tmp_path: Path, measured: Any) -> None:
    images = draw(fps=120, seconds=8)
    doubled = [image for image in images for _ in range(2)]
    result = measured(encode(tmp_path / "fast.mov", doubled, fps=240))
    assert right(result)
    assert result.fps == pytest.approx(240, abs=1)


@pytest.mark.slow
def test_4k(tmp_path: Path, measured: Any) -> None:
    images = [cv2.resize(image, (3840, 2160)) for image in draw(fps=15, seconds=6)]
    path = encode(tmp_path / "4k.mp4", images, "mjpeg", fps=15, pix_fmt="yuvj420p")
    result = measured(path)
    assert right(result)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["com.android.capture.fps", "com.apple.quicktime.capture.fps"])
def test_slow_motion_is_read_at_the_rate_it_was_taken(
    tmp_path: Path, measured: Any, key: str
) -> None:
    images = draw(fps=120, seconds=8)
    path = encode(tmp_path / "slow.mp4", images, fps=30, metadata={key: "120.000000"})
    result = measured(path)
    assert right(result)
    assert result.seconds == pytest.approx(8.0, abs=0.05)


@pytest.mark.slow
def test_fewer_pictures_than_a_telephone_meant_to_take_are_no_slow_motion(
    tmp_path: Path, face: List[Any], measured: Any
) -> None:
    metadata = {"com.android.capture.fps": "30.000000"}
    path = encode(tmp_path / "dark.mp4", face[::2], fps=15, metadata=metadata)
    assert right(measured(path))


@pytest.mark.slow
@pytest.mark.parametrize("stamp", ["stray", "offset", "long"])
def test_stamps_that_are_wrong_but_tell(
    tmp_path: Path, face: List[Any], measured: Any, caplog: Any, stamp: str
) -> None:
    whole = encode(tmp_path / "a.mkv", face, codec_options={"bf": "0"})
    restamp = {
        "stray": lambda i, pts: pts + (37_600_000 if i % 60 == 59 else 0),
        "offset": lambda i, pts: pts + 8000,  # the third segment of a recording
        "long": lambda i, pts: pts + 20_000_000,
    }[stamp]
    result = measured(remux(whole, tmp_path / "b.mkv", restamp))
    assert right(result)
    assert result.seconds == pytest.approx(SECONDS, abs=0.1)
    assert not any("cut off" in record.getMessage() for record in caplog.records)


def test_a_clip_too_short_for_a_rate_is_said_to_be_so(
    tmp_path: Path, face: List[Any], measured: Any
) -> None:
    path = encode(tmp_path / "a.mkv", face[:120], codec_options={"bf": "0"})
    result = measured(remux(path, tmp_path / "b.mkv", lambda i, pts: pts + 8000))
    assert result.bpm is None
    assert result.why_no_bpm == "it is shorter than the 5 s that one takes"


@pytest.mark.slow
def test_stamps_in_the_order_of_coding(tmp_path: Path, face: List[Any], measured: Any) -> None:
    path = encode(tmp_path / "b.avi", face, codec_options={"bf": "3"}, tick=Fraction(1, FPS))
    result = measured(path)
    assert right(result)
    assert result.frames >= len(face) - 2


@pytest.mark.slow
def test_all_stamps_zero_are_no_times(tmp_path: Path, face: List[Any], measured: Any) -> None:
    whole = encode(tmp_path / "a.mkv", face, codec_options={"bf": "0"})
    path = remux(whole, tmp_path / "zero.mkv", lambda i, pts: 0)
    with pytest.raises(SourceError, match=r"gives no times .* --fps 30"):
        measured(path)
    assert right(measured(path, file_fps=30.0))


@pytest.mark.slow
@pytest.mark.parametrize(("format", "codec"), [("mjpeg", "mjpeg"), ("m4v", "mpeg4")])
def test_files_without_times_need_their_rate(
    tmp_path: Path, face: List[Any], measured: Any, format: str, codec: str
) -> None:
    pix_fmt = "yuvj444p" if codec == "mjpeg" else "yuv420p"
    path = encode(
        tmp_path / f"raw.{format}",
        face,
        codec,
        pix_fmt=pix_fmt,
        format=format,
        tick=Fraction(1, FPS),
    )
    with pytest.raises(SourceError, match=r"gives no times .* --fps 30"):
        measured(path)
    assert right(measured(path, file_fps=30.0))


@pytest.mark.slow
def test_what_ffmpeg_cannot_read_is_called_what_it_is(tmp_path: Path, measured: Any) -> None:
    animation = tmp_path / "a.webp"
    animation.write_bytes(b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes([10, 0, 0, 0, 2]) + bytes(40))
    assert is_animated_webp(str(animation))
    animation.write_bytes(b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes([10, 0, 0, 0, 0]) + bytes(40))
    assert not is_animated_webp(str(animation))
    (tmp_path / "a.yuv").write_bytes(bytes(320 * 240 * 3))
    with pytest.raises(SourceError, match="raw video without a header"):
        measured(tmp_path / "a.yuv")


def test_colours_that_no_standard_has_do_not_cost_the_film(
    tmp_path: Path, face: List[Any], measured: Any
) -> None:
    """As in a film that the fuzzing found: H.262, 6.2.2.4, colours 251, 126 and 64."""
    path = encode(tmp_path / "a.m2v", face, "mpeg2video", tick=Fraction(1, FPS))
    display = b"\x00\x00\x01\xb5" + bytes([0x2B, 251, 126, 64, 0x0A, 0x02, 0x07, 0x80])
    extension = re.compile(rb"\x00\x00\x01\xb5\x14.{5}", re.DOTALL)
    data, count = extension.subn(lambda found: found.group() + display, path.read_bytes())
    assert count > 0
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).colorspace == 64
    assert right(measured(path))


def test_two_people_are_not_one_clip(tmp_path: Path, measured: Any) -> None:
    images = draw(84, seed=11) + draw(62, seed=12, seconds=14)
    result = measured(encode(tmp_path / "two.mp4", images))
    assert result.bpm is None
    assert result.cuts_s == pytest.approx([SECONDS], abs=0.05)
    for reading in result.readings:
        if reading.bpm is not None:
            assert reading.bpm == pytest.approx(84 if reading.time_s <= SECONDS else 62, abs=5)
    told = [r.time_s for r in result.readings if r.bpm is not None]
    assert min(told) < SECONDS < max(told)  # each of the two is read
    after = [r for r in result.readings if SECONDS < r.time_s < SECONDS + 2.5]
    assert after
    assert all(r.bpm is None for r in after)


@pytest.mark.slow
def test_a_cut_within_one_persons_clip_keeps_the_rate(tmp_path: Path, measured: Any) -> None:
    images = draw(84, seed=11) + draw(84, seed=12)
    result = measured(encode(tmp_path / "same.mp4", images))
    assert result.bpm == pytest.approx(84, abs=3)


def add_stream(container: Any, codec: str, size: Any, pix_fmt: str, fps: int = FPS) -> Any:
    stream = container.add_stream(codec, rate=fps)
    stream.width, stream.height = size
    stream.pix_fmt = pix_fmt
    stream.bit_rate = 8_000_000
    return stream


def write_tracks(path: Path, tracks: Sequence[Any]) -> Path:
    """``tracks``: (codec, pix_fmt, images), all at 30 a second, written one after the other."""
    with av.open(str(path), "w") as container:
        streams = [
            add_stream(container, codec, images[0].shape[1::-1], pix_fmt)
            for codec, pix_fmt, images in tracks
        ]
        for stream, (_, _, images) in zip(streams, tracks):
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


@pytest.mark.slow
def test_the_film_is_chosen_among_thumbnails_and_films(
    tmp_path: Path, face: List[Any], measured: Any
) -> None:
    wall = [np.full((240, 320, 3), 128, np.uint8)]
    path = write_tracks(
        tmp_path / "thumb.mp4", [("mjpeg", "yuvj420p", wall), ("libx264", "yuv420p", face)]
    )
    assert right(measured(path))
    with pytest.raises(SourceError, match=r"no picture in stream 7: its films are 1: 320x240"):
        measured(path, stream=7)


@pytest.mark.slow
def test_one_of_several_films_can_be_named(tmp_path: Path, face: List[Any], measured: Any) -> None:
    other = draw(120, seed=5)
    path = write_tracks(
        tmp_path / "two.mkv", [("mpeg4", "yuv420p", other), ("mpeg4", "yuv420p", face)]
    )
    assert right(measured(path, stream=1))
    assert right(measured(path, stream=0), 120)


NAMES = ("10:30.mp4", "a b [1] %d.mp4", "http:x.mp4", "-x.mp4", "gr\u00fcn.mp4", "h\udce9.mp4")


@pytest.mark.slow
def test_names_are_taken_as_they_are(
    tmp_path: Path, face: List[Any], monkeypatch: Any, capsys: Any
) -> None:
    whole = encode(tmp_path / "whole", face, format="mp4")
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        os.link(whole, name)
    assert main(["measure", "--json", "--engine", "pos", "--", *NAMES]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [*NAMES[:-1], "h\\xe9.mp4"]
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert seconds == pytest.approx([SECONDS - 1 / FPS] * len(NAMES), abs=0.01)


def test_refusals_are_in_json_too(tmp_path: Path, face: List[Any], capsys: Any) -> None:
    path = encode(
        tmp_path / "raw.mjpeg", face[:9], "mjpeg", pix_fmt="yuvj420p", tick=Fraction(1, FPS)
    )
    assert main(["measure", "--json", "--engine", "pos", str(path)]) == 1
    said = capsys.readouterr()
    refusal = json.loads(said.out)
    assert refusal["file"] == str(path)
    assert "--fps 30" in refusal["error"]
    assert said.err.endswith(f"hrd: {refusal['error']}\n")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_pipe_is_read_like_a_file(
    tmp_path: Path, face: List[Any], measured: Any, suffix: str
) -> None:
    whole = encode(tmp_path / f"a.{suffix}", face)
    pipe = tmp_path / f"pipe.{suffix}"
    os.mkfifo(pipe)

    def feed() -> None:
        with open(whole, "rb") as source, open(pipe, "wb") as target:
            shutil.copyfileobj(source, target)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    assert right(measured(pipe))
    thread.join(10)
    assert not thread.is_alive()


# Folders of pictures


def write_pictures(folder: Path, images: Sequence[Any], name: Any) -> Path:
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / name(index)), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        lambda i: f"Image{1392643993642815000 + round(i * 1e9 / FPS)}.png",
        lambda i: f"{1392643993642815 + round(i * 1e6 / FPS)}.png",
        lambda i: f"frame_{1392643993642 + round(i * 1e3 / FPS)}.png",
        lambda i: f"{95.0 + i / FPS:.4f}.png",
    ],
)
def test_pictures_named_by_their_times(
    tmp_path: Path, face: List[Any], measured: Any, name: Any
) -> None:
    write_pictures(tmp_path / "01-01" / "01-01", face, name)
    result = measured(tmp_path / "01-01")
    assert right(result)
    assert result.seconds == pytest.approx((len(face) - 1) / FPS, abs=0.01)


def test_numbered_pictures_need_their_rate(tmp_path: Path, face: List[Any], measured: Any) -> None:
    folder = write_pictures(tmp_path / "numbered", face[:30], lambda i: f"p{i}.png")
    with pytest.raises(SourceError, match=r"names are no times.* --fps 30"):
        measured(folder)
    assert measured(folder, file_fps=15.0).seconds == pytest.approx(29 / 15)


def test_a_folder_without_pictures_is_said_to_be_one(tmp_path: Path, measured: Any) -> None:
    with pytest.raises(SourceError, match="is a directory without numbered pictures"):
        measured(tmp_path)


def test_a_damaged_picture_is_named(tmp_path: Path, face: List[Any], measured: Any) -> None:
    folder = write_pictures(tmp_path / "a", face[:5], lambda i: f"{1392643993642 + 33 * i}.png")
    (folder / "1392643993675.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"1392643993675\.png is not a picture"):
        measured(folder)


# The cases that others have reported, where they are beside this checkout


def case(name: str) -> Path:
    path = CASES / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout (../shared/cases)")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fps", "bpm"),
    [("android-slowmo.mp4", None, 120), ("novui.h264", 30.0, 84), ("pts-outliers.mkv", None, 84)],
)
def test_reported_files_are_right(
    measured: Any, name: str, fps: Optional[float], bpm: float
) -> None:
    assert right(measured(case(name), file_fps=fps), bpm)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("novui.h264", "--fps 30"),
        ("allzero.mkv", "--fps 30"),
        ("cover.mp3", "a still picture and no film"),
    ],
)
def test_reported_files_are_refused(measured: Any, name: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        measured(case(name))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seconds", "frames"),
    [("bframes20.avi", 12.0, 240), ("thumb-first.mp4", 12.0, 360), ("segment2.mkv", 4.0, 120)],
)
def test_reported_files_are_read_whole(
    measured: Any, caplog: Any, name: str, seconds: float, frames: int
) -> None:
    result = measured(case(name))
    assert result.seconds == pytest.approx(seconds, abs=0.1)
    assert result.frames == pytest.approx(frames, abs=2)
    assert not any("cut off" in record.getMessage() for record in caplog.records)
    assert all(abs(r.bpm - 84) < 5 for r in result.readings if r.bpm is not None)
