"""Why a network camera cannot be reached, asked of the network once opening it has failed."""

from __future__ import annotations

import socket
from typing import Optional

from hrd.capture.address import Address

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_TRY_S = 2.0


def why_unreachable(address: Address) -> Optional[str]:
    """The end of a sentence that begins with the address; None where the camera's port answers."""
    name = address.host_name
    port = address.port or _PORTS.get(address.scheme, 554)
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError, OverflowError):
        return f"cannot be found: no host {name} is known, check the name and the network."
    error: Optional[OSError] = None
    for family, kind, protocol, _, place in found[:4]:
        with socket.socket(family, kind, protocol) as probe:
            probe.settimeout(_TRY_S)
            try:
                probe.connect(place)
                return None
            except OSError as caught:
                error = caught
    if isinstance(error, ConnectionRefusedError):
        return (
            f"refuses connections on port {port}: check the port, and that the camera's "
            "streaming is on."
        )
    if isinstance(error, socket.timeout):
        return "does not answer: check that the camera is on and in the network."
    why = (error.strerror if error is not None else None) or "no route"
    return f"cannot be reached ({why}): check that the camera is on and in the network."
