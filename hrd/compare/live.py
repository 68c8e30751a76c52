"""hrd and a reference device recorded side by side: a daemon's lines and a device's samples."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Callable, List, Optional

from hrd.client import Client, ClientError
from hrd.devices.sample import Device, Sample, SampleWriter
from hrd.errors import HrdError

SAID, HEARD = "hrd.jsonl", "reference.csv"


def record_said(
    path: Path, client: Client, seconds: Optional[float], on_reading: Callable[[float], object]
) -> int:
    """Write a daemon's readings, signal (PPG) and FEATURES to ``path`` for ``seconds`` (None: until
    Ctrl-C); returns the number of readings. No picture is in them, nor could be: a daemon sends
    none."""
    began_s = time.monotonic()
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for line in client.lines(ppg=True, features=True):
                file.write(line)
                passed_s = time.monotonic() - began_s
                if b'"class":"HR"' in line:
                    count += 1
                    on_reading(passed_s)
                if seconds is not None and passed_s >= seconds:
                    break
    except OSError as error:
        raise HrdError(f"{path} cannot be written: {error.strerror or error}") from None
    return count


class DeviceRecorder(threading.Thread):
    """Writes a device's samples to a CSV until ``finish``; ``newest`` is the latest sample."""

    def __init__(self, device: Device, path: Path) -> None:
        super().__init__(name="reference", daemon=True)
        self._device = device
        self._writer = SampleWriter(path)
        self._over = threading.Event()
        self.begun = threading.Event()
        """Set with the first sample, or when there will be none."""
        self.error: Optional[HrdError] = None
        self.newest: Optional[Sample] = None
        self.count = 0

    def run(self) -> None:
        try:
            for sample in self._device.samples(self._over.is_set):
                self._writer.write(sample)
                self.newest = sample
                self.count += 1
                self.begun.set()
        except HrdError as error:
            self.error = error
        except ImportError as error:
            from hrd.missing import sentence

            self.error = HrdError(sentence(error))
        finally:
            self.begun.set()

    def finish(self) -> None:
        """Stop, close the file, and raise what went wrong."""
        self._over.set()
        self.join()
        self._writer.close()
        if self.error is not None:
            raise self.error


def record_both(
    folder: Path,
    device: Device,
    socket: str,
    seconds: float,
    on_reading: Callable[[float], object] = lambda passed_s: None,
) -> List[Path]:
    """Record a running daemon and a device for ``seconds`` into ``folder``; returns the two files.

    Raises ``HrdError`` if either is not there or the device goes away.
    """
    client = Client(socket)
    paths = [folder / SAID, folder / HEARD]
    recorder = DeviceRecorder(device, paths[1])
    recorder.start()
    recorder.begun.wait()
    if recorder.error is not None:
        recorder.finish()
    try:
        record_said(paths[0], client, seconds, on_reading)
    except ClientError:
        recorder.error = None  # the daemon's end is the news
        raise
    finally:
        client.close()
        recorder.finish()
    return paths
