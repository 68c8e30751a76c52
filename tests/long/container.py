"""A machine of its own for tests of the service: Debian with a real systemd in a container.

Made with debootstrap and kept in ``build/service-root`` (``HRD_SERVICE_ROOT`` names another
place); each boot gets a throw-away layer over it. Needs root, debootstrap, systemd-nspawn and
Python 3.11 (Debian 12's); ``prepare`` installs what is missing where it may, and says in one
sentence what is missing still.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, List, Optional

from hrd.config import read_table

ROOT = Path(__file__).resolve().parent.parent.parent
SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,procps"


def root_path() -> Path:
    return Path(os.environ.get("HRD_SERVICE_ROOT", str(ROOT / "build" / "service-root")))


_TOOLS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"}
"""Program -> Debian's package."""


def prepare() -> Optional[str]:
    """Install what a container needs; why none can be made here, None where one can."""
    if os.geteuid() != 0:
        return "a container can be made by root only: sudo make test-service"
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing and shutil.which("apt-get"):
        print(f"installing {' '.join(missing)}", file=sys.stderr, flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    if sys.version_info[:2] != (3, 11):
        return "the container's Python is 3.11, and its packages are fetched by the same version"
    if os.uname().machine != "x86_64":
        return "the container is made for x86-64 only"
    return None


def requirements() -> List[str]:
    """hrd's dependencies with the extras cpu, metrics and web, from pyproject.toml."""
    project = read_table(ROOT / "pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    found: List[str] = [*project["dependencies"]]
    for name in ("cpu", "metrics", "web"):
        found += extras[name]
    return found


def make_root() -> Path:
    """The container's files, with hrd's dependencies in /opt/hrd; made once."""
    root = root_path()
    stamp = root / "opt" / "hrd" / ".complete"
    if stamp.exists() and stamp.read_text() == "\n".join(requirements()):
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    wheels = root.parent / "service-wheels"
    _run(
        [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:"]
        + ["--python-version=3.11", "--implementation=cp"]
        + [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "_2_27", "_2_28")]
        + ["-d", str(wheels), *requirements()]
    )
    _run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), *mirror()])
    _run([*_in_root(root, wheels), "python3", "-m", "venv", "/opt/hrd"])
    _run(
        [*_in_root(root, wheels), "/opt/hrd/bin/pip", "--isolated", "install", "-q", "--no-index"]
        + ["--find-links=/wheels", *requirements()]
    )
    stamp.write_text("\n".join(requirements()))
    return root


def mirror() -> List[str]:
    """Where this machine's own Debian packages come from; debootstrap's default elsewhere."""
    listing = ["apt-get", "indextargets", "--format", "$(CODENAME)-$(COMPONENT) $(REPO_URI)"]
    try:
        done = subprocess.run([*listing, "Identifier: Packages"], capture_output=True, text=True)
    except OSError:
        return []
    for line in done.stdout.splitlines():
        suite, _, address = line.partition(" ")
        if suite == f"{SUITE}-main":
            return [address]
    return []


def _in_root(root: Path, wheels: Path) -> List[str]:
    return ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--pipe", "-D", str(root)] + [
        f"--bind-ro={wheels}:/wheels"
    ]


def _run(command: List[str]) -> None:
    subprocess.run(["nice", "-n", "10", *command], check=True)


def build_wheel(folder: Path) -> Path:
    """hrd as it is installed by a user; built anew when something in it has changed."""
    built = ROOT / "build" / "wheel"
    sources = [path for name in ("hrd", "models", "systemd") for path in (ROOT / name).rglob("*")]
    newest_s = max(path.stat().st_mtime for path in [*sources, ROOT / "pyproject.toml"])
    wheels = list(built.glob("hrd-*.whl"))
    if not wheels or wheels[0].stat().st_mtime < newest_s:
        shutil.rmtree(built, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(built), str(ROOT)]
        subprocess.run(pip, check=True)
        wheels = list(built.glob("hrd-*.whl"))
    return Path(shutil.copy(wheels[0], folder))


@contextlib.contextmanager
def installed(shared: Path) -> Iterator[Box]:
    """A running container with this checkout's hrd in it, and ``shared`` at /shared."""
    wheel = build_wheel(shared)
    root = make_root()
    os.chmod(shared, 0o755)
    box = Box(root, shared)
    try:
        box.run("pip", "install", "-q", "--no-index", "--no-deps", f"/shared/{wheel.name}")
        yield box
    finally:
        box.close()


class Box:
    """A running container. ``run`` runs a command in it as root."""

    def __init__(self, root: Path, shared: Path) -> None:
        self.shared = shared
        """A folder of this machine, at /shared in the container."""
        self._log = open(shared / "console.log", "wb")  # noqa: SIM115 - closed with the box
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "--register=no", "--keep-unit", "--private-network"]
            + ["--volatile=overlay", "--console=pipe", f"--bind={shared}:/shared"]
            + ["-D", str(root), "-b"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._leader = self._await_leader()
            self._await(self._is_up, "systemd is up in the container")
        except BaseException:
            self.close()
            raise

    def run(self, *command: str, check: bool = True, timeout_s: float = 120.0) -> str:
        """Its output, both streams; AssertionError with it if it fails and ``check``."""
        done = self.call(*command, timeout_s=timeout_s)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return str(done.stdout)

    def call(self, *command: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess:
        """The finished command, output in ``stdout``."""
        return subprocess.run(
            ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--"]
            + ["env", "-i", "PATH=/opt/hrd/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
            + ["LC_ALL=C.UTF-8", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )

    def close(self) -> None:
        """Halt it; its layer is thrown away."""
        if self._nspawn.poll() is None:
            leader = getattr(self, "_leader", None)
            if leader is not None:
                os.kill(leader, signal.SIGRTMIN + 4)  # systemd: power off
                try:
                    self._nspawn.wait(30)
                except subprocess.TimeoutExpired:
                    pass
            if self._nspawn.poll() is None:
                self._nspawn.kill()
                self._nspawn.wait()
        self._log.close()

    def _await_leader(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        found: List[int] = []

        def look() -> bool:
            assert self._nspawn.poll() is None, (self.shared / "console.log").read_text()
            found[:] = [
                int(pid)
                for pid in children.read_text().split()
                if Path(f"/proc/{pid}/comm").read_text().strip() in ("systemd", "init")
            ]
            return bool(found)

        self._await(look, "the container's first process runs")
        return found[0]

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).strip()
        return state in ("running", "degraded")

    def _await(self, condition: object, what: str, patience_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + patience_s
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < deadline_s, f"still not: {what}"
            time.sleep(0.1)
