from __future__ import annotations

import json

import numpy as np
import pytest

from hrd.paths import models_dir
from tests.needs import needs

needs("onnx")

from tools.average_models import average, main  # noqa: E402


def weights(path) -> dict:
    import onnx
    from onnx import numpy_helper

    items = onnx.load(str(path)).graph.initializer
    return {item.name: numpy_helper.to_array(item) for item in items}


def test_a_model_goes_part_of_the_way_to_another(tmp_path) -> None:
    import onnx
    from onnx import numpy_helper

    shipped = models_dir() / "student.onnx"
    moved = onnx.load(str(shipped))
    for item in moved.graph.initializer:
        values = numpy_helper.to_array(item)
        if values.dtype == np.float32:
            item.CopyFrom(numpy_helper.from_array(values + np.float32(1.0), item.name))
    onnx.save(moved, str(tmp_path / "moved.onnx"))
    out = tmp_path / "between.onnx"
    assert main([str(shipped), str(tmp_path / "moved.onnx"), "0.25", str(out)]) == 0
    before, after = weights(shipped), weights(out)
    for name, values in before.items():
        apart = 0.25 if values.dtype == np.float32 else 0
        np.testing.assert_allclose(after[name], values + apart, atol=1e-6)
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["file"] == "between.onnx"
    assert "scores" not in card


def test_models_of_another_shape_are_refused() -> None:
    import onnx

    student, teacher = (
        onnx.load(str(models_dir() / f"{name}.onnx")) for name in ("student", "teacher")
    )
    with pytest.raises(ValueError, match="the second model has no"):
        average(student, teacher, 0.5)
