"""A virtual machine with hrd as its service, and what scenarios do to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, List, Optional

from tests.long.recorder import said
from tests.vm.film import TRUE_BPM
from tests.vm.guest import Guest, Heard
from tests.vm.image import Image
from tests.vm.machines import ARM64, Machine
from tests.vm.results import WITHIN_BPM, Row, error_bpm

# The face is confirmed more rarely than by default: an emulated processor needs half a second for
# it, as long as for twenty frames, where a real one needs as long as for one.
CONFIG = """[face.tracker]
detect_every_s = 5.0
still_every_s = 5.0
[source]
spec = "{spec}"
[source.capture]
pixel_format = "{pixel_format}"
lock_exposure = {lock}
"""

_LIKE_A_JETSON = """
mkdir -p /usr/local/bin /usr/local/sbin
echo '# R36 (release), REVISION: 3.0, GCID: 0, BOARD: generic' > /etc/nv_tegra_release
printf '#!/bin/sh\\n' > /usr/local/sbin/apt-get
chmod 755 /usr/local/sbin/apt-get
ln -sf /usr/bin/python3.11 /usr/local/bin/python3.10
"""
"""What only NVIDIA has is stood in for: its release file. Debian has no Python 3.10, so 3.11 is
called that (and constraints/ has 3.11's versions under the name of 3.10's); there is no network, so
apt-get finds everything installed. CUDA and TensorRT are absent, which the script says."""
_INSTALL_JETSON = """
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/run/vm
exec /run/vm/scripts/install-jetson.sh --wheel /run/vm/hrd-*.whl
"""


class Shelf:
    """``guest``: the machine as it runs now. ``rows``: what scenarios have found so far."""

    def __init__(self, machine: Machine, image: Image, disk: Path, supplies: Path) -> None:
        self.machine = machine
        self.rows: List[Row] = []
        self._image = image
        self._disk = disk
        self._supplies = supplies
        self._guest: Optional[Guest] = None

    @property
    def guest(self) -> Guest:
        assert self._guest is not None, "the machine is off"
        return self._guest

    def boot(self, memory_mb: Optional[int] = None, more: Optional[List[str]] = None) -> float:
        """Switch it on; seconds until it takes commands."""
        began_s = time.monotonic()
        self._guest = Guest(
            self.machine, self._image, self._disk, self._supplies, memory_mb=memory_mb, more=more
        )
        self._guest.listen()
        return time.monotonic() - began_s

    def close(self) -> None:
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def cut_power(self) -> None:
        self.guest.cut_power()
        self._guest = None

    def install(self) -> None:
        """As docs/service.md says, from a folder in place of the package index; on the board's core
        by the Jetson's own script."""
        if self.machine is ARM64:
            self.guest.run("sh", "-c", _LIKE_A_JETSON)
            said = self.guest.run("sh", "-c", _INSTALL_JETSON, timeout_s=1500.0)
            assert "install-jetson: done" in said, said
            return
        pip = "/opt/hrd/bin/pip install -q --no-index --no-deps --force-reinstall"
        self.guest.run("sh", "-c", f"{pip} /run/vm/hrd-*.whl", timeout_s=600.0)
        self.guest.run("/opt/hrd/bin/hrd", "service", "install", timeout_s=600.0)

    def configure(self, spec: str = "auto", pixel_format: str = "auto", lock: bool = True) -> None:
        text = CONFIG.format(spec=spec, pixel_format=pixel_format, lock=str(lock).lower())
        self.guest.run("sh", "-c", "cat > /etc/hrd/hrd.toml", input=text)
        self.guest.run("systemctl", "reload-or-restart", "hrd")

    def restart(self) -> float:
        """Start the service anew; the moment, on the machine's clock."""
        self.guest.call("systemctl", "reset-failed", "hrd")
        began_s = self.guest.now_s()
        self.guest.run("systemctl", "restart", "hrd")
        return began_s

    def shown(self, name: str) -> str:
        """A property of the service."""
        command = ["systemctl", "show", "-p", name, "--value", "hrd.service"]
        return self.guest.run(*command).strip()

    def journal(self, *options: str) -> str:
        return self.guest.run("journalctl", "-u", "hrd", "--no-pager", "-o", "cat", *options)

    def bpm(self, from_s: float, patience_s: float = 120.0) -> Heard:
        """The first reading with a bpm from then on."""
        return self.guest.wait(lambda h: "bpm" in h.message, from_s, "a bpm", patience_s)

    def state(self, state: str, from_s: float, patience_s: float = 120.0) -> Heard:
        return self.guest.wait(lambda h: h.message.get("state") == state, from_s, state, patience_s)

    def listen_for(self, seconds: float) -> List[Heard]:
        """The readings of the next so many seconds of the machine's time."""
        began_s = self.guest.now_s()
        time.sleep(seconds)
        return self.guest.since(began_s)

    def last_words(self) -> str:
        """What the machine says of the last minutes, for whoever looks into a failure."""
        if self._guest is None:
            return "it is off"
        said = "journalctl -u hrd -b --no-pager -n 40; dmesg | tail -n 20; ls -l /dev/video*"
        try:
            return self._guest.call("sh", "-c", said, timeout_s=30.0).out
        except AssertionError as error:
            return str(error)

    def record(
        self,
        scenario: str,
        done: str,
        readings: List[Heard],
        recovered_s: Optional[float] = None,
        published: Optional[str] = None,
    ) -> None:
        """Keep what was found; AssertionError if anything that was published is wrong."""
        error = error_bpm(readings)
        text = said(one.message for one in readings) if published is None else published
        self.rows.append(Row(scenario, done, text, error, recovered_s))
        print(self.rows[-1])
        wrong = [
            heard.message
            for heard in readings
            if "bpm" in heard.message and abs(heard.message["bpm"] - TRUE_BPM) > WITHIN_BPM
        ]
        assert wrong == []

    def await_(self, condition: Callable[[], bool], what: str, patience_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline_s, f"still not: {what}"
            time.sleep(0.3)
