"""The networks: size, streaming, delay."""

from __future__ import annotations

import pytest

from tests.needs import needs

torch = needs("torch")

from hrd.train.models import (  # noqa: E402
    STUDENT,
    TEACHER,
    NetSpec,
    Pool,
    PulseNet,
    Spatial,
    Temporal,
    count_params,
    geometries,
    macs_per_frame,
    state_bytes,
)
from tests.train_help import TINY  # noqa: E402


def random_net(spec: NetSpec, seed: int = 0) -> PulseNet:
    """A network whose batch norms are not the identity, so that folding them is put to the test."""
    torch.manual_seed(seed)
    net = PulseNet(spec)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.7, 1.3)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return net.eval()


def test_the_student_has_the_papers_number_of_parameters():
    assert count_params(PulseNet(STUDENT)) == 24_769


def test_the_teacher_has_the_papers_number_of_parameters_but_for_two():
    assert count_params(PulseNet(TEACHER)) == 795_809


def test_the_students_state_fits_in_a_megabyte_and_its_delay_in_a_second():
    assert state_bytes(STUDENT) < 1_000_000
    assert STUDENT.delay_frames <= 30
    assert TEACHER.delay_frames <= 30


def test_shapes_through_a_network_by_hand():
    shapes = [(g.out_channels, g.out_side) for g in geometries(TINY)]
    assert shapes == [(4, 12), (4, 12), (6, 6), (6, 6), (6, 6), (6, 1), (5, 1)]


def test_macs_by_hand():
    by_hand = (
        144 * 3 * 4 * 25
        + 144 * 4 * 4 * 3
        + 36 * 4 * 6 * 9
        + 36 * 6 * 6 * 9
        + 36 * 6 * 6 * 5
        + 2 * 36 * 6
        + 6 * 5 * 3
        + 5
    )
    assert macs_per_frame(TINY) == by_hand


@pytest.mark.parametrize("spec", [TINY, STUDENT], ids=lambda spec: spec.name)
@pytest.mark.parametrize("chunks", [[1] * 70, [30, 40], [7, 1, 62], [70]], ids=str)
def test_any_chunking_gives_the_output_of_one_pass(spec, chunks):
    net = random_net(spec)
    frames = torch.randn(1, 70, 3, 36, 36)
    with torch.no_grad():
        whole, _, _ = net(frames)
        state, parts, start = net.zero_state(), [], 0
        for length in chunks:
            part, state, _ = net(frames[:, start : start + length], state)
            parts.append(part)
            start += length
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)


def test_clips_of_a_batch_do_not_touch_each_other():
    net = random_net(TINY)
    frames = torch.randn(3, 40, 3, 36, 36)
    with torch.no_grad():
        together, _, _ = net(frames)
        alone, _, _ = net(frames[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


def test_an_output_sees_exactly_its_view_and_nothing_of_the_future():
    net = random_net(TINY)
    frames = torch.randn(1, 60, 3, 36, 36, requires_grad=True)
    signal, _, _ = net(frames)
    signal[0, 50].backward()
    seen = frames.grad.abs().sum((0, 2, 3, 4)).nonzero().flatten()
    assert int(seen.min()) == 50 - TINY.view_frames + 1
    assert int(seen.max()) == 50


def test_the_delay_is_the_lag_of_a_network_of_centre_taps():
    # every temporal kernel passes its centre tap only: an impulse must come out delay_frames later
    spec = NetSpec(
        "line",
        (
            Spatial(1, kernel=1, activation="none"),
            Temporal(1, kernel=5, dilation=2, activation="none"),
            Pool(),
            Temporal(1, kernel=3, activation="none"),
        ),
        taps=(0, 1),
    )
    net = PulseNet(spec).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size[1] == 1:
                module.weight.zero_()
                module.weight[:, :, module.kernel_size[0] // 2, 0] = 1.0
    frames = torch.zeros(1, 20, 3, 36, 36)
    frames[0, 4] = 1.0
    with torch.no_grad():
        signal, _, _ = net(frames)
    assert int(signal[0].abs().argmax()) == 4 + spec.delay_frames == 9


def test_a_network_without_pooling_is_refused():
    with pytest.raises(ValueError, match="no Pool"):
        PulseNet(NetSpec("flat", (Spatial(4), Temporal(4)), taps=(0, 1)))


def test_a_residual_layer_that_changes_shape_is_refused():
    with pytest.raises(ValueError, match="must keep its shape"):
        PulseNet(NetSpec("wrong", (Spatial(4, residual=True), Pool()), taps=(0, 1)))
