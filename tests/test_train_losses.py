"""Losses and distillation: known answers."""

from __future__ import annotations

import math

import pytest

from tests.needs import needs

torch = needs("torch")

from hrd.train.distill import (  # noqa: E402
    DistillWeights,
    FeatureLoss,
    attention_maps,
    signal_loss,
    standardised_traces,
    teacher_gate,
)
from hrd.train.losses import (  # noqa: E402
    LossWeights,
    neg_pearson,
    peakedness,
    pulse_loss,
    rate_cross_entropy,
    spectral_divergence,
    spectrum,
)
from tests.train_help import TINY, TINY_TEACHER  # noqa: E402

FS_HZ = 30.0


def sine(bpm, samples=240, phase=0.0):
    t = torch.arange(samples) / FS_HZ
    return torch.sin(2 * math.pi * bpm / 60.0 * t + phase)[None]


def test_neg_pearson_is_0_for_the_same_shape_1_for_another_2_for_its_opposite():
    a = sine(72.0)
    assert float(neg_pearson(3.0 * a + 5.0, a)) == pytest.approx(0.0, abs=1e-4)
    assert float(neg_pearson(-a, a)) == pytest.approx(2.0, abs=1e-4)
    quarter = sine(75.0, phase=math.pi / 2)
    assert float(neg_pearson(sine(75.0), quarter)) == pytest.approx(1.0, abs=1e-2)


def test_a_spectrum_sums_to_one_and_peaks_at_the_rate():
    bpm, share = spectrum(sine(72.0), FS_HZ)
    assert float(share.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(bpm[share[0].argmax()]) == pytest.approx(72.0, abs=1.0)


def test_rate_cross_entropy_prefers_the_true_rate():
    a = sine(72.0)
    right = rate_cross_entropy(a, torch.tensor([72.0]), FS_HZ)
    double = rate_cross_entropy(a, torch.tensor([144.0]), FS_HZ)
    assert float(right) < 0.15
    assert float(double) > 3.0


def test_peakedness_is_near_nothing_for_an_impulse_and_large_for_a_sine():
    impulse = torch.zeros(1, 240)
    impulse[0, 120] = 1.0
    assert float(peakedness(impulse, FS_HZ)) < 0.1
    assert float(peakedness(sine(72.0), FS_HZ)) > 1.5


def test_spectral_divergence_ignores_phase_and_size_and_sees_rate():
    other = 4.0 * sine(72.0, phase=1.0)
    assert float(spectral_divergence(sine(72.0), other, FS_HZ)) < 0.05
    assert float(spectral_divergence(sine(72.0), sine(110.0), FS_HZ)) > 1.0


def test_clips_without_a_pulse_are_judged_by_silence_alone():
    signal = torch.cat([sine(72.0), 2.0 * sine(90.0)])
    target = torch.cat([sine(72.0), torch.zeros(1, 240)])
    rate = torch.tensor([72.0, 0.0])
    has_pulse = torch.tensor([True, False])
    loud = pulse_loss(signal, target, rate, has_pulse, FS_HZ, LossWeights())
    signal[1] *= 0.01
    quiet = pulse_loss(signal, target, rate, has_pulse, FS_HZ, LossWeights())
    assert float(loud.pearson) == pytest.approx(0.0, abs=1e-4)
    assert float(quiet.pearson) == pytest.approx(0.0, abs=1e-4)
    assert float(loud.silence) == pytest.approx(2**0.5, abs=0.01)
    assert float(loud.error) == pytest.approx(1.0, abs=0.01)  # half of the clips, power 2
    assert float(quiet.error) < 1e-3
    assert float(quiet.total) < float(loud.total) - 0.25


def test_the_best_size_of_an_unsure_signal_is_its_correlation():
    torch.manual_seed(0)
    target = sine(72.0, 3000) * 2**0.5
    noise = torch.randn(1, 3000)
    guess = (0.6 * target + 0.8 * noise) / 1.0  # unit deviation, r = 0.6
    args = (torch.tensor([72.0]), torch.tensor([True]), FS_HZ, LossWeights())
    sizes = [0.2, 0.4, 0.6, 0.8, 1.0]
    totals = [float(pulse_loss(size * guess, target, *args).total) for size in sizes]
    assert sizes[totals.index(min(totals))] == 0.6


@pytest.mark.parametrize("pulses", [0, 2])
def test_a_batch_of_one_kind_gives_a_finite_gradient(pulses):
    signal = torch.randn(2, 200, requires_grad=True)
    has_pulse = torch.arange(2) < pulses
    target = sine(72.0, 200).repeat(2, 1) * has_pulse[:, None]
    rate = torch.full((2,), 72.0) * has_pulse
    pulse_loss(signal, target, rate, has_pulse, FS_HZ, LossWeights()).total.backward()
    assert torch.isfinite(signal.grad).all()
    assert signal.grad.abs().sum() > 0


def test_a_flat_output_gives_a_finite_gradient():
    signal = torch.zeros(1, 200, requires_grad=True)
    parts = pulse_loss(
        signal, sine(72.0, 200), torch.tensor([72.0]), torch.tensor([True]), FS_HZ, LossWeights()
    )
    parts.total.backward()
    assert torch.isfinite(signal.grad).all()


def test_the_gate_trusts_a_right_teacher_and_not_a_wrong_one_or_a_pulse_free_clip():
    signal = sine(72.0).repeat(3, 1)
    rate = torch.tensor([72.0, 120.0, 72.0])
    gate = teacher_gate(signal, rate, torch.tensor([True, True, False]), FS_HZ)
    assert float(gate[0]) > 0.85
    assert float(gate[1]) < 0.1
    assert float(gate[2]) == 0.0


def test_gated_out_clips_do_not_pull():
    student = torch.randn(2, 200, requires_grad=True)
    teacher = sine(72.0, 200).repeat(2, 1)
    loss, _ = signal_loss(student, teacher, torch.tensor([1.0, 0.0]), FS_HZ, DistillWeights())
    loss.backward()
    assert student.grad[0].abs().sum() > 0
    assert student.grad[1].abs().sum() == 0


def test_the_feature_weight_falls_from_one_to_a_tenth():
    weights = DistillWeights()
    assert weights.features(0.0) == pytest.approx(1.0)
    assert weights.features(0.5) == pytest.approx(0.55)
    assert weights.features(1.0) == pytest.approx(0.1)


def test_traces_are_standardised_and_maps_of_unit_norm():
    features = torch.randn(2, 45, 5, 12, 12) * 3.0 + 1.0
    traces = standardised_traces(features)
    assert traces.shape == (2, 45, 5)
    torch.testing.assert_close(traces.mean(1), torch.zeros(2, 5), atol=1e-4, rtol=0)
    torch.testing.assert_close(traces.std(1), torch.ones(2, 5), atol=1e-2, rtol=0)
    maps = attention_maps(features)
    assert maps.shape == (2, 3, 6, 6)
    torch.testing.assert_close(maps.flatten(2).norm(dim=2), torch.ones(2, 3), atol=1e-4, rtol=0)


def test_features_are_compared_at_the_same_input_frames():
    # the "features" of either network are the number of the input frame they belong to
    loss = FeatureLoss(TINY, TINY_TEACHER)
    steps, skip = 100, 5

    def taps(spec, sides):
        out = []
        for tap, (channels, side) in zip(spec.taps, sides):
            number = torch.arange(steps) - spec.delay_after(tap)
            wave = torch.sin(0.2 * number)[None, :, None, None, None] + 2.0
            out.append(wave.expand(1, steps, channels, side, side).contiguous())
        return out

    known = loss.knowledge(torch.zeros(1, steps), taps(TINY_TEACHER, [(6, 12), (8, 6)]), skip)
    with torch.no_grad():
        for projection, (mine, theirs) in zip(loss.projections, [(4, 6), (6, 8)]):
            projection.weight.copy_(torch.full((theirs, mine), 1.0 / mine))
            projection.bias.zero_()
    aligned = loss(taps(TINY, [(4, 12), (6, 6)]), known, skip)
    assert float(aligned.detach()) < 1e-5
    shifted = loss([t.roll(3, 1) for t in taps(TINY, [(4, 12), (6, 6)])], known, skip)
    assert float(shifted.detach()) > 0.05
