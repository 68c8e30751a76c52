"""The daemon as a process of its own, looked at from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

from hrd.client import Client
from hrd.memory import rss_mb


class Running:
    """A daemon in a process of its own, with a config of its own."""

    def __init__(self, folder: Path, config: str, **popen: Any) -> None:
        self.folder = folder
        self.socket = str(folder / "hrd.sock")
        self.config = folder / "hrd.toml"
        self.config.write_text(config)
        self.log = folder / "log"
        stderr = popen.pop("stderr", None)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hrd", "run", "--persist"]
                + ["--config", str(self.config), "--socket", self.socket],
                stdin=subprocess.DEVNULL,
                stderr=log if stderr is None else stderr,
                **popen,
            )

    def status(self) -> Dict[str, Any]:
        with Client(self.socket, timeout_s=60) as client:
            return dict(client.status())

    def children(self, name: str) -> List[int]:
        """Its child processes with that in their command line."""
        found = []
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (thread / "children").read_text().split():
                try:
                    if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(int(pid))
                except OSError:
                    pass
        return found

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss_mb(self) -> float:
        return rss_mb(self.process.pid)

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def reload(self, config: str) -> None:
        self.config.write_text(config)
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def config(source: str, engine: str = "") -> str:
    return f'[source]\nspec = "{source}"\n[engine]\n{engine}\n'


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
