"""The simulated camera: what its spec means, and that its truth can be read from its pictures."""

from typing import List, Optional

import numpy as np
import pytest

from hrd.capture import simulated_options
from hrd.capture.open import open_source
from hrd.capture.options import CaptureOptions
from hrd.capture.simulated import SimulatedConfig, SimulatedSource, parse_simulated
from hrd.capture.source import SourceError
from hrd.face.blazeface import BlazeFaceDetector
from hrd.sim import motion, pulse
from hrd.types import Frame


def frames_of(spec: str, count: int) -> List[Frame]:
    with SimulatedSource.parse(spec) as source:
        found: List[Optional[Frame]] = [source.read() for _ in range(count)]
    assert all(frame is not None for frame in found)
    return [frame for frame in found if frame is not None]


def peak_bpm(signal: np.ndarray, fs_hz: float) -> float:
    slow = np.convolve(signal, np.ones(int(fs_hz)) / int(fs_hz), "same")
    signal = (signal - slow)[15:-15]
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), 1 << 14))
    freqs_hz = np.fft.rfftfreq(1 << 14, 1.0 / fs_hz)
    band = (freqs_hz > 0.65) & (freqs_hz < 3.7)
    return float(60.0 * freqs_hz[band][np.argmax(spectrum[band])])


def green_over_red(frames: List[Frame]) -> np.ndarray:
    """Cheeks and nose of a 320x240 picture: light cancels in the ratio, blood does not."""
    patch = np.stack([frame.image[100:140, 130:190] for frame in frames]).astype(float)
    mean = patch.mean(axis=(1, 2))
    return mean[:, 1] / mean[:, 0]


@pytest.mark.parametrize(("bpm", "seed", "skin"), [(52, 1, 1), (72, 2, 3), (110, 3, 6)])
def test_the_rate_asked_for_is_in_the_picture(bpm: int, seed: int, skin: int) -> None:
    spec = f"sim:bpm={bpm},seed={seed},skin={skin},size=320x240,variability=0.3"
    frames = frames_of(spec, 450)
    with SimulatedSource.parse(spec) as source:
        truth = source.true_bpm(np.array([frame.time_s for frame in frames]))
        assert source.look.skin_group == skin
    assert truth.mean() == pytest.approx(bpm, abs=1.0)
    assert peak_bpm(green_over_red(frames), 30.0) == pytest.approx(truth.mean(), abs=1.5)


def test_without_a_pulse_there_is_none() -> None:
    beating = green_over_red(frames_of("sim:bpm=90,seed=4,size=320x240", 300))
    dead = green_over_red(frames_of("sim:bpm=90,seed=4,size=320x240,pulse=off", 300))
    times_s = np.arange(300) / 30.0
    wave = np.hanning(300) * np.exp(-2j * np.pi * 1.5 * times_s)
    dead_height, height = (abs(np.sum((x - x.mean()) * wave)) for x in (dead, beating))
    assert dead_height < 0.15 * height
    with SimulatedSource.parse("sim:pulse=off,size=320x240") as source:
        assert not source.has_pulse
        assert np.all(np.isnan(source.true_bpm(np.arange(3.0))))


def test_same_seed_same_frames_however_often() -> None:
    spec = "sim:seed=7,size=160x120,motion=hard,light=hard,jitter=0.2,drops=0.2"
    first, again = frames_of(spec, 20), frames_of(spec, 20)
    other = frames_of(spec.replace("seed=7", "seed=8"), 20)
    for a, b in zip(first, again):
        assert a.time_s == b.time_s
        np.testing.assert_array_equal(a.image, b.image)
    assert not np.array_equal(first[0].image, other[0].image)
    with SimulatedSource.parse(spec) as source:
        before = [source.read() for _ in range(11)]
        source.rewind()
        after = [source.read() for _ in range(11)]
    for c, d in zip(before, after):
        assert c is not None
        assert d is not None
        np.testing.assert_array_equal(c.image, d.image)
        assert (c.index, c.time_s) == (d.index, d.time_s)


def test_frames_are_what_the_pipeline_takes() -> None:
    with SimulatedSource.parse("sim:size=160x120,fps=25,seconds=1,seed=3") as source:
        assert source.live is False
        assert (source.info.width_px, source.info.height_px) == (160, 120)
        assert source.info.nominal_fps == 25.0
        frames = list(source)
    assert len(frames) == 25
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(25) / 25.0)
    assert [frame.index for frame in frames] == list(range(25))
    image = frames[0].image
    assert image.shape == (120, 160, 3)
    assert image.dtype == np.uint8
    assert frames[0].image is not frames[1].image
    assert not np.array_equal(frames[0].image, frames[1].image)


def test_jitter_and_drops_are_as_told_and_time_runs_forwards() -> None:
    spec = "sim:kind=wall,size=64x64,jitter=0.15,drops=0.25,seconds=40"
    with SimulatedSource.parse(spec) as source:
        times_s = np.array([frame.time_s for frame in source])
    steps = np.diff(times_s)
    assert steps.min() > 0.0
    assert len(times_s) == pytest.approx(0.75 * 1200, abs=60)
    nominal = np.round(times_s * 30.0)
    assert np.std(times_s * 30.0 - nominal) == pytest.approx(0.15, abs=0.02)


def test_a_step_and_a_ramp_of_the_rate() -> None:
    with SimulatedSource.parse("sim:bpm=70,to=90,at=20,variability=0,size=64x64") as source:
        assert source.true_bpm(np.array([19.9, 20.1])).tolist() == pytest.approx([70.0, 90.0])
    spec = "sim:bpm=70,to=100,at=10,ramp=30,variability=0,size=64x64"
    with SimulatedSource.parse(spec) as source:
        assert source.true_bpm(np.array([40.0])).tolist() == pytest.approx([85.0])


def test_the_picture_freezes() -> None:
    frames = frames_of("sim:size=64x64,freeze=0.5", 30)
    assert not np.array_equal(frames[10].image, frames[14].image)
    for frame in frames[16:]:
        np.testing.assert_array_equal(frame.image, frames[15].image)
    assert frames[20].time_s > frames[19].time_s


def test_the_detector_sees_faces_only_where_there_are_any() -> None:
    detector = BlazeFaceDetector()
    counts = {}
    for kind in ("face", "photo", "wall", "dark", "noface"):
        counts[kind] = sum(
            len(detector.detect(frames_of(f"sim:kind={kind},seed={seed}", 1)[0].image))
            for seed in range(3)
        )
    detector.close()
    assert counts == {"face": 3, "photo": 3, "wall": 0, "dark": 0, "noface": 0}


def test_a_dark_room_is_dark() -> None:
    assert frames_of("sim:kind=dark,size=64x64", 1)[0].image.mean() < 8.0


def test_open_source_knows_it() -> None:
    with open_source("sim:bpm=60,size=64x64,seconds=1", CaptureOptions()) as source:
        assert isinstance(source, SimulatedSource)
        assert len(list(source)) == 30


def test_the_options_know_the_drawing_s_limits() -> None:
    assert (simulated_options.MIN_BPM, simulated_options.MAX_BPM) == (pulse.MIN_BPM, pulse.MAX_BPM)
    assert simulated_options.DIFFICULTIES == motion.DIFFICULTIES


def test_every_key_is_read() -> None:
    config = parse_simulated(
        "sim:bpm=80,to=90,at=5,ramp=30,variability=0.5,seconds=20,seed=3,motion=typical,light=hard,"
        "skin=4,fps=15,size=320x240,jitter=0.1,drops=0.05,pulse=off,ac=0.4,kind=photo,noise=2,"
        "quality=70,freeze=9"
    )
    expected = SimulatedConfig(
        spec=config.spec,
        bpm=80.0,
        to=90.0,
        at=5.0,
        ramp=30.0,
        variability=0.5,
        seconds=20.0,
        seed=3,
        motion="typical",
        light="hard",
        skin=4,
        fps=15.0,
        size=(320, 240),
        jitter=0.1,
        drops=0.05,
        pulse=False,
        ac=0.4,
        kind="photo",
        noise=2.0,
        quality=70,
        freeze=9.0,
    )
    assert config == expected
    assert parse_simulated("sim:") == SimulatedConfig("sim:")
    assert parse_simulated("sim: bpm = 60 , ").bpm == 60.0


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("sim:bmp=72", r"no 'bmp' \(did you mean bpm\?\); it knows ac, at, bpm"),
        ("sim:bpm=fast", r"bpm cannot be 'fast': a number of beats per minute from 35 to 220"),
        ("sim:bpm=300", r"bpm cannot be '300'.*35 to 220"),
        ("sim:bpm=nan", r"bpm cannot be 'nan'"),
        ("sim:bpm", r"bpm needs a value: a number"),
        ("sim:motion=wild", r"motion cannot be 'wild': one of still, typical, hard"),
        ("sim:pulse=yes", r"pulse cannot be 'yes': on or off"),
        ("sim:skin=0", r"skin cannot be '0': a whole number from 1 to 6"),
        ("sim:size=640", r"size cannot be '640': WIDTHxHEIGHT"),
        ("sim:size=641x480", r"size cannot be '641x480'"),
        ("sim:kind=dog", r"kind cannot be 'dog': one of face, photo, wall, dark, noface"),
        ("simulated", r"begin with sim:"),
    ],
)
def test_a_bad_spec_says_what_is_allowed(spec: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        parse_simulated(spec)


def test_closing_twice_does_no_harm() -> None:
    source = SimulatedSource.parse("sim:kind=wall,size=64x64")
    source.close()
    source.close()
    assert source.read() is None
