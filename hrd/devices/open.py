"""Devices by what a user calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from hrd.devices.sample import Device
from hrd.errors import UsageError
from hrd.paths import expand

FORMS = (
    ("ble", "the Bluetooth heart-rate strap that is found first (needs the extra hrd[devices])"),
    ("ble:NAME", "the strap of that name or address"),
    ("cms50:/dev/ttyUSB0", "a CONTEC CMS50D+, E or F oximeter on that serial port"),
    ("FILE.csv", "a CSV with a column time, and bpm, wave or ibi_ms"),
    ("ground_truth.txt", "of UBFC-rPPG's DATASET_2, or of hrd simulate or hrd record-set"),
)
"""What ``open_reference`` takes."""


def open_reference(text: str) -> Union[Device, Path]:
    """A device to be read live, or the file that a device's samples are in."""
    kind, _, rest = text.partition(":")
    if kind == "ble":
        from hrd.devices.strap import Strap

        return Strap(rest)
    if kind == "cms50":
        from hrd.devices.oximeter import Oximeter

        if not rest:
            raise UsageError("cms50 needs the oximeter's serial port: cms50:/dev/ttyUSB0")
        return Oximeter(rest)
    path = expand(text)
    if not path.is_file():
        forms = ", ".join(form for form, _ in FORMS)
        raise UsageError(f"there is no reference {text}; give one of {forms}")
    return path
