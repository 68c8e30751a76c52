"""A running virtual machine: booted, spoken to, switched off or cut off."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from tests.long.container import build_wheel
from tests.vm.image import ROOT, Image, make_disk
from tests.vm.machines import ARM64, Machine

PORTS = 2
"""USB ports at which a camera can be plugged in."""

SOCKET = "/run/hrd/hrd.sock"

BOOT_S = 300.0
"""The emulated Cortex-A57 takes two minutes where the processor is shared."""


@dataclass(frozen=True)
class Done:
    """A command that has ended. ``out``: both streams."""

    rc: int
    out: str


@dataclass(frozen=True)
class Heard:
    """A message of the daemon, and when it came by the machine's own clocks."""

    at_s: float
    wall_s: float
    message: Dict[str, Any]


def make_supplies(machine: Machine, folder: Path) -> Path:
    """The second disk: hrd's wheel, its constraints and scripts, and the agent."""
    files = folder / "supplies"
    files.mkdir()
    build_wheel(files)
    shutil.copy(Path(__file__).with_name("agent.py"), files)
    for name in ("scripts", "constraints"):
        shutil.copytree(ROOT / name, files / name)
    if machine is ARM64:  # what its Python can install, under the name that the script looks for
        pins = files / "constraints"
        shutil.copy(pins / f"{machine.constraints}.txt", pins / "jetpack6-cp310-aarch64.txt")
    disk = folder / "supplies.img"
    make_disk(files, disk, 64)
    return disk


def make_overlay(image: Image, folder: Path) -> Path:
    """A disk that begins as the image and keeps what is written to it."""
    disk = folder / "disk.qcow2"
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk)]
    subprocess.run([*create, str(disk)], check=True)
    return disk


def _end_with_parent() -> None:
    """No machine runs on when the tests are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Guest:
    """Boots in the constructor; ``run`` runs a command in it as root.

    ``more``: further arguments of QEMU. ``close`` switches it off in order, ``cut_power`` does not
    ask it. Its disk stays as it then is, for the next ``Guest``.
    """

    def __init__(
        self,
        machine: Machine,
        image: Image,
        disk: Path,
        supplies: Path,
        memory_mb: Optional[int] = None,
        more: Optional[List[str]] = None,
    ) -> None:
        # short: a UNIX socket's path is 107 bytes at most
        self._folder = Path(tempfile.mkdtemp(prefix="hrd-vm-"))
        self.console = self._folder / "console.log"
        command = [machine.emulator, *machine.board, "-accel", "tcg,thread=multi"]
        command += ["-m", str(memory_mb or machine.memory_mb), "-nodefaults", "-display", "none"]
        command += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
        command += ["-append", f"console={machine.console} quiet loglevel=4 panic=-1", "-no-reboot"]
        command += ["-serial", f"file:{self.console}", "-nic", "none"]
        for index, path in enumerate((disk, supplies)):
            kind = "qcow2" if path.suffix == ".qcow2" else "raw,readonly=on"
            command += ["-drive", f"file={path},if=none,id=disk{index},format={kind}"]
            command += ["-device", f"virtio-blk-pci,drive=disk{index}"]
        command += ["-device", "virtio-serial-pci", "-device", "qemu-xhci,id=usb"]
        command += ["-chardev", f"socket,id=agent,path={self._folder}/agent,server=on,wait=off"]
        command += ["-device", "virtserialport,chardev=agent,name=hrd.agent"]
        for port in range(PORTS):
            at = self.usb_port(port)
            command += ["-chardev", f"socket,id=usb{port},path={at},server=on,wait=off"]
            command += ["-device", f"usb-redir,chardev=usb{port},bus=usb.0"]
        self._qemu = subprocess.Popen(
            [*command, *(more or [])], stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent
        )
        self._answers: Dict[int, Dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._asked = 0
        self._ready = False
        self.heard: List[Heard] = []
        try:
            self._await(lambda: os.path.exists(f"{self._folder}/agent"), "QEMU starts", 30.0)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.connect(f"{self._folder}/agent")
            threading.Thread(target=self._read, daemon=True).start()
            self._await(lambda: self._ready, "the machine boots", BOOT_S)
        except BaseException:
            self.cut_power()
            raise

    def usb_port(self, port: int) -> str:
        """Where a device connects to be plugged in."""
        return f"{self._folder}/usb{port}"

    def run(self, *command: str, timeout_s: float = 180.0, input: str = "") -> str:
        """Its output, both streams; AssertionError with it if it fails."""
        done = self.call(*command, timeout_s=timeout_s, input=input)
        assert done.rc == 0, f"{command}: {done.rc}: {done.out}"
        return done.out

    def call(self, *command: str, timeout_s: float = 180.0, input: str = "") -> Done:
        """The finished command."""
        answer = self._ask(
            timeout_s + 60.0, do="run", command=command, timeout_s=timeout_s, input=input
        )
        return Done(answer["rc"], answer["out"])

    def start(self, *command: str) -> int:
        """Start a command that goes on; its process."""
        return int(self._ask(60.0, do="start", command=command)["pid"])

    def listen(self) -> None:
        """From now on, keep what hrd's service says."""
        self._ask(60.0, do="listen", path=SOCKET)

    def now_s(self) -> float:
        """The machine's monotonic time."""
        return float(self._ask(60.0, do="now")["monotonic_s"])

    def wall_s(self) -> float:
        """The time of day that the machine believes in."""
        return float(self._ask(60.0, do="now")["wall_s"])

    def status(self) -> Dict[str, Any]:
        """The daemon's STATUS."""
        asked = {"path": SOCKET, "message": {"class": "STATUS"}, "timeout_s": 60.0}
        answer: Dict[str, Any] = self._ask(90.0, do="ask", **asked)["answer"]
        return answer

    def since(self, from_s: float, to_s: float = float("inf")) -> List[Heard]:
        """The readings that came in that time."""
        lines = self._ask(60.0, **{"do": "heard", "from": len(self.heard)})["lines"]
        self.heard += [Heard(at_s, wall_s, json.loads(line)) for at_s, wall_s, line in lines]
        return [
            heard
            for heard in self.heard
            if heard.message["class"] == "HR" and from_s <= heard.at_s <= to_s
        ]

    def wait(
        self, wanted: Callable[[Heard], bool], from_s: float, what: str, patience_s: float = 120.0
    ) -> Heard:
        """The first wanted reading from then on; AssertionError if it does not come."""
        deadline_s = time.monotonic() + patience_s
        while True:
            for heard in self.since(from_s):
                if wanted(heard):
                    return heard
            last = [heard.message for heard in self.heard[-3:]]
            assert time.monotonic() < deadline_s, f"still not: {what}; last heard: {last}"
            time.sleep(0.5)

    def close(self) -> None:
        """Switch it off in order."""
        if self._qemu.poll() is None:
            self.start("systemctl", "poweroff")
            try:
                self._qemu.wait(90.0)
            except subprocess.TimeoutExpired:
                pass
        self.cut_power()

    def cut_power(self) -> None:
        """End it as if its plug were pulled: what it had not written to its disk is lost."""
        if self._qemu.poll() is None:
            self._qemu.kill()
        self._qemu.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, patience_s: float, **request: Any) -> Dict[str, Any]:
        with self._changed:
            self._asked += 1
            number = self._asked
            data = json.dumps({"id": number, **request}) + "\n"
            self._socket.sendall(data.encode())
            arrived = self._changed.wait_for(lambda: number in self._answers, patience_s)
            assert arrived, f"no answer to {request}"
            answer = self._answers.pop(number)
        assert "error" not in answer, f"{request}: {answer['error']}"
        return answer

    def _read(self) -> None:
        buffered = b""
        while True:
            try:
                piece = self._socket.recv(1 << 16)
            except OSError:
                return
            if not piece:
                return
            *lines, buffered = (buffered + piece).split(b"\n")
            with self._changed:
                for line in lines:
                    answer = json.loads(line)
                    if "ready" in answer:
                        self._ready = True
                    else:
                        self._answers[answer["id"]] = answer
                self._changed.notify_all()

    def _await(self, condition: Callable[[], bool], what: str, patience_s: float) -> None:
        deadline_s = time.monotonic() + patience_s
        while not condition():
            ended = self._qemu.poll()
            assert ended is None, f"QEMU ended with {ended}, and still not: {what}"
            log = self.console.read_text(errors="replace") if self.console.exists() else ""
            assert time.monotonic() < deadline_s, f"still not: {what}: {log[-2000:]}"
            time.sleep(0.2)
