"""``hrd run`` with a source that can never be: one sentence, and nothing before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hrd.capture.files import check_file
from hrd.capture.open import check_spec
from hrd.capture.source import SourceError
from hrd.cli.shown import without_secrets

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


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("0", "/dev/video0"),
        ("video1", "/dev/video1"),
        ("v4l2:2", "/dev/video2"),
        ("csi:0", "csi://0"),
        ("csi", "csi://0"),
        ("CSI1", "csi://1"),
        ("SIM:bpm=60", "sim:bpm=60"),
        ("sim", "sim:bpm=72"),
        ("webcam", "auto"),
        ("film.mp4", ""),
        ("2024", ""),
    ],
)
def test_a_camera_as_other_programs_call_it(spec: str, meant: str) -> None:
    hint = f" (did you mean {meant}?)" if meant else ""
    with pytest.raises(SourceError) as caught:
        check_file(spec)
    assert str(caught.value) == f"There is no file {spec}{hint}: check the name."


@pytest.mark.parametrize("url", ["https://", "rtsp://"])
def test_an_address_without_a_host_is_shown_once(url: str) -> None:
    said = f"{url}*** is no address of a camera."
    assert without_secrets(said, ["run", "--source", url]) == said
