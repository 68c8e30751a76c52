"""``hrd run`` with a source that can never be: one sentence, and nothing before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hrd.capture.open import check_spec
from hrd.capture.source import SourceError

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("/no/such/film.mp4", "There is no file /no/such/film.mp4: check the name."),
        ("simm:bpm=72", "There is no file simm:bpm=72 (did you mean sim:bpm=72?): check the name."),
        ("sim:bmp=72", "The simulated camera knows no 'bmp' (did you mean bpm?)"),
        ("sim:bpm=900", "The simulated camera's bpm cannot be '900'"),
        ("rstp://a/b", "A source of the kind rstp:// is not known (did you mean rtsp://?)"),
        ("gopher://a/b", "A source of the kind gopher:// is not known: use /dev/video0"),
        ("file:///no/such.mp4", "There is no file /no/such.mp4"),
        ("/dev/null", "/dev/null is a device, not a video file"),
    ],
)
def test_nothing_is_said_before_it(spec: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hrd", "run", "--source", spec, "--socket", "/tmp/hrd-never.sock"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hrd: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "spec",
    [
        "auto",
        "",
        "/dev/video7",
        "/dev/v4l/by-id/x",
        "csi://0",
        "rtsp://camera/1",
        "-",
        "v4l2:///dev/x",
    ]
    + ["http://camera/1", "sim:", "sim:bpm=72,seconds=3", str(ROOT), f"file://{Path(__file__)}"],
)
def test_what_may_yet_come_is_left_to_be_opened(spec: str) -> None:
    check_spec(spec)


def test_passwords_are_not_said() -> None:
    with pytest.raises(SourceError) as caught:
        check_spec("ada:secret@camera/stream")
    assert "secret" not in str(caught.value)
