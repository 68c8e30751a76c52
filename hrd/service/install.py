"""``hrd service``: the steps that make hrd a service of this machine, and undo it.

Each step looks first whether it has been done, so that all may be repeated at any time, and says
what it does. What they do goes through ``Host``.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence

import hrd
from hrd.config import Config, load_config
from hrd.config_text import to_toml
from hrd.errors import HrdError
from hrd.files import write_whole
from hrd.paths import SYSTEM_CONFIG
from hrd.service.unit import SERVICE, SOCKET, needed_network, render, units_dir

USER = "hrd"
UNITS = Path("/etc/systemd/system")
CACHE = Path("/var/cache/hrd")
RUNTIME = Path("/run/hrd")

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What the service cannot see: ProtectHome= and PrivateTmp=."""

_GPU_GROUPS = ("video", "render")


class Host:
    """The machine as the steps see it. ``root``: where its files are (for tests)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def path(self, path: Path) -> Path:
        """Where a file of the machine is."""
        return self._root / path.relative_to("/")

    def run(self, *command: str) -> None:
        """Run a command; raises ``HrdError`` with what it said if it fails."""
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise HrdError(f"{command[0]} cannot be run ({error.strerror}).") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise HrdError(f"{' '.join(command)} failed: {said[-1] if said else 'without a word'}")

    def ask(self, *command: str) -> str:
        """What a command prints; empty if it cannot be run."""
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError:
            return ""
        return done.stdout.strip()

    def has_group(self, name: str) -> bool:
        try:
            grp.getgrnam(name)
        except KeyError:
            return False
        return True

    def has_user(self, name: str) -> bool:
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def give(self, path: Path, user: str, group: str, mode: int) -> None:
        """Owner and permissions of a file."""
        shutil.chown(str(self.path(path)), user, group)
        os.chmod(self.path(path), mode)

    def check(self) -> None:
        """Raise ``HrdError`` unless this machine runs systemd and we may change it."""
        if not self.path(Path("/run/systemd/system")).is_dir():
            raise HrdError(
                "systemd does not run this machine: start the daemon with hrd run --persist."
            )
        if os.geteuid() != 0:
            raise HrdError(
                f"a service can be installed by root only: sudo {' '.join(own_command())} service "
                "install"
            )


@dataclass(frozen=True)
class Step:
    """``text`` after "make" or "keep". ``done``: nothing to do. ``do``: does it."""

    verb: str
    text: str
    done: bool
    do: Callable[[], object]


@dataclass(frozen=True)
class Options:
    """Of ``hrd service install`` and ``uninstall``."""

    socket_activation: bool = False
    start: bool = True
    purge: bool = False


Say = Callable[[str], object]


def install(host: Host, options: Options, say: Say, dry_run: bool = False) -> None:
    """Make hrd a service, or bring the installed one up to date. Raises ``HrdError``."""
    why = unreadable_by_service(own_paths())
    if why is not None:
        raise HrdError(why)
    config = _installed_config(host)
    network = needed_network(config)
    command = _command()
    service = _service(host, config)
    socket_unit = (units_dir() / SOCKET).read_text(encoding="utf-8")
    run = host.run
    changed = _differs(host, UNITS / SERVICE, service)
    steps = [
        Step("make", f"the group {USER}", host.has_group(USER), lambda: run(*_GROUPADD)),
        Step("make", f"the user {USER}, without a login", host.has_user(USER), _useradd(host)),
        Step(
            "write",
            f"{SYSTEM_CONFIG}, with the defaults",
            host.path(SYSTEM_CONFIG).exists(),
            lambda: _write_config(host),
        ),
        Step(
            "write",
            f"{UNITS / SERVICE}: {' '.join(command)}, with {network.value}",
            not changed,
            lambda: write_unit(host, UNITS / SERVICE, service),
        ),
    ]
    wanted = options.socket_activation
    has_socket = host.path(UNITS / SOCKET).exists()
    if wanted:
        changed = changed or _differs(host, UNITS / SOCKET, socket_unit)
        steps.append(
            Step(
                "write",
                str(UNITS / SOCKET),
                not _differs(host, UNITS / SOCKET, socket_unit),
                lambda: write_unit(host, UNITS / SOCKET, socket_unit),
            )
        )
    elif has_socket:
        changed = True
        steps += _remove_unit(host, SOCKET)
    steps.append(
        Step("tell", "systemd that units have changed", not changed, lambda: run(*_RELOAD))
    )
    enable = SOCKET if wanted else SERVICE
    steps.append(
        Step(
            "enable",
            f"{enable} at boot",
            host.ask("systemctl", "is-enabled", enable) == "enabled",
            lambda: run("systemctl", "enable", "-q", enable),
        )
    )
    if wanted and host.ask("systemctl", "is-enabled", SERVICE) == "enabled":
        steps.append(
            Step(
                "leave",
                f"{SERVICE} to the first client",
                False,
                lambda: run("systemctl", "disable", "-q", SERVICE),
            )
        )
    if options.start:
        active = host.ask("systemctl", "is-active", enable) == "active"
        verb = "restart" if changed and active else "start"
        steps.append(
            Step(
                verb,
                f"{enable} ({RUNTIME} and {CACHE} are made by systemd)",
                active and not changed,
                lambda: _start(host, enable, verb, wanted),
            )
        )
    take_steps(steps, say, dry_run)


def up_to_date(host: Host, config: Config) -> bool:
    """Whether the installed unit is the one that ``install`` would write for this config."""
    return not _differs(host, UNITS / SERVICE, _service(host, config))


def _command() -> List[str]:
    return [*own_command(), "run", "--persist"]


def _service(host: Host, config: Config) -> str:
    return render(
        (units_dir() / SERVICE).read_text(encoding="utf-8"),
        _command(),
        [name for name in _GPU_GROUPS if host.has_group(name)],
        needed_network(config),
    )


def uninstall(host: Host, options: Options, say: Say, dry_run: bool = False) -> None:
    """Undo ``install``. Config, cache and user stay unless ``options.purge``."""
    run = host.run
    steps: List[Step] = []
    had = False
    for unit in (SOCKET, SERVICE):
        exists = host.path(UNITS / unit).exists()
        had = had or exists
        if exists or unit == SERVICE:
            steps += _remove_unit(host, unit)
    steps.append(Step("tell", "systemd that units have gone", not had, lambda: run(*_RELOAD)))
    steps.append(_remove_tree(host, RUNTIME))
    if options.purge:
        steps += [_remove_tree(host, SYSTEM_CONFIG.parent), _remove_tree(host, CACHE)]
        steps += [
            Step(
                "remove",
                f"the user {USER}",
                not host.has_user(USER),
                lambda: run("userdel", USER),
            ),
            Step(
                "remove",
                f"the group {USER}",
                not host.has_group(USER) and not host.has_user(USER),
                # userdel takes a group of the same name with it
                lambda: run("groupdel", USER) if host.has_group(USER) else None,
            ),
        ]
    take_steps(steps, say, dry_run)
    if not options.purge:
        say(f"{SYSTEM_CONFIG.parent}, {CACHE} and the user {USER} stay (--purge removes them)")


def status(host: Host, say: Say) -> bool:
    """Say how the service does; returns whether it runs."""
    if not host.path(UNITS / SERVICE).exists():
        say("not installed: sudo hrd service install")
        return False
    active = host.ask("systemctl", "is-active", SERVICE)
    enabled = host.ask("systemctl", "is-enabled", SERVICE)
    say(f"{SERVICE} is {active or 'in an unknown state'}, {enabled or 'unknown'} at boot")
    if host.path(UNITS / SOCKET).exists():
        say(f"{SOCKET} is {host.ask('systemctl', 'is-active', SOCKET)}")
    names = ("StatusText", "MainPID", "NRestarts", "ActiveEnterTimestamp", "Result")
    for name in names:
        value = host.ask("systemctl", "show", "-p", name, "--value", SERVICE)
        if value and value != "0" or name == "NRestarts":
            say(f"  {name}: {value}")
    try:
        text = host.path(UNITS / SERVICE).read_text(encoding="utf-8")
        line = next(x for x in text.splitlines() if x.startswith("ExecStart="))
        say(f"  runs: {line[len('ExecStart=') :]}")
    except (OSError, StopIteration):
        pass
    if active != "active":
        say("  why: journalctl -u hrd -n 20")
    return active == "active"


_GROUPADD = ("groupadd", "--system", USER)
_RELOAD = ("systemctl", "daemon-reload")


def _useradd(host: Host) -> Callable[[], None]:
    options = ["--system", "--gid", USER, "--no-create-home", "--home-dir", str(CACHE)]
    return lambda: host.run("useradd", *options, "--shell", "/usr/sbin/nologin", USER)


def take_steps(steps: Sequence[Step], say: Say, dry_run: bool) -> None:
    """Say each step, and do what has not been done."""
    for step in steps:
        if step.done:
            say(f"  done     {step.text}")
            continue
        say(f"{'would ' if dry_run else '  '}{step.verb:8} {step.text}")
        if not dry_run:
            step.do()


def _remove_unit(host: Host, unit: str) -> List[Step]:
    exists = host.path(UNITS / unit).exists()
    return [
        Step(
            "stop",
            f"{unit}, now and at boot",
            not exists,
            lambda: host.run("systemctl", "disable", "-q", "--now", unit),
        ),
        Step("remove", str(UNITS / unit), not exists, lambda: host.path(UNITS / unit).unlink()),
    ]


def _remove_tree(host: Host, path: Path) -> Step:
    return Step(
        "remove",
        str(path),
        not host.path(path).exists(),
        lambda: shutil.rmtree(str(host.path(path)), ignore_errors=True),
    )


def _start(host: Host, unit: str, verb: str, by_socket: bool) -> None:
    if by_socket:  # a running service holds the path that the socket wants
        host.run("systemctl", "stop", SERVICE)
    host.run("systemctl", "reset-failed", unit)
    host.run("systemctl", verb, unit)


def _differs(host: Host, path: Path, text: str) -> bool:
    try:
        return host.path(path).read_text(encoding="utf-8") != text
    except OSError:
        return True


def write_unit(host: Host, path: Path, text: str) -> None:
    """Write a file of the machine."""
    target = host.path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, text.encode("utf-8"))


def _write_config(host: Host) -> None:
    example = units_dir() / SYSTEM_CONFIG.name
    text = example.read_text(encoding="utf-8") if example.is_file() else to_toml(Config())
    write_unit(host, SYSTEM_CONFIG, text)
    # an RTSP address may hold a password
    host.give(SYSTEM_CONFIG, "root", USER, 0o640)


def _installed_config(host: Host) -> Config:
    path = host.path(SYSTEM_CONFIG)
    return load_config(path) if path.exists() else Config()


def own_command() -> List[str]:
    """How this hrd is started: its script, or its module where there is none."""
    script = Path(sys.executable).with_name("hrd")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "hrd"]


def own_paths() -> List[Path]:
    """What the service must be able to read: the interpreter, the package, what it imports."""
    import numpy

    return [
        Path(own_command()[0]),
        Path(sys.executable),
        Path(sys.executable).resolve(),
        Path(hrd.__file__).resolve(),
        Path(numpy.__file__).resolve(),
    ]


def unreadable_by_service(paths: Sequence[Path]) -> Optional[str]:
    """A sentence if the service, which is another user and sees no homes, could not read one."""
    for path in paths:
        hidden = next((top for top in _HIDDEN if Path(top) in path.parents), None)
        why = f"the service sees nothing in {hidden}" if hidden else _forbidden(path)
        if why is not None:
            return (
                f"{path} cannot be used by the service ({why}): install hrd where every user can "
                "read it (sudo python3 -m venv /opt/hrd && sudo /opt/hrd/bin/pip install "
                "'/path/to/checkout[cpu]', or a wheel in its place), then sudo "
                "/opt/hrd/bin/hrd service install."
            )
    return None


def _forbidden(path: Path) -> Optional[str]:
    try:
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return f"{folder} is closed to other users"
        if not path.stat().st_mode & stat.S_IROTH:
            return "it is closed to other users"
    except OSError as error:
        return str(error.strerror)
    return None
