"""An engine's inputs and outputs, by name, in both of TensorRT's ways of addressing them.

8.2 knows numbered bindings only, 10 named tensors only, 8.5 and 8.6 both. What the module offers
decides, not its version.
"""

from typing import Any, Dict, List, Tuple, Union

Shape = Tuple[int, ...]


class NamedTensors:
    """TensorRT 8.5 and later: every tensor is addressed by its name."""

    def __init__(self, trt: Any, engine: Any, context: Any) -> None:
        self._engine = engine
        self._context = context
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        is_input = [engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names]
        self.inputs: List[str] = [name for name, first in zip(names, is_input) if first]
        self.outputs: List[str] = [name for name, first in zip(names, is_input) if not first]
        self.all_float = all(engine.get_tensor_dtype(name) == trt.DataType.FLOAT for name in names)

    def set_shape(self, name: str, shape: Shape) -> bool:
        """Fix the shape of an input; False if the engine can't take it."""
        return bool(self._context.set_input_shape(name, shape))

    def shape(self, name: str) -> Shape:
        """The shape of a tensor under the input shapes set so far; -1 where it is open."""
        return tuple(int(side) for side in self._context.get_tensor_shape(name))

    def place(self, addresses: Dict[str, int]) -> None:
        """Say where in the GPU's memory the tensors are."""
        for name, address in addresses.items():
            self._context.set_tensor_address(name, address)

    def enqueue(self, stream_handle: int) -> bool:
        """Begin the computation; False if it could not be begun."""
        return bool(self._context.execute_async_v3(stream_handle))


class NumberedBindings:
    """TensorRT up to 8.6: tensors are numbered, addresses are one list."""

    def __init__(self, trt: Any, engine: Any, context: Any) -> None:
        self._context = context
        names = [engine.get_binding_name(i) for i in range(engine.num_bindings)]
        self._index = {name: i for i, name in enumerate(names)}
        is_input = [engine.binding_is_input(i) for i in range(len(names))]
        self.inputs: List[str] = [name for name, first in zip(names, is_input) if first]
        self.outputs: List[str] = [name for name, first in zip(names, is_input) if not first]
        self.all_float = all(
            engine.get_binding_dtype(i) == trt.DataType.FLOAT for i in range(len(names))
        )
        self._addresses = [0] * len(names)

    def set_shape(self, name: str, shape: Shape) -> bool:
        """Fix the shape of an input; False if the engine can't take it."""
        return bool(self._context.set_binding_shape(self._index[name], shape))

    def shape(self, name: str) -> Shape:
        """The shape of a tensor under the input shapes set so far; -1 where it is open."""
        return tuple(int(side) for side in self._context.get_binding_shape(self._index[name]))

    def place(self, addresses: Dict[str, int]) -> None:
        """Say where in the GPU's memory the tensors are."""
        for name, address in addresses.items():
            self._addresses[self._index[name]] = address

    def enqueue(self, stream_handle: int) -> bool:
        """Begin the computation; False if it could not be begun."""
        return bool(self._context.execute_async_v2(self._addresses, stream_handle))


Tensors = Union[NamedTensors, NumberedBindings]


def open_tensors(trt: Any, engine: Any, context: Any) -> Tensors:
    """The newer way where the engine has it."""
    if hasattr(engine, "num_io_tensors"):
        return NamedTensors(trt, engine, context)
    return NumberedBindings(trt, engine, context)
