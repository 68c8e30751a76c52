"""The systemd units as they are installed: the shipped files with this machine's particulars."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Dict, List, Sequence

from hrd.capture.open import STREAM_SCHEMES
from hrd.config import Config

SERVICE = "hrd.service"
SOCKET = "hrd.socket"

MADE_BY = (
    "# Made by `hrd service install`: change systemd/ or use `systemctl edit hrd`, not this.\n"
)


class Network(enum.Enum):
    """How far the service may reach."""

    NONE = "no network at all"
    LOCALHOST = "localhost only (metrics)"
    ANY = "any address (a network camera)"


_NETWORK: Dict[Network, List[str]] = {
    Network.NONE: ["PrivateNetwork=yes", "IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX"],
    Network.LOCALHOST: [
        "PrivateNetwork=no",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "RestrictAddressFamilies=AF_UNIX AF_INET",
    ],
    Network.ANY: ["PrivateNetwork=no", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"],
}
_NETWORK_KEYS = ("PrivateNetwork=", "IPAddressDeny=", "RestrictAddressFamilies=")


def units_dir() -> Path:
    """The folder of the shipped units: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "systemd"
    return inside if inside.is_dir() else package.parent / "systemd"


def needed_network(config: Config) -> Network:
    """What the config asks for, and no more."""
    if config.source.spec.partition("://")[0].lower() in STREAM_SCHEMES:
        return Network.ANY
    return Network.LOCALHOST if config.metrics.enabled else Network.NONE


def render(
    template: str,
    command: Sequence[str],
    groups: Sequence[str] = ("video",),
    network: Network = Network.NONE,
) -> str:
    """``systemd/hrd.service`` with the command to run, the groups there are and the network."""
    lines: List[str] = []
    network_done = False
    for line in template.splitlines():
        new: List[str] = [line]
        if line.startswith("ExecStart="):
            new = ["ExecStart=" + " ".join(map(quoted, command))]
        elif line.startswith("SupplementaryGroups="):
            new = [f"SupplementaryGroups={' '.join(groups)}"] if groups else []
        elif line.startswith("# No network at all") and network is not Network.NONE:
            new = [f"# {network.value[0].upper()}{network.value[1:]}, as the config asks."]
        elif line.startswith(_NETWORK_KEYS):
            new = [] if network_done else _NETWORK[network]
            network_done = True
        lines += new
    return MADE_BY + "\n".join(lines) + "\n"


def quoted(word: str) -> str:
    """A word of ExecStart as systemd reads it (systemd.service(5), "Command lines")."""
    escaped = word.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    plain = all(c.isalnum() or c in "/._-+:=,@%" for c in word)
    return escaped if plain else f'"{escaped}"'
