"""``hrd measure`` over folders, pipes and photographs, and what it writes beside the text."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Dict, List

import av
import cv2
import numpy as np
import pytest

from hrd.capture.open import open_source
from hrd.capture.options import CaptureOptions
from hrd.capture.source import SourceError
from hrd.cli.main import main
from hrd.measure.inputs import films_of, length_s
from hrd.measure.still import StillPicture
from hrd.types import Layout

ROOT = Path(__file__).parent.parent
FAST = ("--engine", "pos", "--detector", "opencv")


def film(path: Path, pictures: List[np.ndarray], codec: str = "mpeg4", fps: int = 30) -> Path:
    """(H, W, 3) uint8 RGB pictures as a video file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 400_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def drawn(seconds: float, spec: str = "bpm=72,size=160x120") -> List[np.ndarray]:
    pictures = []
    with open_source(f"sim:{spec},seconds={seconds}", CaptureOptions()) as source:
        for frame in source:
            assert frame.layout is None or isinstance(frame.layout, Layout)
            pictures.append(frame.image)
    return pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip2.mkv and clip10.mp4 of a face, below/still.avi of one picture, and what is no film."""
    path = tmp_path_factory.mktemp("films")
    pictures = drawn(2.0)
    film(path / "clip2.mkv", pictures)
    film(path / "clip10.mp4", pictures)
    (path / "below").mkdir()
    film(path / "below" / "still.avi", [pictures[0]] * 45)
    (path / ".hidden.mp4").write_bytes(b"x")
    (path / "notes.txt").write_text("x")
    return path


def rows(path: Path) -> List[Dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_a_table_in_the_order_people_count(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", *FAST, str(folder)]) == 0
    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "seconds", "bpm", "confidence", "with", "a", "bpm"]
    assert [line.split()[0].rpartition("/")[2] for line in lines] == [
        "still.avi",
        "clip2.mkv",
        "clip10.mp4",
    ]
    assert "one still picture throughout" in lines[0]
    assert last == "3 files, 0 with a bpm"


def test_csv_summary_and_waveform(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readings, summary, ppg = (tmp_path / f"{name}.csv" for name in ("r", "s", "p"))
    code = main(
        ["measure", str(folder / "clip2.mkv"), "--csv", str(readings), "--summary", str(summary)]
        + ["--ppg", str(ppg), *FAST, "/no/such.mp4", str(folder / "below")]
    )
    assert code == 1
    assert "There is no file /no/such.mp4" in capsys.readouterr().err
    files = [row["file"].rpartition("/")[2] for row in rows(summary)]
    assert files == ["clip2.mkv", "such.mp4", "still.avi"]
    one, missing, still = rows(summary)
    assert float(one["seconds"]) == pytest.approx(2.0, abs=0.1)
    assert float(one["fps"]) == pytest.approx(30, abs=0.1)
    assert "There is no file" in missing["problem"]
    assert missing["seconds"] == ""
    assert "still picture" in still["problem"]
    of_one = [row for row in rows(readings) if row["file"] == one["file"]]
    assert len(of_one) == int(one["readings"])
    assert all(row["state"] in ("warming_up", "unsure") and row["reason"] for row in of_one)
    assert all(row["bpm"] == "" for row in of_one)
    wave = [row for row in rows(ppg) if row["file"] == one["file"]]
    times_s = np.array([float(row["t_s"]) for row in wave])
    assert np.diff(times_s) == pytest.approx(np.full(len(times_s) - 1, 1 / 30), abs=2e-4)
    assert all(np.isfinite(float(row["bvp"])) for row in wave)


def test_json_has_an_object_a_line_for_every_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", "--json", *FAST, str(folder), "/no/such.mp4"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(line) for line in lines if "error" in line] == [{"file", "error"}]
    (still,) = [line for line in lines if line.get("still")]
    assert still["file"].endswith("still.avi")
    assert {(r["state"], r["reason"]) for r in still["readings"]} <= {
        ("unsure", "WEAK_SIGNAL"),
        ("no_face", "NO_FACE"),
    }
    assert all("ppg" not in line for line in lines)


@pytest.mark.parametrize("option", ["--csv", "--summary", "--ppg"])
def test_a_film_is_never_overwritten(
    folder: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = folder / "clip2.mkv"
    before = clip.read_bytes()
    assert main(["measure", option, str(clip), str(folder / "clip10.mp4")]) == 2
    assert capsys.readouterr().err == f"hrd: {option} {clip}: give a name that ends in .csv\n"
    assert clip.read_bytes() == before


def test_a_place_that_cannot_be_written_to_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", "--csv", "/no/such/folder/r.csv", str(folder)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("hrd: /no/such/folder/r.csv cannot be written (No such file")
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["clip2.mkv", "clip10.mp4"])
def test_standard_input(folder: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hrd", "measure", "--json", *FAST, "-"],
        stdin=(folder / name).open("rb"),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    piped = subprocess.run(
        f'cat "{folder / name}" | "{sys.executable}" -m hrd measure --json {" ".join(FAST)} -',
        shell=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    for one in (done, piped):
        assert (one.returncode, one.stderr) == (0, b"")
        assert json.loads(one.stdout)["seconds"] == pytest.approx(2.0, abs=0.1)
        assert json.loads(one.stdout)["file"] == "-"


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("fps", [(), ("--fps", "30")])
def test_a_photograph_is_called_one(
    tmp_path: Path, suffix: str, fps: tuple, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"me.{suffix}"
    cv2.imwrite(str(path), drawn(0.1)[0])
    assert main(["measure", *FAST, *fps, str(path)]) == 1
    assert capsys.readouterr().err == (
        f"hrd: {path} is a single picture, a photograph: a pulse shows in a film only; give a "
        "video file.\n"
    )


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_film_of_one_picture_is_told_from_a_person(tmp_path: Path, codec: str) -> None:
    pictures = drawn(2.0)
    for name, shown, still in (("one", [pictures[0]] * 60, True), ("face", pictures, False)):
        watch = StillPicture()
        path = film(tmp_path / f"{name}.mkv", shown, codec)
        with open_source(str(path), CaptureOptions()) as source:
            for frame in source:
                watch.push(frame.image, frame.time_s)
        assert watch.seen() is still


def test_a_moment_is_not_enough_to_call_a_film_still() -> None:
    watch = StillPicture()
    for k in range(30):
        watch.push(np.full((48, 64, 3), 90, np.uint8), k / 30)
    assert not watch.seen()
    watch.push(np.full((48, 64, 3), 90, np.uint8), 1.0)
    assert watch.seen()
    watch.push(np.full((48, 64, 3), 107, np.uint8), 1.1)
    assert not watch.seen()


def test_a_folder_of_numbered_pictures_is_one_film(tmp_path: Path) -> None:
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"Image{1_400_000_000_000_000_000 + k}.png"), drawn(0.1)[0])
    assert films_of(str(tmp_path)) == [str(tmp_path)]


def test_a_folder_without_films_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="is a folder without films"):
        films_of(str(tmp_path))


def test_lengths_are_known_before_anything_is_read(folder: Path) -> None:
    for name in ("clip2.mkv", "clip10.mp4"):
        assert length_s(str(folder / name)) == pytest.approx(2.0, abs=0.1)
    assert length_s("sim:seconds=20") == 20.0
    assert length_s("sim:bpm=60") is None
    assert length_s("-") is None
    assert length_s(str(folder / "notes.txt")) is None


def on_a_terminal(*argv: str) -> bytes:
    """What ``hrd measure`` writes to a terminal of 120 columns beside its results."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    done = subprocess.Popen(
        [sys.executable, "-m", "hrd", "measure", *FAST, *argv],
        stdout=subprocess.DEVNULL,
        stderr=child,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(child)
    said = b""
    try:
        while True:
            piece = os.read(parent, 65536)
            if not piece:
                break
            said += piece
    except OSError:  # how a terminal ends
        pass
    assert done.wait() == 0
    return said


def test_progress_tells_total_and_time_left(folder: Path) -> None:
    said = on_a_terminal(str(folder))
    assert b"1 of 3: " in said
    assert b"% of 6 s |" in said
    assert b" left" in said


def test_a_warning_does_not_run_into_the_progress(folder: Path, tmp_path: Path) -> None:
    cut_off = tmp_path / "cut.mkv"
    whole = (folder / "clip2.mkv").read_bytes()
    cut_off.write_bytes(whole[: len(whole) * 2 // 3])
    said = on_a_terminal(str(cut_off)).decode()
    (line,) = [line for line in re.split(r"[\r\n]", said) if "cut off" in line]
    assert line.startswith("WARNING hrd.capture.video: ")


def test_standard_input_is_named_as_such() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hrd", "measure", "-"],
        input=b"no video\n" * 100,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"hrd: standard input is not a video that can be read: ")
