"""hrd: a real-time heart-rate daemon for NVIDIA Jetson Nano."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# ONNX Runtime 1.32 collects telemetry unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "ClientError", "HeartRate", "__version__"]

if TYPE_CHECKING:
    from hrd.async_client import AsyncClient
    from hrd.client import Client, ClientError, HeartRate
else:

    def __getattr__(name: str) -> object:
        # On first use: whoever imports hrd.types pays nothing for the client.
        if name == "AsyncClient":
            from hrd import async_client

            return async_client.AsyncClient
        if name in __all__:
            from hrd import client

            return getattr(client, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
