"""``hrd web`` from its start to its end."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Callable

from hrd.web.app import Site, serving
from hrd.web.guard import Guard, Listen
from hrd.web.hub import Hub


async def serve(
    path: str,
    listen: Listen,
    guard: Guard,
    viewers: int,
    show_token: bool,
    say: Callable[[str], object],
) -> int:
    """Until SIGINT or SIGTERM: returns 0. Raises ``HrdError``. ``show_token``: it was made for
    this run, so who starts it has to be told."""
    loop = asyncio.get_event_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    hub = Hub(path, say)
    async with serving(Site(hub, guard, viewers), listen) as port:
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        if listen.host in ("0.0.0.0", "::"):  # every address of this machine
            host = socket.gethostname()
        rest = f"?token={guard.token}" if show_token else ""
        say(f"open http://{host}:{port}/{rest}  (overlay: http://{host}:{port}/overlay{rest})")
        reading = loop.create_task(hub.run())
        waiting = loop.create_task(ended.wait())
        await asyncio.wait((reading, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if reading.done():
            reading.result()
        hub.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return 0
