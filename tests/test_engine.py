from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

import numpy as np
import pytest

from hrd.engine.base import Engine, EngineError
from hrd.engine.card import model_path, models_dir, read_card
from hrd.engine.onnx import OnnxEngine
from hrd.engine.pos import PosEngine
from hrd.engine.select import open_engine
from hrd.pos import pos_windows
from hrd.types import CROP_PX, RoiChunk
from tests.needs import needs

FS = 30.0


def chunk(frames: int = 240, bpm: float = 66.0, start: int = 0) -> RoiChunk:
    rng = np.random.default_rng(3)
    t = np.arange(frames) / FS
    pulse = 0.01 * np.sin(2 * np.pi * bpm / 60 * t)[:, None] * np.array([0.33, 0.77, 0.53])
    crops = np.array([150.0, 110.0, 90.0]) * (1 + pulse[:, None, None, :])
    crops = crops + rng.standard_normal((frames, CROP_PX, CROP_PX, 3))
    still = np.zeros((frames, 2), np.float32)
    return RoiChunk(0.0, FS, crops.astype(np.float32), np.zeros(frames, bool), still)


def part(whole: RoiChunk, start: int, stop: int) -> RoiChunk:
    part = slice(start, stop)
    return RoiChunk(start / FS, FS, whole.crops[part], whole.cut[part], whole.shift_px[part])


def engines() -> list[Engine]:
    return [PosEngine(), OnnxEngine("student")]


@pytest.mark.parametrize("hop", [1, 17, 30])
@pytest.mark.parametrize("engine", engines(), ids=lambda e: e.info.name)
def test_any_chunking_gives_the_same_signal(engine: Engine, hop: int) -> None:
    whole = chunk()
    whole.cut[100] = True
    engine.reset()
    at_once = engine.process(whole).bvp
    engine.reset()
    parts = [engine.process(part(whole, i, min(i + hop, 240))) for i in range(0, 240, hop)]
    np.testing.assert_allclose(np.concatenate([p.bvp for p in parts]), at_once, atol=1e-4)
    for i, pulse in enumerate(parts):
        assert pulse.start_s == pytest.approx((i * hop - engine.delay_frames) / FS)


@pytest.mark.parametrize("engine", engines(), ids=lambda e: e.info.name)
def test_the_pulse_comes_out_at_its_rate_and_reset_forgets(engine: Engine) -> None:
    whole = chunk(450, bpm=78.0)
    engine.reset()
    first = engine.process(whole).bvp
    signal = first[engine.delay_frames + 30 :]
    spectrum = np.abs(np.fft.rfft(signal - signal.mean(), 8192))
    frequency = np.fft.rfftfreq(8192, 1 / FS)
    band = (frequency > 0.7) & (frequency < 4)
    assert 60 * frequency[band][spectrum[band].argmax()] == pytest.approx(78.0, abs=2.0)
    engine.reset()
    np.testing.assert_array_equal(engine.process(whole).bvp, first)


def test_pos_survives_a_step_of_the_level_at_a_cut() -> None:
    whole = chunk(300)
    stepped = dataclasses.replace(whole, crops=whole.crops.copy(), cut=whole.cut.copy())
    stepped.crops[150:] *= np.array([1.3, 0.8, 1.1], np.float32)
    stepped.cut[150] = True
    clean, bridged = PosEngine().process(whole).bvp, PosEngine().process(stepped).bvp
    assert np.corrcoef(clean[60:], bridged[60:])[0, 1] > 0.97


def test_pos_of_constant_colour_is_silent() -> None:
    assert not pos_windows(np.tile([150.0, 110.0, 90.0], (2, 48, 1))).any()


def test_auto_takes_the_network_and_says_why() -> None:
    selection = open_engine("auto")
    assert selection.engine.info.name == "onnx"
    assert selection.why.startswith("ONNX Runtime on")
    assert selection.engine.info.provider in ("cpu", "cuda")


def test_auto_falls_back_to_pos_and_says_why(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("hrd.engine.card.models_dir", lambda: tmp_path)
    selection = open_engine("auto")
    assert selection.engine.info.name == "pos"
    assert "there is no model" in selection.why


def test_a_model_that_the_user_named_is_never_replaced_in_silence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="there is no model"):
        open_engine("auto", str(tmp_path / "mine.onnx"))


def test_corrupt_model_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(models_dir().joinpath("student.onnx").read_bytes()[:5000])
    with pytest.raises(EngineError, match="not a readable ONNX model"):
        OnnxEngine(str(path))
    path.write_text("hello")
    with pytest.raises(EngineError, match="not a readable ONNX model"):
        OnnxEngine(str(path))
    with pytest.raises(EngineError, match="is not a file"):
        OnnxEngine(str(tmp_path))


def _foreign_model(path: Path, shape: list[object], metadata: dict[str, str]) -> None:
    onnx = needs("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["frames"], ["bvp"], axes=[1, 2, 3], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("frames", kind, shape)],
        [helper.make_tensor_value_info("bvp", kind, [shape[0]])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())


def _good_metadata() -> dict[str, str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model_path("student")))
    return dict(session.get_modelmeta().custom_metadata_map)


def test_model_of_another_kind_or_shape_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "foreign.onnx"
    _foreign_model(path, ["T", 3, 36, 36], {})
    with pytest.raises(EngineError, match="contract absent"):
        OnnxEngine(str(path))
    _foreign_model(path, ["T", 3, 72, 72], _good_metadata())
    with pytest.raises(EngineError, match="72"):
        OnnxEngine(str(path))
    _foreign_model(path, [128, 3, 36, 36], _good_metadata())
    with pytest.raises(EngineError, match="fixed to chunks of 128"):
        OnnxEngine(str(path))
    _foreign_model(path, ["T", 3, 36, 36], {**_good_metadata(), "hrd.fs_hz": "25"})
    with pytest.raises(EngineError, match="hrd.fs_hz=25"):
        OnnxEngine(str(path))
    _foreign_model(path, ["T", 3, 36, 36], _good_metadata())
    assert len(OnnxEngine(str(path)).process(chunk(30)).bvp) == 30


def _model_of(
    path: Path,
    nodes: list[tuple[str, list[str], list[str], dict[str, object]]],
    opset: int = 11,
    kind: str = "FLOAT",
    metadata: Optional[dict[str, str]] = None,
) -> str:
    """A stateless model of the right interface, of nodes (operator, in, out, settings)."""
    onnx = needs("onnx")
    helper, number = onnx.helper, getattr(onnx.TensorProto, kind)
    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, **more) for op, inputs, outputs, more in nodes],
        "g",
        [helper.make_tensor_value_info("frames", number, ["T", 3, 36, 36])],
        [helper.make_tensor_value_info("bvp", number, None)],
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=7)
    helper.set_model_props(model, metadata or _good_metadata())
    path.write_bytes(model.SerializeToString())
    return str(path)


_MEAN = ("ReduceMean", ["frames"], ["mean"], {"axes": [1, 2, 3], "keepdims": 0})


def test_a_model_that_answers_nonsense_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    nan = [_MEAN, ("Sub", ["mean", "mean"], ["zero"], {}), ("Div", ["zero", "zero"], ["bvp"], {})]
    with pytest.raises(EngineError, match="does not work when tried.*not finite"):
        OnnxEngine(_model_of(path, nan))
    infinite = [_MEAN, ("Sub", ["mean", "mean"], ["zero"], {}), ("Log", ["zero"], ["bvp"], {})]
    with pytest.raises(EngineError, match="does not work when tried.*not finite"):
        OnnxEngine(_model_of(path, infinite))
    whole = [("ReduceMean", ["frames"], ["bvp"], {"axes": [0, 1, 2, 3], "keepdims": 0})]
    with pytest.raises(EngineError, match="gave 1 samples for 30 frames"):
        OnnxEngine(_model_of(path, whole))
    each = [("ReduceMean", ["frames"], ["bvp"], {"axes": [2, 3], "keepdims": 0})]
    with pytest.raises(EngineError, match="gave 90 samples for 30 frames"):
        OnnxEngine(_model_of(path, each))


def test_a_model_in_fp16_or_of_a_newer_opset_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    good = [(*_MEAN[:2], ["bvp"], _MEAN[3])]
    with pytest.raises(EngineError, match=r"16-bit floats \(FP16\)"):
        OnnxEngine(_model_of(path, good, kind="FLOAT16"))
    with pytest.raises(EngineError, match=r"newer ONNX \(opset 99\) than ONNX Runtime"):
        OnnxEngine(_model_of(path, good, opset=99))
    with pytest.raises(EngineError, match="delay of -5 frames"):
        OnnxEngine(_model_of(path, good, metadata={**_good_metadata(), "hrd.delay_frames": "-5"}))


def test_a_model_that_fails_later_is_an_engine_error(tmp_path: Path) -> None:
    nodes = [
        ("Abs", ["frames"], ["positive"], {}),
        ("ReduceMax", ["positive"], ["bvp"], {"axes": [1, 2, 3], "keepdims": 0}),
    ]
    engine = OnnxEngine(_model_of(tmp_path / "m.onnx", nodes))
    frames = np.ones((4, 3, CROP_PX, CROP_PX), np.float32)
    assert engine.infer(frames) == pytest.approx([1.0] * 4)
    with pytest.raises(EngineError, match="not finite"):
        engine.infer(np.full_like(frames, np.inf))
    assert engine.infer(frames) == pytest.approx([1.0] * 4)


def test_cuda_is_refused_where_it_is_not() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(EngineError, match="no CUDA"):
        OnnxEngine("student", provider="cuda")


def test_unreadable_card_is_empty(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("[1]")
    assert read_card(tmp_path / "m.onnx") == {}
    assert read_card(tmp_path / "absent.onnx") == {}


def test_onnx_runtime_reports_nothing_to_anybody() -> None:
    """With nowhere to keep its device's number it says so as soon as it wants to report."""
    environment = {**os.environ, "HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    code = "import hrd, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
