"""Video files before they are decoded: what their names mean, whether they can be opened, pipes."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from typing import Any, List, Optional

from hrd.capture.address import printable
from hrd.capture.source import SourceError

_HEAD_BYTES = 64 * 1024
_WITHOUT_HEADER = (".yuv", ".rgb", ".raw", ".nv12", ".i420")


def shown_file(path: str) -> str:
    """A path as sentences name it."""
    return "standard input" if path == "/dev/stdin" else printable(path)


def check_file(path: str) -> None:
    """Raise ``SourceError`` where the name alone tells that there is nothing to read."""
    name = shown_file(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        meant = _source_meant(name)
        hint = f" (did you mean {meant}?)" if meant else ""
        raise SourceError(f"There is no file {name}{hint}: check the name.") from None
    except PermissionError:
        raise SourceError(f"{name} may not be read: check its permissions.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"{name} cannot be opened ({why}): check the name.") from None
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{name} is a directory: give the video file in it.")
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise SourceError(f"{name} is a device, not a video file; cameras are /dev/video0 and up.")
    if stat.S_ISSOCK(status.st_mode):
        raise SourceError(f"{name} is a socket, not a video file: check the name.")
    if stat.S_ISREG(status.st_mode):
        if status.st_size == 0:
            raise SourceError(f"{name} is empty: record it or copy it again.")
        if not os.access(path, os.R_OK):
            raise SourceError(f"{name} may not be read: check its permissions.")


def _source_meant(name: str) -> str:
    """The camera that a name which is no file stands for, as other programs call it."""
    simulated = re.fullmatch(r"[A-Za-z]{2,5}:(\w+=.*)", name)
    if simulated:
        return f"sim:{simulated[1]}"
    camera = re.fullmatch(r"(csi:?|(?:/dev/|v4l2?:)?(?:video)?)/*(\d{0,2})", name, re.IGNORECASE)
    if camera and (camera[1] or camera[2]):
        number = camera[2] or "0"
        return f"csi://{number}" if camera[1].lower().startswith("csi") else f"/dev/video{number}"
    return {"sim": "sim:bpm=72", "camera": "auto", "webcam": "auto"}.get(name.lower(), "")


def is_pipe(path: str) -> bool:
    """Something that can be read once and from its beginning only."""
    return not stat.S_ISREG(os.stat(path).st_mode)


def open_container(path: str) -> Any:
    """``av.open`` for any name of a file and for pipes. Raises what ``av.open`` raises.

    The name is never taken for a protocol or an option (``10:30.mp4``), and may be of bytes that
    are no UTF-8. An MP4 in a pipe whose index is at its end goes into a temporary file first.
    """
    import av

    if is_pipe(path):
        return av.open(_open_pipe(path))
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return av.open(_Reader(open(path, "rb"), shown_file(path)))
    return av.open(f"file:{path}")


class _Reader:
    """What PyAV needs of a file, under a name that it can take."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self.name = name
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell

    def close(self) -> None:
        self._file.close()


class _PipeReader:
    """A pipe whose first bytes have been looked at."""

    def __init__(self, fd: int, head: bytes, name: str) -> None:
        self._fd = fd
        self._head = head
        self.name = name

    def read(self, size: int) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return os.read(self._fd, size)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open_pipe(path: str) -> Any:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    head = b""
    try:
        while len(head) < _HEAD_BYTES:
            piece = os.read(fd, _HEAD_BYTES - len(head))
            head += piece
            if not piece or (len(head) >= 12 and head[4:8] != b"ftyp"):
                break
        pipe = _PipeReader(fd, head, shown_file(path))
        kinds = _boxes_of(head)
        if kinds[:1] != [b"ftyp"] or b"moov" in kinds:
            return pipe
        spool = tempfile.TemporaryFile(prefix="hrd-")  # noqa: SIM115 - the reader owns it
        while True:
            piece = pipe.read(1 << 20)
            if not piece:
                break
            spool.write(piece)
        pipe.close()
        spool.seek(0)
        return _Reader(spool, shown_file(path))
    except BaseException:
        os.close(fd)
        raise


def _boxes_of(head: bytes) -> List[bytes]:
    """Kinds of the top-level boxes that begin within ``head``."""
    kinds: List[bytes] = []
    position = 0
    while position + 8 <= len(head):
        size = int.from_bytes(head[position : position + 4], "big")
        kinds.append(head[position + 4 : position + 8])
        if size == 1:
            size = int.from_bytes(head[position + 8 : position + 16], "big")
        if size < 8:
            break
        position += size
    return kinds


def why_unreadable(path: str, error: Exception) -> str:
    """One sentence on why ``av.open`` failed."""
    name = shown_file(path)
    if lacks_moov(path):
        return (
            f"{name} was cut off before its index (moov) was written, so no player can read it: "
            "record it or copy it again."
        )
    import av

    if isinstance(error, av.error.EOFError):
        return f"{name} is not a video that can be read: it holds no frames; record it again."
    if isinstance(error, av.error.InvalidDataError):
        return f"{name} is not a video that can be read: give an mp4, mov, mkv, avi or webm file."
    invalid = getattr(error, "errno", None) == errno.EINVAL
    if invalid and path.lower().endswith(_WITHOUT_HEADER):
        return (
            f"{name} is raw video without a header, so the size of its pictures is not known: put "
            "it into a file that says it (y4m, mkv)."
        )
    why = getattr(error, "strerror", None) or error
    return f"{name} cannot be opened ({printable(str(why))}): check the file and its permissions."


def is_animated_webp(path: str) -> bool:
    """Pictures that move, of which FFmpeg reads none (RFC 9649, section 2.7.1)."""
    with open(path, "rb") as file:
        head = file.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def lacks_moov(path: str) -> bool:
    """True for an MP4 or QuickTime file whose index is missing: an interrupted recording.

    Walks the top-level boxes (ISO/IEC 14496-12, section 4.2), a seek for each.
    """
    kinds: List[bytes] = []
    try:
        if is_pipe(path):
            return False
        size_of_file = os.path.getsize(path)
        with open(path, "rb") as file:
            position = 0
            while position + 8 <= size_of_file and len(kinds) < 1000:
                file.seek(position)
                header = file.read(16)
                size, kind = int.from_bytes(header[:4], "big"), header[4:8]
                kinds.append(kind)
                if size == 1:  # a 64-bit size follows
                    size = int.from_bytes(header[8:16], "big")
                elif size == 0:  # up to the end of the file
                    break
                if size < 8:
                    break
                position += size
    except OSError:
        return False
    return bool(kinds) and kinds[0] == b"ftyp" and b"moov" not in kinds


def holds_one_picture(path: str) -> bool:
    """Whether a file that gives no times holds no film at all, but one picture."""
    import av

    try:
        with open_container(path) as container:
            packets = container.demux(container.streams.video[0])
            return sum(1 for _ in zip(range(2), (one for one in packets if one.size))) == 1
    except (av.error.FFmpegError, OSError, ValueError, IndexError):
        return False


def promised_s(container: Any, stream: Any) -> Optional[float]:
    """How long the file says its picture lasts, None where it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return float(container.duration) / 1e6  # sound may last longer than the picture
    return None


class Holes:
    """Notices bytes of an AVI that belong to none of its packets: pictures have been lost there.

    Recorders that pad their packets leave holes everywhere; these tell nothing.
    """

    _HEADER_BYTES = 8
    _FEW = 3
    _SHARE = 0.05

    def __init__(self) -> None:
        self._end: Optional[int] = None
        self._packets = 0
        self._holes = 0

    def before(self, packet: Any) -> bool:
        """Whether something is missing between the packet before and this one."""
        if packet.pos is None or packet.size == 0:
            return False
        end, self._end = self._end, packet.pos + self._HEADER_BYTES + packet.size + packet.size % 2
        self._packets += 1
        if end is None or packet.pos == end:
            return False
        self._holes += 1
        return self._holes <= self._FEW or self._holes < self._SHARE * self._packets
