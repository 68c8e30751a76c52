"""``hrd service`` without a systemd: its steps, on a machine that is a folder."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Dict, List, Set

import pytest

from hrd.config import Config, from_table
from hrd.errors import HrdError
from hrd.service import install as module
from hrd.service import web_unit
from hrd.service.install import (
    SYSTEM_CONFIG,
    UNITS,
    Host,
    Options,
    install,
    status,
    uninstall,
    unreadable_by_service,
)
from hrd.service.unit import Network, needed_network, quoted, render, units_dir

TEMPLATE = (units_dir() / "hrd.service").read_text(encoding="utf-8")


class Folder(Host):
    """A machine with users, groups and units of its own; it notes the commands."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.commands: List[str] = []
        self.groups: Set[str] = {"video"}
        self.users: Set[str] = set()
        self.states: Dict[str, Set[str]] = {"enabled": set(), "active": set()}

    def run(self, *command: str) -> None:
        self.commands.append(" ".join(command))
        name, *rest = command
        if name == "groupadd":
            self.groups.add(rest[-1])
        elif name == "useradd":
            self.users.add(rest[-1])
        elif name == "userdel":
            self.users.discard(rest[-1])
            self.groups.discard(rest[-1])
        elif name == "systemctl":
            verb, unit = rest[0], rest[-1]
            if verb in ("enable", "disable"):
                change = set.add if verb == "enable" else set.discard
                change(self.states["enabled"], unit)
                if "--now" in rest:
                    self.states["active"].discard(unit)
            elif verb in ("start", "restart"):
                self.states["active"].add(unit)

    def ask(self, *command: str) -> str:
        verb, unit = command[1], command[-1]
        if verb in ("is-enabled", "is-active"):
            state = verb[len("is-") :]
            return state if unit in self.states[state] else "inactive"
        return ""

    def has_group(self, name: str) -> bool:
        return name in self.groups

    def has_user(self, name: str) -> bool:
        return name in self.users

    def give(self, path: Path, user: str, group: str, mode: int) -> None:
        assert (user, group) == ("root", "hrd")
        os.chmod(self.path(path), mode)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(module, "own_command", lambda: ["/opt/hrd/bin/hrd"])
    monkeypatch.setattr(web_unit, "own_command", lambda: ["/opt/hrd/bin/hrd"])
    monkeypatch.setattr(module, "own_paths", list)
    return Folder(tmp_path)


def take(machine: Folder, what: object = install, dry_run: bool = False, **options: bool) -> str:
    said: List[str] = []
    what(machine, Options(**options), said.append, dry_run)  # type: ignore[operator]
    return "\n".join(said)


def test_everything_is_made_once(machine: Folder) -> None:
    said = take(machine)
    assert machine.commands == [
        "groupadd --system hrd",
        "useradd --system --gid hrd --no-create-home --home-dir /var/cache/hrd"
        " --shell /usr/sbin/nologin hrd",
        "systemctl daemon-reload",
        "systemctl enable -q hrd.service",
        "systemctl reset-failed hrd.service",
        "systemctl start hrd.service",
    ]
    unit = machine.path(UNITS / "hrd.service").read_text()
    assert "ExecStart=/opt/hrd/bin/hrd run --persist\n" in unit
    assert "SupplementaryGroups=video\n" in unit  # this machine has no group render
    config = machine.path(SYSTEM_CONFIG)
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert "no network at all" in said
    machine.commands.clear()
    again = take(machine)
    assert machine.commands == []
    assert {line.split()[0] for line in again.splitlines()} == {"done"}


def test_a_dry_run_changes_nothing(machine: Folder, tmp_path: Path) -> None:
    said = take(machine, dry_run=True)
    assert machine.commands == []
    assert list(tmp_path.iterdir()) == []
    assert all(line.startswith("would") for line in said.splitlines())
    take(machine)
    before = sorted(tmp_path.rglob("*"))
    machine.commands.clear()
    assert "would" in take(machine, uninstall, dry_run=True, purge=True)
    assert machine.commands == []
    assert sorted(tmp_path.rglob("*")) == before


def test_a_changed_unit_is_written_and_the_service_restarted(machine: Folder) -> None:
    take(machine)
    config = machine.path(SYSTEM_CONFIG)
    config.write_text('[source]\nspec = "rtsp://user:secret@camera/1"\n')
    machine.commands.clear()
    said = take(machine)
    assert "any address (a network camera)" in said
    assert "secret" not in said
    assert config.read_text().startswith("[source]")  # the user's own stays
    assert machine.commands[0] == "systemctl daemon-reload"
    assert machine.commands[-1] == "systemctl restart hrd.service"


def test_socket_activation_there_and_back(machine: Folder) -> None:
    take(machine)
    machine.commands.clear()
    take(machine, socket_activation=True)
    assert machine.states["enabled"] == {"hrd.socket"}
    assert machine.commands[-3:] == [
        "systemctl stop hrd.service",
        "systemctl reset-failed hrd.socket",
        "systemctl start hrd.socket",
    ]
    take(machine)
    assert machine.states["enabled"] == {"hrd.service"}
    assert not machine.path(UNITS / "hrd.socket").exists()


def test_uninstall_keeps_what_is_the_users_unless_told(machine: Folder) -> None:
    take(machine)
    said = take(machine, uninstall)
    assert "stay (--purge removes them)" in said
    assert machine.path(SYSTEM_CONFIG).exists()
    assert machine.states == {"enabled": set(), "active": set()}
    take(machine, uninstall)  # nothing left to do, and no complaint
    take(machine, uninstall, purge=True)
    assert not machine.path(SYSTEM_CONFIG).parent.exists()
    assert (machine.users, machine.groups) == (set(), {"video"})


def test_status_of_what_is_not_installed_and_of_what_is(machine: Folder) -> None:
    said: List[str] = []
    assert not status(machine, said.append)
    assert said == ["not installed: sudo hrd service install"]
    take(machine)
    said.clear()
    assert status(machine, said.append)
    assert said[0] == "hrd.service is active, enabled at boot"
    machine.states["active"].clear()
    assert not status(machine, said.append)
    assert said[-1] == "  why: journalctl -u hrd -n 20"


def test_a_config_that_cannot_be_meant_stops_it(machine: Folder) -> None:
    take(machine)
    machine.path(SYSTEM_CONFIG).write_text("[engine]\nspeed = 11\n")
    with pytest.raises(HrdError, match=r"engine\.speed"):
        take(machine)


def test_a_command_that_fails_says_so() -> None:
    with pytest.raises(HrdError, match="false failed"):
        Host().run("false")
    with pytest.raises(HrdError, match="cannot be run"):
        Host().run("/no/such/command")


def test_where_there_is_no_systemd(tmp_path: Path) -> None:
    with pytest.raises(HrdError, match="hrd run --persist"):
        Host(tmp_path).check()


def test_an_environment_that_the_service_cannot_read(tmp_path: Path) -> None:
    assert unreadable_by_service([Path("/usr/bin/env")]) is None
    why = unreadable_by_service([Path("/home/me/hrd/.venv/bin/hrd")])
    assert why is not None
    assert "sees nothing in /home" in why
    assert "/opt/hrd/bin/hrd service install" in why
    closed = Path("/var/cache/ldconfig")
    if closed.is_dir() and not closed.stat().st_mode & stat.S_IXOTH:
        assert "closed to other users" in str(unreadable_by_service([closed / "aux-cache"]))


def test_network_as_the_config_needs_it() -> None:
    assert needed_network(Config()) is Network.NONE
    assert needed_network(from_table({"metrics": {"enabled": True}})) is Network.LOCALHOST
    camera = {"source": {"spec": "RTSP://camera/1"}, "metrics": {"enabled": True}}
    assert needed_network(from_table(camera)) is Network.ANY
    local = render(TEMPLATE, ["/x"], network=Network.LOCALHOST)
    assert "PrivateNetwork=no\nIPAddressDeny=any\nIPAddressAllow=localhost\n" in local
    assert "No network" not in local
    wide = render(TEMPLATE, ["/x"], network=Network.ANY)
    assert "IPAddressDeny" not in wide
    for unit in (local, wide):  # everything else is as shipped
        assert len([x for x in TEMPLATE.splitlines() if x not in unit]) <= 5


def test_cameras_may_come_after_the_service() -> None:
    """systemd knows "char-video4linux" only once the kernel does."""
    unit = TEMPLATE.split("[Service]")[0].splitlines()
    assert "Wants=modprobe@videodev.service" in unit
    (after,) = (line for line in unit if line.startswith("After="))
    assert "modprobe@videodev.service" in after.split()


def test_words_of_a_command_line() -> None:
    assert quoted("/opt/hrd/bin/hrd") == "/opt/hrd/bin/hrd"
    assert quoted("/srv/my hrd/bin") == '"/srv/my hrd/bin"'
    assert quoted("100%") == "100%%"
    assert quoted('a"b$c') == '"a\\"b$$c"'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("network", list(Network))
def test_what_systemd_thinks_of_the_unit(tmp_path: Path, network: Network) -> None:
    unit = tmp_path / "hrd.service"
    unit.write_text(render(TEMPLATE, ["/bin/true"], ("video",), network))
    shutil.copy(units_dir() / "hrd.socket", tmp_path)
    verify = ["systemd-analyze", "verify", str(unit), str(tmp_path / "hrd.socket")]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    version = int(subprocess.check_output(["systemctl", "--version"]).split()[1])
    if version < 250:
        pytest.skip(f"systemd {version} judges running services only")
    judge = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20"]
    done = subprocess.run([*judge, str(unit)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-200:]


def test_the_view_for_browsers_is_a_service_too(machine: Folder) -> None:
    pytest.importorskip("aiohttp")
    said: List[str] = []
    for _ in range(2):
        web_unit.install_web(machine, said.append)
    text = machine.path(UNITS / "hrd-web.service").read_text()
    assert "ExecStart=/opt/hrd/bin/hrd web\n" in text
    assert "IPAddressAllow=localhost" in text
    assert machine.commands == [
        "systemctl daemon-reload",
        "systemctl enable -q hrd-web.service",
        "systemctl start hrd-web.service",
    ]
    assert all(line.startswith("  done") for line in said[4:])
    web_unit.uninstall_web(machine, said.append)
    assert not machine.path(UNITS / "hrd-web.service").exists()
    assert machine.states == {"enabled": set(), "active": set()}


def test_a_dry_run_installs_no_view(machine: Folder) -> None:
    pytest.importorskip("aiohttp")
    said: List[str] = []
    web_unit.install_web(machine, said.append, dry_run=True)
    assert all(line.startswith("would") for line in said)
    assert machine.commands == []
    assert not machine.path(UNITS / "hrd-web.service").exists()
