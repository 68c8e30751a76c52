"""What the worker answers instead of a result."""


class WorkerError(Exception):
    """``kind``: one of the kinds in ``framing``; ``message``: a sentence for a person."""

    def __init__(self, kind: str, message: str) -> None:
        Exception.__init__(self, message)
        self.kind = kind
        self.message = message


def is_memory_error(error: object) -> bool:
    """Whether an error of CUDA, TensorRT or Python says that memory has run out."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower().replace("_", " ")
    return any(said in text for said in ("out of memory", "outofmemory", "bad alloc", "cuda 2:"))
