"""The student with a fault built in: after so many chunks it hangs, or fails, for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrd.engine.card import models_dir

HANG, FAIL = "hang", "fail"


def faulty_student(path: Path, how: str, after_chunks: int) -> Path:
    """Write the student's ONNX file with one more state, which counts the chunks.

    ``HANG``: a loop that never ends. ``FAIL``: a reshape that cannot be.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: Any, kind: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(value, kind), name)

    model = onnx.load(str(models_dir() / "student.onnx"))
    graph = model.graph
    shape = [1]
    graph.input.append(helper.make_tensor_value_info("chunks", TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info("next_chunks", TensorProto.FLOAT, shape))
    graph.initializer.extend(
        [
            constant("fault_one", [1.0], np.float32),
            constant("fault_nought", [0.0], np.float32),
            constant("fault_after", [after_chunks - 0.5], np.float32),
        ]
    )
    nodes = [helper.make_node("Greater", ["chunks", "fault_after"], ["fault_now"])]
    if how == HANG:
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["cond"], ["cond_out"]),
                helper.make_node("Sin", ["value"], ["value_out"]),
            ],
            "body",
            [
                helper.make_tensor_value_info("turn", TensorProto.INT64, []),
                helper.make_tensor_value_info("cond", TensorProto.BOOL, []),
                helper.make_tensor_value_info("value", TensorProto.FLOAT, shape),
            ],
            [
                helper.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
                helper.make_tensor_value_info("value_out", TensorProto.FLOAT, shape),
            ],
        )
        graph.initializer.extend(
            [
                constant("fault_for_ever", [2**62], np.int64),
                constant("fault_once", [1], np.int64),
                constant("fault_true", True, np.bool_),
            ]
        )
        nodes += [
            helper.make_node("Where", ["fault_now", "fault_for_ever", "fault_once"], ["fault_n"]),
            helper.make_node("Squeeze", ["fault_n"], ["fault_turns"]),
            helper.make_node(
                "Loop", ["fault_turns", "fault_true", "fault_nought"], ["fault_out"], body=body
            ),
        ]
    else:
        graph.initializer.extend(
            [constant("fault_seven", [7], np.int64), constant("fault_fits", [1], np.int64)]
        )
        nodes += [
            helper.make_node("Where", ["fault_now", "fault_seven", "fault_fits"], ["fault_shape"]),
            helper.make_node("Reshape", ["fault_nought", "fault_shape"], ["fault_out"]),
        ]
    nodes += [
        helper.make_node("Mul", ["fault_out", "fault_nought"], ["fault_nothing"]),
        helper.make_node("Add", ["chunks", "fault_one"], ["fault_next"]),
        helper.make_node("Add", ["fault_next", "fault_nothing"], ["next_chunks"]),
    ]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
