"""``hrd service install --web``: the browsers' view as a service beside the daemon."""

from __future__ import annotations

from typing import List

from hrd.errors import HrdError
from hrd.missing import pip_install
from hrd.service.install import UNITS, Host, Say, Step, own_command, take_steps, write_unit
from hrd.service.unit import MADE_BY, quoted, units_dir

WEB = "hrd-web.service"


def render_web(template: str, command: List[str]) -> str:
    """``systemd/hrd-web.service`` with the command to run."""
    line = "ExecStart=" + " ".join(map(quoted, command))
    lines = [line if one.startswith("ExecStart=") else one for one in template.splitlines()]
    return MADE_BY + "\n".join(lines) + "\n"


def install_web(host: Host, say: Say, start: bool = True, dry_run: bool = False) -> None:
    """Install the unit or bring it up to date; the daemon's comes first. Raises ``HrdError``."""
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        raise HrdError(f"hrd web needs aiohttp: {pip_install('hrd[web]')}") from None
    template = (units_dir() / WEB).read_text(encoding="utf-8")
    text = render_web(template, [*own_command(), "web"])
    path = host.path(UNITS / WEB)
    same = path.is_file() and path.read_text(encoding="utf-8") == text
    active = host.ask("systemctl", "is-active", WEB) == "active"
    verb = "restart" if active else "start"
    steps = [
        Step("write", str(UNITS / WEB), same, lambda: write_unit(host, UNITS / WEB, text)),
        Step("tell", "systemd of it", same, lambda: host.run("systemctl", "daemon-reload")),
        Step(
            "enable",
            f"{WEB} at boot",
            host.ask("systemctl", "is-enabled", WEB) == "enabled",
            lambda: host.run("systemctl", "enable", "-q", WEB),
        ),
    ]
    if start:
        steps.append(
            Step(
                verb,
                f"{WEB} on http://127.0.0.1:8088",
                active and same,
                lambda: host.run("systemctl", verb, WEB),
            )
        )
    take_steps(steps, say, dry_run)


def uninstall_web(host: Host, say: Say, dry_run: bool = False) -> None:
    """Undo it, if it is there."""
    path = host.path(UNITS / WEB)
    if not path.exists():
        return
    steps = [
        Step(
            "stop",
            f"{WEB}, now and at boot",
            False,
            lambda: host.run("systemctl", "disable", "-q", "--now", WEB),
        ),
        Step("remove", str(UNITS / WEB), False, path.unlink),
    ]
    take_steps(steps, say, dry_run)
