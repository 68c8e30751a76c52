"""ONNX Runtime, on the CPU or on CUDA where it is really there."""

from __future__ import annotations

import logging
import re
from typing import Dict, List, Optional

import numpy as np

from hrd.engine.base import EngineError, EngineInfo
from hrd.engine.card import model_path, read_facts
from hrd.engine.network import NetworkEngine
from hrd.types import CROP_PX

logger = logging.getLogger(__name__)

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_LOG_ERRORS_ONLY = 3
_PROOF_FRAMES = 30  # a chunk


class OnnxEngine(NetworkEngine):
    """Streams chunks through an exported model, carrying its state tensors along.

    ``provider``: ``cpu``, ``cuda`` (an error if CUDA is not really used) or ``auto``. The session
    is asked what it runs on *after* creation: asked for CUDA without a GPU, ONNX Runtime falls
    back to the CPU without a word.
    """

    def __init__(self, model: str = "student", provider: str = "cpu", threads: int = 1) -> None:
        path = model_path(model)
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                f"ONNX Runtime cannot be loaded ({error}); install it with: pip install onnxruntime"
            ) from error
        onnxruntime.set_default_logger_severity(_LOG_ERRORS_ONLY)
        available = onnxruntime.get_available_providers()
        if provider == "cuda" and _CUDA not in available:
            raise EngineError(
                "this ONNX Runtime has no CUDA support; install NVIDIA's onnxruntime-gpu build for "
                "this JetPack, or use --engine onnx without CUDA"
            )
        wanted = [_CUDA, _CPU] if provider != "cpu" and _CUDA in available else [_CPU]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # 2 MB that it would keep for good; without them a chunk takes no longer
        options.enable_cpu_mem_arena = False
        options.log_severity_level = _LOG_ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # ONNX Runtime raises types of its own, unrelated to each other
            raise EngineError(_why_unreadable(path, error, onnxruntime.__version__)) from error
        used = self._session.get_providers()[0]
        if provider == "cuda" and used != _CUDA:
            raise EngineError("ONNX Runtime could not start CUDA and fell back to the CPU")
        facts = read_facts(self._session.get_modelmeta().custom_metadata_map, path)
        self._states = self._check_shapes(str(path))
        self.delay_frames = facts.delay_frames
        # every temporal layer's state holds what it looks back on, and the looks add up
        self.history_frames = sum(shape[2] for shape in self._states.values() if len(shape) > 2)
        self.info = EngineInfo(
            name="onnx",
            model=facts.name,
            provider="cuda" if used == _CUDA else "cpu",
            params=facts.params,
            macs_per_frame=facts.macs_per_frame,
        )
        self._outputs = ["bvp"] + [f"next_{name}" for name in self._states]
        self._prove(str(path))
        self.reset()

    def forget(self) -> None:
        self._state: Dict[str, np.ndarray] = {
            name: np.zeros(shape, np.float32) for name, shape in self._states.items()
        }

    def infer(self, frames: np.ndarray) -> np.ndarray:
        try:
            bvp, *states = self._session.run(self._outputs, {"frames": frames, **self._state})
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {_first_line(error)}") from error
        bvp = np.asarray(bvp, np.float32).reshape(-1)
        if bvp.shape != (len(frames),):
            raise EngineError(f"the model gave {len(bvp)} samples for {len(frames)} frames")
        # a state that is not finite spoils all that follows, even where these samples are good
        if not all(np.isfinite(values).all() for values in (bvp, *states)):
            raise EngineError("the model gave samples that are not finite numbers")
        self._state = dict(zip(self._state, states))
        return bvp

    def _prove(self, path: str) -> None:
        """Run a few made-up frames. Raises ``EngineError`` for a model whose output is unusable."""
        shape = (_PROOF_FRAMES, 3, CROP_PX, CROP_PX)
        # about as large as normalised frames; numpy.random would take 5 MB for this alone
        waves = np.sqrt(2.0) * np.sin(np.arange(np.prod(shape)) ** 1.5).reshape(shape)
        try:
            for scale in (0.0, 1.0, 5.0):
                for count in (_PROOF_FRAMES, 1):
                    self.forget()
                    self.infer((scale * waves[:count]).astype(np.float32))
        except EngineError as error:
            raise EngineError(
                f"{path} does not work when tried ({error}); export it again with hrd export"
            ) from None

    def _check_shapes(self, path: str) -> Dict[str, List[int]]:
        """State names and shapes; raises ``EngineError`` if the model has another interface."""
        kinds = {node.name: node.type for node in self._session.get_inputs()}
        kinds.update({node.name: node.type for node in self._session.get_outputs()})
        other = sorted({kind for kind in kinds.values() if kind != "tensor(float)"})
        if other:
            raise EngineError(
                f"{path} reads or gives {', '.join(map(_number_format, other))}, hrd's models "
                "32-bit floats; export it again with hrd export"
            )
        inputs = {node.name: list(node.shape) for node in self._session.get_inputs()}
        outputs = {node.name: list(node.shape) for node in self._session.get_outputs()}
        frames: Optional[List[object]] = inputs.pop("frames", None)
        expected = [3, CROP_PX, CROP_PX]
        if frames is None or len(frames) != 4 or frames[1:] != expected:
            raise EngineError(
                f"{path} reads frames of shape {frames}, hrd's models read [T, 3, {CROP_PX}, "
                f"{CROP_PX}]; export it again with hrd export"
            )
        if isinstance(frames[0], int):
            raise EngineError(
                f"{path} is fixed to chunks of {frames[0]} frames; export it with a free first axis"
            )
        wrong = [
            name
            for name, shape in inputs.items()
            if outputs.get(f"next_{name}") != shape or not all(isinstance(n, int) for n in shape)
        ]
        if "bvp" not in outputs or wrong:
            raise EngineError(
                f"{path} lacks the output bvp or a matching state ({', '.join(wrong) or 'none'}); "
                "export it again with hrd export"
            )
        return inputs


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _number_format(kind: str) -> str:
    known = {"tensor(float16)": "16-bit floats (FP16)", "tensor(double)": "64-bit floats"}
    return known.get(kind, kind)


def _why_unreadable(path: object, error: Exception, version: str) -> str:
    said = str(error)
    newer = re.search(r"(opset|IR version):? (\d+)(?= is under| is not|, max)", said, re.IGNORECASE)
    if newer:
        what = f"{newer.group(1).lower()} {newer.group(2)}"
        return (
            f"{path} is written for a newer ONNX ({what}) than ONNX Runtime {version} reads; "
            "export it again with hrd export, or install a newer onnxruntime"
        )
    return (
        f"{path} is not a readable ONNX model ({_first_line(error)}); "
        "export it again with hrd export"
    )
