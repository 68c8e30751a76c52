"""CUDA through PyCUDA: one context, one stream, device memory and page-locked host memory."""

from typing import Any, Tuple

from . import framing
from .errors import WorkerError, is_memory_error


class Cuda:
    """The first GPU. Raises ``WorkerError`` where there is none; nothing else of CUDA is touched
    before this has worked."""

    def __init__(self) -> None:
        try:
            import pycuda.driver as driver
        except ImportError as error:
            raise WorkerError(
                framing.ABSENT,
                f"PyCUDA cannot be imported ({error}); install it for this Python with: "
                "python3 -m pip install pycuda",
            ) from error
        self._driver = driver
        try:
            driver.init()
            if driver.Device.count() == 0:
                raise WorkerError(framing.ABSENT, "CUDA finds no GPU")
            device = driver.Device(0)
            self._context = device.make_context()
            self.stream = driver.Stream()
            self.name = str(device.name())
            self.capability = tuple(int(part) for part in device.compute_capability())  # (5, 3)
            self.total_bytes = int(device.total_memory())
        except driver.Error as error:
            kind = framing.MEMORY if is_memory_error(error) else framing.ABSENT
            raise WorkerError(kind, f"CUDA cannot be started: {error}") from error

    def free_bytes(self) -> int:
        """Free memory of the GPU (on a Jetson: of the machine)."""
        return int(self._driver.mem_get_info()[0])

    def allocate(self, size_bytes: int) -> Any:
        """Device memory; ``int()`` of it is its address. It lives as long as the object."""
        return self._driver.mem_alloc(size_bytes)

    def pinned(self, size_bytes: int) -> memoryview:
        """Page-locked host memory, as bytes."""
        return memoryview(self._driver.pagelocked_empty(size_bytes, "uint8"))

    def upload(self, target: Any, source: memoryview) -> None:
        """Begin a copy from page-locked memory to the GPU."""
        self._driver.memcpy_htod_async(target, source, self.stream)

    def download(self, target: memoryview, source: Any) -> None:
        """Begin a copy from the GPU to page-locked memory."""
        self._driver.memcpy_dtoh_async(target, source, self.stream)

    def synchronize(self) -> None:
        """Wait until everything begun has ended."""
        self.stream.synchronize()

    def describe(self) -> Tuple[str, str]:
        """Name and compute capability, as ``("NVIDIA Tegra X1", "5.3")``."""
        major, minor = self.capability
        return self.name, f"{major}.{minor}"
