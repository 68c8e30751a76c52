"""A GPU that is not there: stand-ins for ``tensorrt`` and ``pycuda`` that really compute.

The two modules have as much of the real ones' interface as the worker uses (``make
check-tensorrt`` holds that against the real ones), in pure Python 3.6, with the interface of the
version that ``FAKE_TRT`` names: 8.2 the old, 8.6 both, 10 the new. "Device memory" is bytes in the
worker; a network is computed by ONNX Runtime in the test's own process (``server.py``), which the
worker reaches over the socket ``FAKE_GPU_SOCKET``. Copies and runs happen when the stream is
synchronised, as on a real GPU at the latest; whatever relies on more than that fails here too.

The file ``FAKE_GPU_FAULT`` names the fault of the next run: see ``tensorrt/__init__.py``.
"""
