"""Pictures over time: pulse, movement, light, noise and compression do what they say."""

import dataclasses
from typing import Optional

import numpy as np
import pytest

from hrd.sim.background import Background, sample_background
from hrd.sim.face import FaceLayers, Lighting, draw_face
from hrd.sim.lens import CodecConfig, Sensor, SensorConfig, encode, noise_bank
from hrd.sim.light import (
    Jolts,
    Light,
    sample_hunting_light,
    sample_light,
    sample_pulsing_light,
)
from hrd.sim.look import sample_look
from hrd.sim.motion import DIFFICULTIES, STILL, Motion, Periodic, sample_motion
from hrd.sim.pulse import Heart, HeartConfig
from hrd.sim.scene import FaceScene, PulseLook
from hrd.sim.signals import Bumps, Gate, Levels, SmoothNoise

SIZE = (112, 112)
TIMES_S = np.arange(90) / 30.0


@pytest.fixture(scope="module")
def layers() -> FaceLayers:
    look = dataclasses.replace(
        sample_look(np.random.default_rng(5), 2), hair="bald", beard=0.0, glasses="none"
    )
    return draw_face(look, 60.0)


def scene_of(
    layers: FaceLayers,
    motion: Optional[Motion] = None,
    light: Optional[Light] = None,
    heart: Optional[Heart] = None,
    pulse: Optional[PulseLook] = None,
    fixed_edge_px: float = 0.0,
) -> FaceScene:
    return FaceScene(
        layers,
        Lighting(),
        SIZE,
        (56.0, 50.0),
        Background(np.full((112, 112, 3), 90.0, np.float32)),
        motion or Motion(),
        light or Light(),
        heart,
        pulse,
        shine=0.0,
        fixed_edge_px=fixed_edge_px,
    )


def clip_of(scene: FaceScene, times_s: np.ndarray = TIMES_S) -> np.ndarray:
    return np.stack([frame.copy() for frame in scene.frames(times_s)])


def test_the_pulse_darkens_skin_by_what_was_asked(layers: FaceLayers) -> None:
    heart = Heart(HeartConfig(bpm=80.0, breath_baseline=0.0), 1)
    clip = clip_of(scene_of(layers, heart=heart, pulse=PulseLook(0.01)))
    level = clip.mean(axis=0)
    volume = heart.bvp(TIMES_S)
    response = np.einsum("t,thwc->hwc", volume - volume.mean(), clip) / np.var(volume) / len(volume)
    relative = response / level
    assert np.abs(relative[:4]).max() < 1e-4  # the wall has no blood
    forehead = relative[30:34, 50:62].mean(axis=(0, 1))
    assert -0.014 < forehead[1] < -0.006
    np.testing.assert_allclose(forehead / forehead[1], [0.33 / 0.77, 1.0, 0.53 / 0.77], atol=0.02)


def test_without_a_pulse_nothing_changes(layers: FaceLayers) -> None:
    clip = clip_of(scene_of(layers))
    assert np.abs(clip - clip[0]).max() < 1e-3


def test_movement_is_smooth_far_below_a_pixel(layers: FaceLayers) -> None:
    # a tenth of a pixel in all, which is three of the steps that OpenCV interpolates by
    drift = Motion(x=lambda times_s: times_s / 60.0 * 0.001)
    clip = clip_of(scene_of(layers, motion=drift), np.arange(0.0, 101.0))
    band = clip[:, 35:70, 20:92].mean(axis=3)
    edges = np.abs(np.diff(band[0], axis=1)).max(axis=1) > 3.0
    moved = (band[:, edges] - band[0, edges]) * np.sign(np.gradient(band[0, edges], axis=1))
    path = moved.mean(axis=(1, 2))
    straight = np.polyval(np.polyfit(np.arange(101), path, 1), np.arange(101))
    assert np.abs(path - straight).max() < 0.1 * np.abs(path[-1])


def test_a_shift_moves_the_face_and_not_the_room(layers: FaceLayers) -> None:
    shifted = Motion(x=lambda times_s: np.full(np.shape(times_s), 3.0 / 60.0))
    rest = clip_of(scene_of(layers), TIMES_S[:1])[0]
    moved = clip_of(scene_of(layers, motion=shifted), TIMES_S[:1])[0]
    np.testing.assert_allclose(moved[40:60, 40:70], rest[40:60, 37:67], atol=3.0)
    np.testing.assert_array_equal(moved[:3, :3], rest[:3, :3])


def test_a_fixed_edge_stands_still(layers: FaceLayers) -> None:
    shifted = Motion(x=lambda times_s: np.full(np.shape(times_s), 4.0 / 60.0))
    rest = clip_of(scene_of(layers, fixed_edge_px=10.0), TIMES_S[:1])[0]
    moved = clip_of(scene_of(layers, motion=shifted, fixed_edge_px=10.0), TIMES_S[:1])[0]
    np.testing.assert_allclose(moved[-1], rest[-1], atol=1e-3)
    assert np.abs(moved[40:60, 30:80] - rest[40:60, 30:80]).mean() > 1.0


def test_exposure_and_balance_are_gains(layers: FaceLayers) -> None:
    light = Light(
        exposure=lambda times_s: np.full(np.shape(times_s), np.log(0.8)),
        red=lambda times_s: np.full(np.shape(times_s), np.log(1.1)),
    )
    plain = clip_of(scene_of(layers), TIMES_S[:1])[0]
    changed = clip_of(scene_of(layers, light=light), TIMES_S[:1])[0]
    np.testing.assert_allclose(
        changed / plain, [[[0.88, 0.8, 0.8]]] * np.ones(plain.shape), rtol=1e-4
    )


def test_blinking_and_talking_change_eyes_and_mouth(layers: FaceLayers) -> None:
    on = Motion(blink=lambda t: np.ones(np.shape(t)), jaw=lambda t: np.ones(np.shape(t)))
    change = np.abs(
        clip_of(scene_of(layers, motion=on), TIMES_S[:1])[0]
        - clip_of(scene_of(layers), TIMES_S[:1])[0]
    ).mean(axis=2)
    eyes, forehead, mouth = change[40:46, 40:72], change[28:34, 46:66], change[68:78, 46:66]
    assert forehead.mean() < 0.5
    assert eyes.mean() > 5.0
    assert mouth.mean() > 5.0


def test_signals_do_not_hang_on_what_is_asked_together() -> None:
    rng = np.random.default_rng(0)
    times_s = np.arange(600) / 30.0
    for signal in (
        SmoothNoise(rng, 0.5, 0.1, 2.0),
        Bumps(3, 3.0, 0.8, 0.3),
        Levels(4, 2.5, 0.1, 0.8),
        Gate(5, 2.0, 0.5),
        Jolts(6, 3.0, 0.8, 0.1, 0.5),
        Periodic(rng, 0.1, 1.3),
    ):
        together = signal(times_s)
        apart = np.concatenate([signal(times_s[k : k + 7]) for k in range(0, 600, 7)])
        np.testing.assert_allclose(together, apart, atol=0.002)  # Jolts forget their distant past
        assert np.ptp(together) > 0.01


def test_noise_has_its_rms_and_its_band() -> None:
    noise = SmoothNoise(np.random.default_rng(1), 0.3, 0.5, 2.0)
    signal = noise(np.arange(0.0, 2000.0, 0.1))
    assert signal.std() == pytest.approx(0.3, rel=0.05)
    power = np.abs(np.fft.rfft(signal)) ** 2
    freqs_hz = np.fft.rfftfreq(len(signal), 0.1)
    assert power[(freqs_hz > 0.45) & (freqs_hz < 2.05)].sum() > 0.99 * power.sum()


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_random_motion_stays_in_the_picture(difficulty: str) -> None:
    times_s = np.arange(0.0, 60.0, 1 / 15.0)
    extents = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        motion = sample_motion(rng, difficulty, lambda t: np.sin(1.5 * t))
        extents.append(float(np.abs(motion.x(times_s)).max()))
        assert np.all((motion.jaw(times_s) >= 0) & (motion.jaw(times_s) <= 1))
        assert np.all((motion.blink(times_s) >= 0) & (motion.blink(times_s) <= 1))
        light = sample_light(rng, difficulty)
        assert np.abs(light.exposure(times_s)).max() < 0.6
        assert np.abs(sample_pulsing_light(rng).screen(times_s)).max() > 1e-4
    low, high = {"still": (0.0, 0.02), "typical": (0.02, 0.15), "hard": (0.06, 0.35)}[difficulty]
    assert low < float(np.median(extents)) < high


def test_an_unknown_difficulty_is_refused() -> None:
    with pytest.raises(ValueError, match="'calm'"):
        sample_motion(np.random.default_rng(0), "calm", np.sin)


@pytest.mark.parametrize("grain", ["white", "fine", "blotchy"])
def test_every_grain_leaves_the_same_noise_in_a_face(grain: str) -> None:
    blocks = noise_bank(grain)[:1000, :1000].reshape(20, 50, 20, 50, 3).mean(axis=(1, 3))
    assert 0.4 < blocks.std() * 50.0 < 2.0  # white noise of unit variance: 1


def test_the_sensor_is_as_noisy_as_told() -> None:
    sensor = Sensor(SensorConfig(2.0, 0.05, "white"), np.random.default_rng(0))
    picture = np.full((96, 96, 3), 100.0, np.float32)
    frames = np.stack([sensor.expose(picture) for _ in range(30)]).astype(float)
    assert frames.mean() == pytest.approx(100.0, abs=0.2)
    assert frames.std(axis=0).mean() == pytest.approx(3.0, abs=0.15)  # sqrt(2^2 + 0.05 * 100)


def test_the_denoiser_delays_all_channels_alike() -> None:
    config = SensorConfig(1.0, 0.01, "fine", denoise=0.6)
    sensor = Sensor(config, np.random.default_rng(0))
    wave = 120.0 * (1.0 + 0.003 * np.sin(2 * np.pi * 1.2 * np.arange(150) / 30.0))
    out = np.array(
        [sensor.expose(np.full((48, 48, 3), v, np.float32)).mean(axis=(0, 1)) for v in wave]
    )[30:]
    np.testing.assert_allclose(out.mean(axis=0), 120.0, atol=0.1)
    np.testing.assert_allclose(out.std(axis=0), out.std(axis=0).mean(), rtol=0.08)
    assert 0.5 < out.std() / wave.std() < 1.0


CODECS = [
    CodecConfig("raw"),
    CodecConfig("yuv420"),
    CodecConfig("jpeg", quality=90),
    CodecConfig("h264", crf=18),
    CodecConfig("h264", crf=20, bframes=2, gop=15),
    CodecConfig("h264", bitrate=0.5),
    CodecConfig("h265", crf=20, preset="ultrafast"),
    CodecConfig("mpeg4", quantiser=3, gop=12),
    CodecConfig("mpeg4", bitrate=0.5, gop=15, bframes=2),
    CodecConfig("vp8", bitrate=0.5),
]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: f"{codec.kind}-{codec.gop}")
def test_codecs_return_every_frame_in_order_and_color(
    codec: CodecConfig, layers: FaceLayers
) -> None:
    room = Levels(1, 0.3, 0.3, 0.1)
    light = Light(exposure=room)
    sensor = Sensor(SensorConfig(), np.random.default_rng(0))
    frames = [sensor.expose(frame) for frame in scene_of(layers, light=light).frames(TIMES_S[:40])]
    out = list(encode(iter(frames), codec, 30.0))
    assert len(out) == len(frames)
    for before, after in zip(frames, out):
        assert after.dtype == np.uint8
        np.testing.assert_allclose(after.mean(axis=(0, 1)), before.mean(axis=(0, 1)), atol=2.0)
        assert np.abs(after.astype(float) - before).mean() < 5.0


def test_key_frames_of_a_coarse_codec_pump(layers: FaceLayers) -> None:
    sensor = Sensor(SensorConfig(), np.random.default_rng(0))
    frames = [sensor.expose(frame) for frame in scene_of(layers).frames(TIMES_S[:48])]
    config = CodecConfig("mpeg4", quantiser=10, gop=12)
    out = np.stack(list(encode(iter(frames), config, 30.0))).astype(float)
    change = np.abs(np.diff(out, axis=0)).mean(axis=(1, 2, 3))
    keys = change[11::12]  # into each key frame
    assert keys.min() > 2.0 * np.median(change)


def test_beautifying_smooths_skin_and_keeps_edges() -> None:
    rng = np.random.default_rng(1)
    picture = np.where(np.arange(64)[None, :, None] < 32, 90.0, 170.0) * np.ones((64, 64, 3))
    picture = picture + rng.normal(0.0, 4.0, picture.shape)
    plain = SensorConfig(read_noise=0.0, shot_noise=0.0)
    before = Sensor(plain, rng).expose(picture.astype(np.float32)).astype(float)
    after = Sensor(dataclasses.replace(plain, beautify=30.0), rng).expose(
        picture.astype(np.float32)
    )
    assert after[8:-8, 8:24].std() < 0.6 * before[8:-8, 8:24].std()
    assert after[:, 40:].mean() - after[:, :24].mean() == pytest.approx(80.0, abs=1.5)


def test_video_without_constant_quality_needs_a_bit_rate() -> None:
    with pytest.raises(ValueError, match="bit rate"):
        list(encode([np.zeros((32, 32, 3), np.uint8)], CodecConfig("vp8"), 30.0))


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="'vp9'"):
        encode([], CodecConfig("vp9"), 30.0)


def test_a_live_background_lives() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        room = sample_background(rng, (96, 64), alive=True)
        assert room.image.shape == (64, 96, 3)
        frames = np.stack([room.at(t).copy() for t in np.arange(0.0, 20.0, 0.5)])
        assert np.ptp(frames, axis=0).max() > 1.0
        assert not sample_background(rng, (96, 64), alive=False).alive


def test_some_pulsing_lamps_shine_more_on_one_side() -> None:
    times_s = np.arange(0.0, 12.0, 0.05)
    sides = []
    for seed in range(40):
        light = sample_pulsing_light(np.random.default_rng(seed))
        beat, swing = light.screen(times_s), light.lamp(times_s)
        assert np.abs(beat).max() > 0.0
        share = float(swing @ beat) / float(beat @ beat)
        np.testing.assert_allclose(swing, share * beat, atol=1e-9)
        sides.append(share)
    assert 10 < sum(side == 0.0 for side in sides) < 30
    assert min(sides) < -0.3
    assert max(sides) > 0.3


def test_a_hunting_camera_swings_its_exposure_or_red_against_blue() -> None:
    times_s = np.arange(0.0, 20.0, 0.05)
    kinds = []
    for seed in range(40):
        quiet = sample_light_after_swing(seed)
        light = sample_hunting_light(np.random.default_rng(seed), STILL)
        exposure = light.exposure(times_s) - quiet.exposure(times_s)
        red = light.red(times_s) - quiet.red(times_s)
        blue = light.blue(times_s) - quiet.blue(times_s)
        swings = np.abs(exposure).max() > 1e-9
        kinds.append(swings)
        one = exposure if swings else red
        assert 4e-4 < np.abs(one).max() < 0.02
        power = np.abs(np.fft.rfft(one - one.mean(), 4096))
        assert 0.5 < np.fft.rfftfreq(4096, 0.05)[power.argmax()] < 3.1
        if swings:
            assert np.abs(red).max() < 1e-9
        else:
            share = float(red @ blue) / float(red @ red)
            assert -1.5 <= share <= -0.5
    assert 10 < sum(kinds) < 30


def sample_light_after_swing(seed: int) -> Light:
    """The light that the hunting is added to: drawn by the same generator after its swing."""
    rng = np.random.default_rng(seed)
    size = float(np.exp(rng.uniform(np.log(0.0008), np.log(0.008))))
    Periodic(rng, size, float(rng.uniform(0.6, 3.0)))
    return sample_light(rng, STILL)
