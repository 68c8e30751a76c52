"""The daemon, its socket, its service and who belongs to them."""

from __future__ import annotations

import getpass
import grp
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

from hrd import __version__
from hrd.client import Client, ClientError, NoDaemonError
from hrd.config import Config
from hrd.doctor.finding import Finding, Verdict
from hrd.service.install import UNITS, Host, up_to_date
from hrd.service.unit import SERVICE
from hrd.status import Status


def groups(config: Config) -> List[Finding]:
    """Groups that open the cameras, the GPU and the socket."""
    if os.geteuid() == 0:
        return [Finding("groups", Verdict.OK, "you are root, and need no groups")]
    wanted: Dict[str, str] = {}
    if list(Path("/dev").glob("video*")) or list(Path("/dev").glob("nvhost*")):
        wanted["video"] = "cameras and a Jetson's GPU"
    wanted[config.socket.group] = "the socket"
    mine = set(os.getgroups()) | {os.getegid()}
    missing: List[Tuple[str, str]] = []
    has: List[Tuple[str, str]] = []
    for name, purpose in wanted.items():
        try:
            gid = grp.getgrnam(name).gr_gid
        except KeyError:
            continue  # made by hrd service install, and of no use before
        (has if gid in mine else missing).append((name, purpose))
    if not missing:
        names = ", ".join(name for name, _ in has) or "none are needed"
        return [Finding("groups", Verdict.OK, f"you belong to {names}" if has else names)]
    return [
        Finding(
            "groups",
            Verdict.WARN,
            f"you are not in the group {name} ({purpose})",
            f"sudo usermod -aG {name} {getpass.getuser()}, then log in again",
        )
        for name, purpose in missing
    ]


def socket_file(config: Config) -> List[Finding]:
    path = config.socket.path
    folder = os.path.dirname(os.path.abspath(path))
    existing = folder
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    try:  # by trying: access bits say nothing of read-only and special file systems
        os.rmdir(tempfile.mkdtemp(prefix=".hrd-doctor-", dir=existing))
    except OSError:
        pass
    else:
        return [Finding("socket", Verdict.OK, f"{path} can be made")]
    if os.path.exists(path) and os.access(path, os.W_OK):
        return [Finding("socket", Verdict.OK, f"{path} can be read")]
    return [
        Finding(
            "socket",
            Verdict.FAIL,
            f"you may not write in {existing}, where the socket {path} would be",
            "run hrd as a service or as root, or use --socket /tmp/hrd.sock",
        )
    ]


def unit(config: Config) -> List[Finding]:
    """Whether hrd is a service here, and the one that this hrd would install."""
    if not Path("/run/systemd/system").is_dir():
        return [Finding("service", Verdict.OK, "no systemd here: start it with hrd run")]
    if not (UNITS / SERVICE).exists():
        return [Finding("service", Verdict.OK, "not installed (sudo hrd service install)")]
    state = _systemctl("is-active")
    if state == "failed":
        text = "the service has failed"
        return [Finding("service", Verdict.WARN, text, "journalctl -u hrd -n 20 says why")]
    if not up_to_date(Host(), config):
        text = f"{state}, but its unit is not what this hrd and its config would install"
        return [Finding("service", Verdict.WARN, text, "sudo hrd service install")]
    restarts = _systemctl("show", "-p", "NRestarts", "--value")
    text = f"{state}, {_systemctl('is-enabled')} at boot, {restarts or '0'} restarts"
    if state == "inactive":
        return [Finding("service", Verdict.WARN, text, "sudo systemctl start hrd")]
    return [Finding("service", Verdict.OK, text)]


def _systemctl(*words: str) -> str:
    try:
        done = subprocess.run(
            ["systemctl", *words, SERVICE], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def daemon(config: Config) -> List[Finding]:
    if not os.path.exists(config.socket.path):
        return [Finding("daemon", Verdict.OK, "none running (start it with: hrd run)")]
    try:
        with Client(config.socket.path, timeout_s=3.0) as client:
            status = Status.from_message(client.status())
            release = client.release
    except ClientError as error:
        # a file that a daemon has left behind is no fault: the next one replaces it
        verdict = Verdict.OK if isinstance(error, NoDaemonError) else Verdict.WARN
        return [Finding("daemon", verdict, str(error))]
    text = f"running on {config.socket.path}, {status.state or 'starting'}"
    if release != __version__:
        text += f", but it is hrd {release} and this is {__version__}"
        return [Finding("daemon", Verdict.WARN, text, "sudo systemctl restart hrd")]
    if status.camera.failure:
        text += f": {status.camera.failure}"
        return [Finding("daemon", Verdict.WARN, text, "see the camera's findings")]
    return [Finding("daemon", Verdict.OK, text)]
