"""Addresses of network cameras: taken apart leniently, and shown without anything secret.

People paste passwords as they are, with ``@``, ``/``, ``[`` and ``?`` in them, into the place for
user and password, into the query or into the path. So nothing is shown because it looks harmless
by a list of bad names: a part is shown only if it has the shape of something that is no secret.
Pure: no network here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Tuple
from urllib.parse import quote

HIDDEN = "***"
"""What stands in a shown address for whatever may be secret."""

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]*):[/\\]{2}")
_NEAR_SCHEME = re.compile(
    r"\s*(?:rtsps?|rtmps?|https?|rtp|srt|udp|tcp|mms)\s*[:;/\\]", re.IGNORECASE
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9._\-]+)(?::\d*)?")
_PLAIN_HOST = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]|localhost)(?::\d*)?")
"""What nobody would choose as a user name."""
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")

_SHOWN_KEYS = frozenset(
    (  # noqa: SIM905 - a list of forty lines reads no better
        "ch chn channel channelid camera cam cameraid stream streamid streamtype subtype profile "
        "resolution res size width height w h fps rate framerate codec quality compression action "
        "proto unicast trackid track id video audio type transport"
    ).split()
)
_SHOWN_VALUE = re.compile(
    r"(?:main|sub|live|onvif|tcp|udp|true|false|yes|no|on|off|h26[45]|m?jpe?g)?"
    r"\d{0,4}(?:x\d{1,4})?(?:\.sdp)?",
    re.IGNORECASE,
)
_SHOWN_SEGMENT = re.compile(r"[A-Za-z0-9._\-]{1,32}")
_TOKEN = re.compile(r"(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{12,}")
_BEFORE_A_SECRET = frozenset(
    (  # noqa: SIM905 - a list of forty lines reads no better
        "user username usr login account auth pass passwd password pwd pw secret token key sid "
        "session"
    ).split()
)
_BEFORE_TWO_SECRETS = frozenset(("live", "movie"))


@dataclass(frozen=True)
class Address:
    """``scheme://credentials@host/rest``. ``credentials`` as typed, None where there are none;
    ``host`` with its port; ``rest`` begins with ``/``, ``?`` or ``#`` or is empty. ``ambiguous``:
    an ``@`` further on may mean that ``host`` and ``rest`` are parts of a password."""

    scheme: str
    credentials: Optional[str]
    host: str
    rest: str
    ambiguous: bool

    @property
    def host_name(self) -> str:
        """The host without port and brackets."""
        name = re.sub(r":\d*$", "", self.host)
        return name[1:-1] if name.startswith("[") and name.endswith("]") else name

    @property
    def port(self) -> Optional[int]:
        """The port that is given, None where it is left to the scheme."""
        match = re.search(r":(\d{1,5})$", self.host)
        return int(match.group(1)) if match else None

    def for_ffmpeg(self) -> str:
        """The address with user and password escaped, as FFmpeg takes an address apart."""
        if self.credentials is None:
            return f"{self.scheme}://{self.host}{self.rest}"
        user, colon, password = self.credentials.partition(":")
        return f"{self.scheme}://{_escaped(user)}{colon}{_escaped(password)}@{self.host}{self.rest}"

    def shown(self) -> str:
        """The address with nothing in it that may be secret."""
        if self.ambiguous:
            return f"{self.scheme}://{HIDDEN}"
        path, mark, query = _split_query(self.rest)
        shown = f"{self.scheme}://{self.host}{_shown_path(path)}"
        return shown + (mark + _shown_pairs(query) if mark else "")


def split_address(url: str) -> Optional[Address]:
    """Take ``scheme://...`` apart; None for what is no address.

    The last ``@`` before the first ``/``, ``?`` or ``#`` ends user and password, as usual. Where
    that leaves no host (a password with ``/`` in it), the last ``@`` of all does.
    """
    match = _SCHEME.match(url)
    if match is None:
        return None
    scheme, text = match.group(1).lower(), url[match.end() :].strip()
    end = re.search(r"[/?#\\]", text)
    authority = text[: end.start()] if end else text
    rest = text[end.start() :] if end else ""
    credentials, at, host = authority.rpartition("@")
    if _HOST.fullmatch(host):
        ambiguous = "@" in _unescaped_at(rest) and not (not at and _PLAIN_HOST.fullmatch(host))
        return Address(scheme, credentials if at else None, host, rest, ambiguous)
    credentials, at, tail = text.rpartition("@")
    end = re.search(r"[/?#\\]", tail)
    host, rest = (tail[: end.start()], tail[end.start() :]) if end else (tail, "")
    if not at or not _HOST.fullmatch(host):
        return Address(scheme, None, "", "", True)  # no host: nothing that could be opened
    return Address(scheme, credentials, host, rest, False)


def shown_address(spec: str) -> str:
    """A source's name as it may be logged, shown and sent: an address without its secrets, a file
    name as it is. What looks like a mistyped address is treated as one."""
    address = split_address(spec)
    if address is not None:
        if address.scheme in ("file", "csi", "v4l2"):
            return printable(spec)
        return printable(address.shown())
    if is_mistyped_address(spec):
        return HIDDEN
    return printable(spec)


def is_mistyped_address(spec: str) -> bool:
    """Something that is no file name but an address without its ``rtsp://``, or with a slip in it,
    and that may hold a password."""
    if _NEAR_SCHEME.match(spec):
        return True
    return re.match(r"[^/\\]+:.*@", spec, re.DOTALL) is not None


def printable(text: str) -> str:
    """``text`` in characters that any UTF-8 output takes: bytes of a file name that are no UTF-8
    as ``\\xe9``, line breaks and other control characters escaped."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda m: f"\\x{ord(m.group()):02x}", text)


def _escaped(part: str) -> str:
    """Percent-encoded, unless it already is."""
    if _ESCAPED.search(part) and not re.search(r"[/?#@\[\] ]", part):
        return part
    return quote(part, safe="!$&'()*+,;=~.-_")


def _unescaped_at(rest: str) -> str:
    return re.sub(r"%40", "@", rest, flags=re.IGNORECASE)


def _split_query(rest: str) -> Tuple[str, str, str]:
    match = re.search(r"[?#]", rest)
    if match is None:
        return rest, "", ""
    return rest[: match.start()], match.group(), rest[match.end() :]


def _shown_path(path: str) -> str:
    shown: List[str] = []
    for segment in re.split(r"([/\\])", path):
        if segment in ("/", "\\", ""):
            shown.append(segment)
        elif "=" in segment:
            shown.append(_shown_pairs(segment))
        elif _SHOWN_SEGMENT.fullmatch(segment) and not _TOKEN.fullmatch(segment):
            shown.append(segment)
        else:
            shown.append(HIDDEN)
    return _hide_after_names("".join(shown))


def _hide_after_names(path: str) -> str:
    """Hide what follows a path's ``user``, ``password`` and the like, and what servers of films
    have after ``live``: user, password and a number."""
    parts = path.split("/")
    names = [part.lower() for part in parts]
    for at, name in enumerate(names):
        if name in _BEFORE_TWO_SECRETS:
            if len(parts) - at > 3:
                parts[at + 1] = parts[at + 2] = HIDDEN
        elif name in _BEFORE_A_SECRET and at + 1 < len(parts) and parts[at + 1]:
            parts[at + 1] = HIDDEN
    return "/".join(parts)


def _shown_pairs(query: str) -> str:
    """``a=b&c=d``: values are shown of known names only, and only if they are plain."""
    shown: List[str] = []
    for part in re.split(r"([&;,?/])", query):
        key, equals, value = part.partition("=")
        known = key.lower() in _SHOWN_KEYS and _SHOWN_VALUE.fullmatch(value) is not None
        if part in ("&", ";", ",", "?", "/", "") or (equals and known):
            shown.append(part)
        elif equals and re.fullmatch(r"[A-Za-z_\-]{1,16}", key):
            shown.append(f"{key}={HIDDEN}")
        else:
            shown.append(HIDDEN)
    return "".join(shown)
