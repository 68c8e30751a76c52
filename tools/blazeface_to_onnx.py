"""Make models/face.onnx from MediaPipe's short-range face network (BlazeFace).

usage: pip install tflite onnx mediapipe==0.10.9
       python tools/blazeface_to_onnx.py [face_detection_short_range.tflite] [--out models]

The network lies in the mediapipe wheel under the Apache License 2.0. Its weights are copied
bit for bit (float16, as they are stored there); only the order of the axes changes, from
TensorFlow's NHWC to ONNX's NCHW. The result is deterministic: the same file gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

OPSET = 11
SIDE_PX = 128
WHEEL = "mediapipe==0.10.9"
INSIDE = "mediapipe/modules/face_detection/face_detection_short_range.tflite"

_OPERATORS = {
    getattr(tflite.BuiltinOperator, name): name
    for name in dir(tflite.BuiltinOperator)
    if name.isupper()
}
_TYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}


class Converter:
    """Walks the operators of a TFLite graph and writes their ONNX counterparts."""

    def __init__(self, data: bytes) -> None:
        self._model = tflite.Model.GetRootAsModel(data, 0)
        self._graph = self._model.Subgraphs(0)
        self._nodes: List[Any] = []
        self._initializers: List[Any] = []
        self._alias: Dict[int, int] = {}  # output of DEQUANTIZE -> the float16 tensor behind it
        self.params = 0
        self.macs = 0

    def convert(self) -> Any:
        """The ONNX model: ``image`` in, ``boxes`` and ``scores`` out."""
        for index in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(index)
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            name = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            handle = getattr(self, f"_{name.lower()}", None)
            if handle is None:
                raise SystemExit(f"no counterpart is written for the operator {name}")
            handle(operator, list(operator.InputsAsNumpy()), list(operator.OutputsAsNumpy()))
        (image,) = self._graph.InputsAsNumpy()
        boxes, scores = self._graph.OutputsAsNumpy()
        anchors, values = self._shape(boxes)[1:]
        rename = {self._name(image): "image", self._name(boxes): "boxes"}
        rename[self._name(scores)] = "scores"
        for node in self._nodes:
            node.input[:] = [rename.get(name, name) for name in node.input]
            node.output[:] = [rename.get(name, name) for name in node.output]
        graph = helper.make_graph(
            self._nodes,
            "blazeface-short-range",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE_PX, SIDE_PX])],
            [
                helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, anchors, values]),
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, anchors, 1]),
            ],
            self._initializers,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="hrd"
        )
        model.ir_version = 6  # of the oldest ONNX Runtime that hrd runs on
        onnx.checker.check_model(model)
        return model

    # Tensors.

    def _shape(self, tensor: int) -> List[int]:
        return [int(n) for n in self._graph.Tensors(tensor).ShapeAsNumpy()]

    def _name(self, tensor: int) -> str:
        return f"t{tensor}"

    def _constant(self, tensor: int) -> np.ndarray:
        """The values of a constant, as stored."""
        tensor = self._alias.get(tensor, tensor)
        described = self._graph.Tensors(tensor)
        data = self._model.Buffers(described.Buffer()).DataAsNumpy()
        return np.frombuffer(data.tobytes(), _TYPES[described.Type()]).reshape(self._shape(tensor))

    def _weights(self, name: str, values: np.ndarray) -> str:
        """Store float16 weights and the cast that makes float32 of them (folded at load)."""
        self.params += values.size
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name + "h"))
        self._nodes.append(helper.make_node("Cast", [name + "h"], [name], to=TensorProto.FLOAT))
        return name

    def _add_node(self, kind: str, inputs: Sequence[str], output: int, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [self._name(output)], **attributes))

    # Operators.

    def _dequantize(self, _: Any, inputs: List[int], outputs: List[int]) -> None:
        self._alias[outputs[0]] = inputs[0]

    def _conv_2d(self, operator: Any, inputs: List[int], outputs: List[int]) -> None:
        options = tflite.Conv2DOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        kernel = self._constant(inputs[1]).transpose(0, 3, 1, 2)  # O H W I -> O I H W
        self._convolve(options, inputs, outputs[0], kernel, group=1)

    def _depthwise_conv_2d(self, operator: Any, inputs: List[int], outputs: List[int]) -> None:
        options = tflite.DepthwiseConv2DOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        kernel = self._constant(inputs[1]).transpose(3, 0, 1, 2)  # 1 H W C -> C 1 H W
        self._convolve(options, inputs, outputs[0], kernel, group=len(kernel))

    def _convolve(
        self, options: Any, inputs: List[int], output: int, kernel: np.ndarray, group: int
    ) -> None:
        if options.FusedActivationFunction() != tflite.ActivationFunctionType.NONE:
            raise SystemExit("a fused activation was not expected")
        strides = [options.StrideH(), options.StrideW()]
        name = self._name(output)
        weights = self._weights(f"{name}w", kernel)
        bias = self._weights(f"{name}b", self._constant(inputs[2]))
        self._add_node(
            "Conv",
            [self._name(inputs[0]), weights, bias],
            output,
            kernel_shape=list(kernel.shape[2:]),
            strides=strides,
            pads=self._pads(options, self._shape(inputs[0]), kernel.shape[2:], strides),
            group=group,
        )
        _, rows, columns, _ = self._shape(output)
        self.macs += rows * columns * kernel.size

    @staticmethod
    def _pads(
        options: Any, shape: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
    ) -> List[int]:
        """TensorFlow's SAME: what does not divide evenly goes to the end."""
        if options.Padding() == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        begins, ends = [], []
        for size, taps, stride in zip(shape[1:3], kernel, strides):
            total = max(0, (-(-size // stride) - 1) * stride + taps - size)
            begins.append(total // 2)
            ends.append(total - total // 2)
        return begins + ends

    def _max_pool_2d(self, operator: Any, inputs: List[int], outputs: List[int]) -> None:
        options = tflite.Pool2DOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        kernel = [options.FilterHeight(), options.FilterWidth()]
        strides = [options.StrideH(), options.StrideW()]
        pads = self._pads(options, self._shape(inputs[0]), kernel, strides)
        self._add_node(
            "MaxPool",
            [self._name(inputs[0])],
            outputs[0],
            kernel_shape=kernel,
            strides=strides,
            pads=pads,
        )

    def _relu(self, _: Any, inputs: List[int], outputs: List[int]) -> None:
        self._add_node("Relu", [self._name(inputs[0])], outputs[0])

    def _add(self, _: Any, inputs: List[int], outputs: List[int]) -> None:
        self._add_node("Add", [self._name(tensor) for tensor in inputs], outputs[0])

    def _pad(self, _: Any, inputs: List[int], outputs: List[int]) -> None:
        pads = self._constant(inputs[1])[[0, 3, 1, 2]]  # N H W C -> N C H W
        name = f"{self._name(outputs[0])}p"
        self._initializers.append(
            numpy_helper.from_array(pads.T.reshape(-1).astype(np.int64), name)
        )
        self._add_node("Pad", [self._name(inputs[0]), name], outputs[0], mode="constant")

    def _reshape(self, _: Any, inputs: List[int], outputs: List[int]) -> None:
        turned = f"{self._name(outputs[0])}n"  # back to NHWC, which the flat order follows
        self._nodes.append(
            helper.make_node("Transpose", [self._name(inputs[0])], [turned], perm=[0, 2, 3, 1])
        )
        name = f"{self._name(outputs[0])}s"
        shape = np.array(self._shape(outputs[0]), np.int64)
        self._initializers.append(numpy_helper.from_array(shape, name))
        self._add_node("Reshape", [turned, name], outputs[0])

    def _concatenation(self, _: Any, inputs: List[int], outputs: List[int]) -> None:
        self._add_node("Concat", [self._name(tensor) for tensor in inputs], outputs[0], axis=1)


def find_network() -> Path:
    """The network in the installed mediapipe."""
    from importlib.util import find_spec

    spec = find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise SystemExit(f"mediapipe is not installed: pip install {WHEEL}, or give the file")
    return Path(spec.origin).parent.parent / INSIDE


def card(data: bytes, source: bytes, converter: Converter) -> Dict[str, Any]:
    """What models/face.json says."""
    sides: Tuple[int, int] = (SIDE_PX, SIDE_PX)
    return {
        "name": "face",
        "file": "face.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "opset": OPSET,
        "what": "BlazeFace, short range: faces of one to two metres before a camera",
        "paper": "Bazarevsky et al., BlazeFace: Sub-millisecond Neural Face Detection on Mobile "
        "GPUs, 2019 (arXiv:1907.05047)",
        "licence": "Apache-2.0 (Copyright The MediaPipe Authors); LICENSE-face.txt",
        "source": {
            "wheel": WHEEL,
            "file": INSIDE,
            "sha256": hashlib.sha256(source).hexdigest(),
        },
        "made_by": "tools/blazeface_to_onnx.py",
        "changes": "axes in ONNX's order; weights as they are, in float16",
        "params": converter.params,
        "macs_per_picture": converter.macs,
        "inputs": {"image": [1, 3, *sides]},
        "input_range": "RGB, -1 to 1; the picture fills one side, black the rest",
        "outputs": {"boxes": [1, 896, 16], "scores": [1, 896, 1]},
    }


def main() -> None:
    """Write face.onnx and its card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("network", nargs="?", type=Path, help="the .tflite file")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder to write to")
    args = parser.parse_args()
    source = (args.network or find_network()).read_bytes()
    converter = Converter(source)
    data = converter.convert().SerializeToString(deterministic=True)
    (args.out / "face.onnx").write_bytes(data)
    text = json.dumps(card(data, source, converter), indent=2)
    (args.out / "face.json").write_text(text + "\n", encoding="utf-8")
    print(f"{args.out / 'face.onnx'}: {len(data)} bytes, {converter.params} parameters")


if __name__ == "__main__":
    main()
