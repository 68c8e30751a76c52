"""Export: ONNX equals torch, streams, and says what it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest

from tests.needs import needs

torch = needs("torch")
onnx = needs("onnx")

from hrd import normalise  # noqa: E402
from hrd.cli.main import build_parser  # noqa: E402
from hrd.errors import HrdError  # noqa: E402
from hrd.train import export as export_module  # noqa: E402
from hrd.train.config import TrainConfig  # noqa: E402
from hrd.train.export import build_onnx, export, run_onnx, training_command  # noqa: E402
from hrd.train.models import STUDENT, NetSpec, PulseNet, Temporal, state_shapes  # noqa: E402
from tests.test_train_models import random_net  # noqa: E402
from tests.train_help import TINY  # noqa: E402

TENSORRT_8_2_OPERATORS = {
    "Add",
    "Concat",
    "Conv",
    "Div",
    "Elu",
    "Mul",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Transpose",
}


@pytest.mark.parametrize("spec", [TINY, STUDENT], ids=lambda spec: spec.name)
@pytest.mark.parametrize("chunks", [(90,), (1,), (30,), (7, 31, 2)], ids=str)
def test_onnx_runtime_streams_what_torch_computes_at_once(spec, chunks):
    net = random_net(spec)
    frames = np.random.default_rng(3).standard_normal((90, 3, 36, 36), np.float32)
    content = build_onnx(net, {}).SerializeToString()
    with torch.no_grad():
        wanted = net(torch.from_numpy(frames)[None])[0][0].numpy()
    found = run_onnx(content, frames, chunks)
    assert found.shape == (90,)
    assert found.dtype == np.float32
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(found, wanted, atol=1e-4 * wanted.std(), rtol=1e-4)


def test_a_residual_with_a_lag_of_its_own_is_folded_too():
    layers = list(TINY.layers)
    layers[4] = Temporal(6, dilation=2, residual=True, lag_frames=2)
    net = random_net(NetSpec("late", tuple(layers), TINY.taps))
    assert net.spec.delay_frames == TINY.delay_frames - 2
    frames = np.random.default_rng(3).standard_normal((60, 3, 36, 36), np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(frames)[None])[0][0].numpy()
    found = run_onnx(build_onnx(net, {}).SerializeToString(), frames, (13,))
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-4)


def test_the_graph_is_plain_enough_for_tensorrt_8_2():
    proto = build_onnx(random_net(STUDENT), {})
    assert {node.op_type for node in proto.graph.node} <= TENSORRT_8_2_OPERATORS
    assert proto.opset_import[0].version == 11
    for value in list(proto.graph.input) + list(proto.graph.output):
        dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        free = [d for d in dims if isinstance(d, str)]
        assert free == (["T"] if value.name in ("frames", "bvp") else []), value.name


def test_states_are_named_and_shaped_in_pairs():
    proto = build_onnx(random_net(STUDENT), {})
    inputs = {v.name: v for v in proto.graph.input}
    outputs = {v.name: v for v in proto.graph.output}
    for k, shape in enumerate(state_shapes(STUDENT)):
        for value in (inputs[f"state_{k}"], outputs[f"next_state_{k}"]):
            dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
            assert dims == [1, *shape]
    assert len(inputs) == len(outputs) == 1 + len(state_shapes(STUDENT))


def test_the_card_and_the_metadata_say_what_the_file_is(tmp_path):
    net = random_net(TINY)
    done = export(net, tmp_path / "tiny.onnx", {"command": "hrd train"}, {"mae_bpm": 1.25})
    card = json.loads(done.card_path.read_text())
    content = done.onnx_path.read_bytes()
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["training"] == {"command": "hrd train"}
    assert card["scores"] == {"mae_bpm": 1.25}
    assert card["inputs"]["state_0"] == [1, 4, 2, 144]
    metadata = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
    assert metadata == {
        "hrd.contract": "1",
        "hrd.name": "tiny",
        "hrd.fs_hz": "30",
        "hrd.crop_px": "36",
        "hrd.delay_frames": str(TINY.delay_frames),
        "hrd.normalisation": normalise.NAME,
        "hrd.params": str(sum(p.numel() for p in net.parameters())),
        "hrd.macs_per_frame": str(card["macs_per_frame"]),
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.json", "tiny.onnx"]


def test_exporting_twice_gives_the_same_bytes(tmp_path):
    net = random_net(TINY)
    first = export(net, tmp_path / "a.onnx").onnx_path.read_bytes()
    assert export(net, tmp_path / "b.onnx").onnx_path.read_bytes() == first


def test_a_file_that_differs_from_torch_is_not_written(tmp_path, monkeypatch):
    def wrong(model, metadata):
        model = PulseNet(model.spec).eval()  # other weights
        return build_onnx(model, metadata)

    monkeypatch.setattr(export_module, "build_onnx", wrong)
    with pytest.raises(HrdError, match="nothing was written"):
        export(random_net(TINY), tmp_path / "tiny.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_of_the_card_makes_that_run():
    config = TrainConfig(
        network="student",
        teacher="runs/t/last.pt",
        start_from="runs/s/last.pt",
        seed=3,
        data_seed=7,
    )
    content = {"config": asdict(config), "step": 1500, "clips": 3850}
    words = training_command(content).split()
    args = build_parser().parse_args(words[1:])
    assert (words[0], args.network, args.distill) == ("hrd", "student", "runs/t/last.pt")
    assert (args.start_from, args.seed, args.data_seed) == ("runs/s/last.pt", 3, 7)
    assert (args.clips, args.steps, args.batch) == (3850, 1500, config.batch_clips)
    assert args.learning_rate == config.learning_rate
