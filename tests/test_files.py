"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Type

import pytest

from hrd.files import write_whole, written_whole

ROOT = Path(__file__).parent.parent


def test_a_file_takes_its_place_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "x"
    old = os.umask(0o077)
    try:
        write_whole(path, b"one")
        write_whole(path, b"two", 0o640)
    finally:
        os.umask(old)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["x"]


def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_whole(path, b"old")

    def break_off(error: Type[BaseException]) -> None:
        with written_whole(path) as file:
            file.write(b"half of the n")
            file.flush()
            assert path.read_bytes() == b"old"
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            break_off(error)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "x", b"")


def test_it_is_the_only_place_that_does_this() -> None:
    """``simulate`` and ``recordset`` rename a folder, which is another thing."""
    users = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "hrd").rglob("*.py")
        if re.search(r"os\.replace\(|os\.rename\(|\.rename\(|mkstemp\(", path.read_text("utf-8"))
    }
    assert users == {"hrd/files.py", "hrd/simulate.py", "hrd/recordset.py"}
