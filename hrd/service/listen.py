"""The listening UNIX socket and its file: made safely, a stale one replaced, a live one refused."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import logging
import os
import socket
import stat
import struct
import time
from typing import Iterator, NamedTuple, Optional, Tuple

from hrd.errors import HrdError

logger = logging.getLogger(__name__)

BACKLOG = 1024
DIRECTORY_MODE = 0o750

_PATH_LIMIT_BYTES = 107  # sockaddr_un.sun_path is 108 bytes with its final NUL (unix(7))
_LOCK_WAIT_S = 2.0
_ELSEWHERE = 'choose another path, for example --socket "$HOME/hrd.sock"'


class ServerError(HrdError):
    """The socket cannot be offered; the message says why and what to do."""


class Peer(NamedTuple):
    """Who is at the other end, from the kernel (``SO_PEERCRED``)."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"pid {self.pid}, uid {self.uid}, gid {self.gid}"


def peer_of(sock: socket.socket) -> Peer:
    """The process that connected (or, on a client's socket, that listens)."""
    layout = struct.Struct("3i")
    return Peer(*layout.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)))


class Listener:
    """A non-blocking listening socket. Made by ``listen`` or ``adopt``.

    ``close`` removes the socket file only if it is still the one made here, and the directory
    only if it was made here and is empty.
    """

    def __init__(
        self,
        sock: socket.socket,
        path: str,
        identity: Optional[Tuple[int, int]] = None,
        made_directory: bool = False,
    ) -> None:
        self.sock = sock
        self.path = path
        self._identity = identity  # (device, inode) of the file; None: not ours to remove
        self._made_directory = made_directory

    def close(self) -> None:
        """May be called twice."""
        if self._identity is not None:
            # Before the socket is closed: while it listens, no other daemon takes the path.
            with contextlib.suppress(OSError):
                if _identity(self.path) == self._identity:
                    os.unlink(self.path)
            self._identity = None
        self.sock.close()
        if self._made_directory:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(self.path))
            self._made_directory = False


def listen(path: str, mode: int = 0o660, group: Optional[str] = "hrd") -> Listener:
    """Listen on ``path`` with permission bits ``mode``, group ``group`` if there is such a one.

    Makes the last directory of the path if it is missing (0750). Raises ``ServerError``.
    """
    if "\0" in path:
        raise ServerError(f"The socket path {path!r} holds a NUL character: {_ELSEWHERE}.")
    path = os.path.abspath(path)
    length = len(os.fsencode(path))
    if length > _PATH_LIMIT_BYTES:
        raise ServerError(
            f"The socket path {path} is {length} bytes long and a UNIX socket's may be"
            f" {_PATH_LIMIT_BYTES}: choose a shorter one with --socket."
        )
    directory = os.path.dirname(path)
    gid = _gid_of(group)
    made_directory = _make_directory(directory, gid)
    try:
        with _locked(directory):
            _clear_the_way(path)
            sock = _bind(path, mode, gid)
        return Listener(sock, path, _identity(path), made_directory)
    except BaseException:
        if made_directory:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        raise


def adopt(sock: socket.socket) -> Listener:
    """Use a socket that somebody else made and listens on (systemd's socket activation).

    Its file, mode and group are theirs. Raises ``ServerError`` if it is no listening UNIX stream.
    """
    if (
        sock.family != socket.AF_UNIX
        or sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) != socket.SOCK_STREAM
        or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        raise ServerError(
            "The socket handed over is not a listening UNIX stream socket: use ListenStream= with"
            " a path in hrd.socket."
        )
    sock.setblocking(False)
    return Listener(sock, os.fsdecode(sock.getsockname()))


def _identity(path: str) -> Tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _gid_of(group: Optional[str]) -> Optional[int]:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        logger.debug("no group %s here: the socket keeps the group of this process", group)
        return None


def group_name(gid: int) -> str:
    """A group as people know it; its number where it has no name."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _give_to_group(path: str, gid: Optional[int]) -> None:
    if gid is None:
        return
    try:
        if os.stat(path).st_gid != gid:  # else not even asked: a service may not call chown
            os.chown(path, -1, gid)
    except PermissionError:
        logger.warning(
            "%s stays with the group %s, whose members alone may connect: only root or a member "
            "of the group %s may give it to that one (socket.group in the config)",
            path,
            group_name(os.getegid()),
            group_name(gid),
        )


def _make_directory(directory: str, gid: Optional[int]) -> bool:
    if os.path.isdir(directory):
        return False
    try:
        os.mkdir(directory, DIRECTORY_MODE)
    except FileExistsError:
        if os.path.isdir(directory):
            return False  # somebody was faster
        raise ServerError(
            f"{directory} is not a directory, so the socket cannot be made in it: {_ELSEWHERE}."
        ) from None
    except FileNotFoundError:
        raise ServerError(
            f"The directory {directory} for the socket does not exist:"
            f" make it with mkdir -p {directory}, or {_ELSEWHERE}."
        ) from None
    except OSError as error:
        raise ServerError(
            f"Cannot make the directory {directory} for the socket ({error.strerror}):"
            f" run hrd as its service or as root, or {_ELSEWHERE}."
        ) from None
    os.chmod(directory, DIRECTORY_MODE)  # the umask may have taken bits away
    _give_to_group(directory, gid)
    return True


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Keep a second daemon from looking at the path between our look and our ``listen``.

    Advisory, on the directory itself, so that no lock file is left behind. Anybody who may read
    the directory could hold it for ever: after a while go on without.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        deadline_s = time.monotonic() + _LOCK_WAIT_S
        while time.monotonic() < deadline_s:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    break  # a file system without locks
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def _clear_the_way(path: str) -> None:
    """Remove a stale socket file; refuse everything else that is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ServerError(
            f"Cannot look at the socket path {path} ({error.strerror}): {_ELSEWHERE}."
        ) from None
    if not stat.S_ISSOCK(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a file"
        raise ServerError(
            f"{path} is {kind} and not a socket, and hrd will not touch it:"
            f" remove it, or {_ELSEWHERE}."
        )
    if not _is_stale(path):
        return
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ServerError(
            f"Cannot remove the stale socket {path} ({error.strerror}):"
            f" remove it as its owner, or {_ELSEWHERE}."
        ) from None
    else:
        logger.info("replaced the stale socket %s", path)


def _is_stale(path: str) -> bool:
    """False if the file has just gone; raises ``ServerError`` if somebody listens on it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            return False
        except BlockingIOError:  # it listens, and its queue is full
            owner = ""
        except OSError as error:
            raise ServerError(
                f"{path} is a socket that hrd cannot examine ({error.strerror}):"
                f" remove it if nothing uses it, or {_ELSEWHERE}."
            ) from None
        else:
            owner = f" (process {peer_of(probe).pid})"
    raise ServerError(
        f"another hrd is already listening on {path}{owner}:"
        f" stop it (sudo systemctl stop hrd), or {_ELSEWHERE}."
    )


def _bind(path: str, mode: int, gid: Optional[int]) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux the file takes the mode of the socket, less the umask: it is never wider than
        # wanted, and the umask, which is the whole process's, need not be touched.
        os.fchmod(sock.fileno(), mode)
        sock.bind(path)
        try:
            _give_to_group(path, gid)
            os.chmod(path, mode)
            sock.setblocking(False)
            sock.listen(BACKLOG)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"another hrd is already listening on {path}:"
                f" stop it (sudo systemctl stop hrd), or {_ELSEWHERE}."
            ) from None
        raise ServerError(
            f"Cannot make the socket {path} ({error.strerror}):"
            f" run hrd as its service or as root, or {_ELSEWHERE}."
        ) from None
    except BaseException:
        sock.close()
        raise
    return sock
