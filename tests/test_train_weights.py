"""Training can begin from an exported file: the weights come back out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.needs import needs

torch = needs("torch")
onnx = needs("onnx")

from torch import Tensor  # noqa: E402

from hrd.engine.card import model_path  # noqa: E402
from hrd.errors import HrdError  # noqa: E402
from hrd.train.export import build_onnx, run_onnx  # noqa: E402
from hrd.train.loop import train  # noqa: E402
from hrd.train.models import SPECS, STUDENT, TEACHER, ConvLayer, PulseNet  # noqa: E402
from hrd.train.weights import load_onnx, open_network, settle  # noqa: E402
from tests.test_train_loop import QUICK  # noqa: E402
from tests.test_train_models import random_net  # noqa: E402
from tests.train_help import TINY, make_store  # noqa: E402


def frames_of(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, 36, 36)).astype(np.float32)


def signal(net: PulseNet, frames: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(frames)[None])[0][0].numpy()


@pytest.mark.parametrize("spec", [STUDENT, TEACHER], ids=lambda spec: spec.name)
def test_exporting_what_was_read_gives_the_same_output(spec, tmp_path: Path) -> None:
    content = build_onnx(random_net(spec), {"hrd.name": spec.name}).SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    net = load_onnx(path)
    again = build_onnx(net, {"hrd.name": spec.name}).SerializeToString()
    frames = frames_of(70)
    wanted = run_onnx(content, frames, (30,))
    tolerance = 1e-4 * wanted.std()
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(signal(net, frames), wanted, atol=tolerance)
    np.testing.assert_allclose(run_onnx(again, frames, (30,)), wanted, atol=tolerance)


@pytest.mark.parametrize("name", ["student", "teacher"])
def test_the_shipped_weights_come_back_out_of_their_files(name: str) -> None:
    net = open_network(name)
    assert net.spec == SPECS[name]
    frames = frames_of(70)
    wanted = run_onnx(model_path(name).read_bytes(), frames, (30,))
    np.testing.assert_allclose(signal(net, frames), wanted, atol=1e-4 * wanted.std())


def test_settling_keeps_the_output_and_makes_training_mode_agree_with_it() -> None:
    net = open_network("student")
    batch = torch.from_numpy(frames_of(6 * 60, 5).reshape(6, 60, 3, 36, 36))
    before = signal(net, frames_of(60))
    unsettled = training_output(net, batch)
    settle(net, [batch])
    np.testing.assert_allclose(signal(net, frames_of(60)), before, atol=1e-4 * before.std())
    with torch.no_grad():
        wanted = net(batch)[0].numpy()
    error = np.abs(training_output(net, batch) - wanted).max()
    assert error < 1e-3 * wanted.std()
    assert error < 1e-2 * np.abs(unsettled - wanted).max()
    for layer in net.layers:
        if isinstance(layer, ConvLayer):
            size = float(layer.conv.weight.detach().square().mean().sqrt())
            assert size == pytest.approx((3 * layer.conv.weight[0].numel()) ** -0.5, rel=1e-3)


def training_output(net: PulseNet, batch: Tensor) -> np.ndarray:
    """The output in training mode; the running statistics are left as they were."""
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    with torch.no_grad():
        found = net(batch)[0].numpy()
    net.load_state_dict(kept)
    net.eval()
    return found


def test_a_run_begins_where_the_file_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPECS, "tiny", TINY)
    wanted = random_net(TINY)
    path = tmp_path / "tiny.onnx"
    path.write_bytes(build_onnx(wanted, {"hrd.name": "tiny"}).SerializeToString())
    config = replace(
        QUICK, out=str(tmp_path / "run"), start_from=str(path), steps=1, learning_rate=1e-12
    )
    result = train(config, make_store(24, frames=80), spec=TINY)
    frames = frames_of(60)
    found = signal(open_network(str(result.checkpoint)), frames)
    expected = signal(wanted, frames)
    # one step of next to no size moves the batch statistics by a tenth, and the average by less
    assert np.corrcoef(found, expected)[0, 1] > 0.95


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(build_onnx(random_net(TINY), {"hrd.name": "student"}).SerializeToString())
    with pytest.raises(HrdError, match="where student has"):
        load_onnx(path)
    path.write_bytes(b"no model")
    with pytest.raises(HrdError, match="cannot read"):
        load_onnx(path)
    with pytest.raises(HrdError, match="no model at"):
        open_network(str(tmp_path / "absent.onnx"))
