"""The TensorRT worker: a process of its own, run by whichever Python has ``tensorrt``.

On JetPack 4.6 that is Python 3.6, where hrd itself (3.8) can't run: nothing in this folder imports
from the rest of hrd, and all of it runs on Python 3.6 with the standard library, ``tensorrt`` and
``pycuda`` (and what these import). A crash in CUDA ends this process and not the daemon.

Started as ``python3 /path/to/hrd/engine/worker``. It speaks on its standard input and output; what
libraries print goes to standard error.

Protocol (version: ``framing.PROTOCOL``). Every message is a header, a JSON object and a blob:

======  =========================================================================================
bytes   header, little-endian
======  =========================================================================================
0-3     ``HRDT``
4       protocol version
5       kind of message
6-7     sequence number: a reply carries its request's
8-11    length of the JSON object
12-15   length of the blob
16-19   CRC-32 of JSON object and blob
======  =========================================================================================

The worker says ``HELLO`` once it has tried to import ``tensorrt``: ``{"python", "tensorrt"}``, the
latter absent where it can't be imported, with ``"missing"`` saying why. Then it answers requests,
one at a time:

=========  ============================================  ==========================================
request    JSON; blob                                    reply
=========  ============================================  ==========================================
PROBE      ``{}``                                        DEVICE ``{"name", "capability",
                                                         "total_mb", "free_mb"}``: CUDA works
BUILD      ``{"precision", "workspace_mb", "chunk",      any number of PROGRESS ``{"seconds",
           "timing_bytes"}``; timing cache, then ONNX    "note"}``, then BUILT ``{"precision",
                                                         "seconds", "timing_bytes"}``; timing cache,
                                                         then serialised engine
LOAD       ``{"chunk"}``; serialised engine              LOADED ``{"states", "gpu_mb"}``
RUN        ``{"frames", "reset"}``; float32              RESULT ``{"gpu_ms"}``; float32 (T,)
           (T, 3, 36, 36), 1 <= T <= chunk
SHUTDOWN   ``{}``                                        none: the worker exits
=========  ============================================  ==========================================

``reset`` makes the state zero first: a new stream begins. Anything may be answered by ERROR
``{"kind", "message"}``, of the kinds in ``framing``. CUDA is tried (by PROBE, or else before BUILD
and LOAD) before TensorRT's ``Runtime`` or ``Builder`` is touched: without a GPU, 8.6 crashes
there. The state tensors stay on the GPU. End of file on standard input ends the worker.
"""
