"""A daemon from its start to its end: signals, systemd, the limit of open files."""

from __future__ import annotations

import logging
import resource
from contextlib import ExitStack
from typing import Callable, Optional

from hrd.config import Config
from hrd.errors import HrdError
from hrd.service.daemon import Daemon
from hrd.service.notify import Notifier, take_listen_socket
from hrd.service.signals import Signals

logger = logging.getLogger(__name__)

_SPARE_DESCRIPTORS = 76  # beside the clients': cameras, models, libraries


def serve(
    config: Config,
    persist: bool = False,
    load: Optional[Callable[[], Config]] = None,
) -> bool:
    """Run a daemon until SIGTERM, SIGINT or the end of its file. Raises ``HrdError``.

    ``load`` reads the configuration again at SIGHUP. Returns False if something hangs so that
    the process should end at once (``os._exit``) instead of waiting for it.
    """
    notifier = Notifier()
    listen_socket = take_listen_socket()
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(reload=load is not None))
        raise_file_limit(config.socket.max_clients + _SPARE_DESCRIPTORS)
        daemon = Daemon(config, signals.stop, persist, notifier, listen_socket)
        stack.callback(daemon.close)
        signals.on_hang = daemon.abandon

        def reloaded() -> Optional[Config]:
            if load is None or not signals.take_reload():
                return None
            try:
                return load()
            except HrdError as error:
                logger.error("reload: %s; the configuration stays as it was", error)
                return None

        daemon.run(reloaded)
    return not daemon.left_behind


def raise_file_limit(wanted: int) -> None:
    """Raise this process's soft limit of open files to ``wanted`` as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    limit = wanted if hard == resource.RLIM_INFINITY else max(soft, min(wanted, hard))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    except (OSError, ValueError):  # a service may be forbidden to
        limit = soft
    if limit < wanted:
        logger.warning(
            "only %d files may be open here: clients beyond about %d will be refused "
            "(LimitNOFILE= in the unit, ulimit -Hn in a shell)",
            limit,
            max(0, limit - _SPARE_DESCRIPTORS),
        )
