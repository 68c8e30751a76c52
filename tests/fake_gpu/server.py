"""What computes for the stand-ins: ONNX Runtime behind a UNIX socket."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import struct
import threading
from typing import Any, Dict

import numpy as np


class GpuServer:
    """Serves any number of workers, each in a thread, until closed.

    ``fp16_error``: by how much results of FP16 engines are off, relative. ``runs`` counts.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.fp16_error = 1e-4
        self.runs = 0
        self._sessions: Dict[str, Any] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()
        os.unlink(self.path)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while True:
                head = stream.read(4)
                if len(head) < 4:
                    return
                size = struct.unpack("<I", head)[0]
                body = stream.read(size)
                if len(body) < size:  # the worker was killed while it asked
                    return
                request = pickle.loads(body)
                answer = pickle.dumps(self._answer(request), protocol=2)
                stream.write(struct.pack("<I", len(answer)) + answer)
                stream.flush()

    def _answer(self, request: Dict[str, Any]) -> Dict[str, Any]:
        try:
            session = self._session(request["onnx"])
        except Exception as error:
            return {"error": str(error)}
        if request["what"] == "describe":
            return {
                "inputs": [(node.name, _shape(node)) for node in session.get_inputs()],
                "outputs": [(node.name, _shape(node)) for node in session.get_outputs()],
            }
        self.runs += 1
        feed = {
            name: np.frombuffer(data, np.float32).reshape(shape)
            for name, (data, shape) in request["feed"].items()
        }
        names = [node.name for node in session.get_outputs()]
        results = dict(zip(names, session.run(names, feed)))
        if request["half"]:
            results["bvp"] = results["bvp"] * np.float32(1.0 + self.fp16_error)
        return {name: np.ascontiguousarray(value).tobytes() for name, value in results.items()}

    def _session(self, onnx: bytes) -> Any:
        import onnxruntime

        digest = hashlib.sha256(onnx).hexdigest()
        if digest not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            self._sessions[digest] = onnxruntime.InferenceSession(
                onnx, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[digest]


def _shape(node: Any) -> Any:
    return [side if isinstance(side, int) else -1 for side in node.shape]
