from __future__ import annotations

import pytest

from hrd.engine.card import model_path
from hrd.engine.onnx import OnnxEngine
from tests.needs import needs
from tools.roofline import (
    A57,
    NANO_FP16,
    LayerCost,
    Processor,
    count_layers,
    estimate,
    main,
)


def test_the_roofline_of_known_layers() -> None:
    processor = Processor(
        "p", peak_flops=1e9, bytes_per_s=1e9, value_bytes=4, efficiency=0.5, launch_s=1e-3
    )
    layers = [
        LayerCost("bound by arithmetic", 1_000_000, 1000),
        LayerCost("bound by memory", 0, 1_000_000),
    ]
    found = estimate(layers, 10, processor)
    # 2e6 operations at 0.5e9 a second; 4e6 bytes at 1e9 a second; two launches; ten frames
    assert found.s_per_frame == pytest.approx((4e-3 + 4e-3 + 2e-3) / 10)
    assert found.arithmetic_s == pytest.approx(4e-4)
    assert found.launches_s == pytest.approx(2e-4)


@pytest.mark.parametrize("model", ["student", "teacher"])
def test_the_arithmetic_is_what_the_model_says_of_itself(model: str) -> None:
    needs("onnx")
    layers = count_layers(str(model_path(model)))
    macs = sum(layer.macs for layer in layers) / 30
    stated = OnnxEngine(model).info.macs_per_frame
    assert stated is not None
    # the metadata also counts what the attention multiplies
    assert macs == pytest.approx(stated, rel=0.005)
    assert estimate(layers, 30, A57).s_per_frame > estimate(layers, 30, NANO_FP16).s_per_frame


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    needs("onnx")
    assert main(["student"]) == 0
    out = capsys.readouterr().out
    assert "ESTIMATE" in out
    assert "MACs" in out
    assert main(["nowhere.onnx"]) == 1
    assert "there is no model" in capsys.readouterr().err
