"""What the tests share."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Iterator

import pytest

from hrd.service.server import SocketServer
from tests.gpu_help import FakeGpu, make_fake_gpu
from tests.socket_help import short_directory

# A shell's background job ignores Ctrl-C, and so would every command that the tests start from it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CLIPS = Path(__file__).resolve().parent.parent.parent / "shared" / "clips"


@pytest.fixture(scope="session")
def face_clip() -> Path:
    """A real still face, 53 +- 1.5 bpm. It is no part of the product; skips where it is absent."""
    path = CLIPS / "face.mp4"
    if not path.is_file():
        pytest.skip(f"the real clip {path.name} is not beside this checkout (../shared/clips)")
    return path


@pytest.fixture(scope="module")
def module_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGpu]:
    """The stand-in for a GPU, with its worker's interpreter; one for each file of tests."""
    gpu = make_fake_gpu(tmp_path_factory.mktemp("gpu"))
    yield gpu
    gpu.close()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands run in this process set up logging for themselves; the next test starts afresh."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture
def server() -> Iterator[SocketServer]:
    """A server that listens on a socket of its own, with nobody connected."""
    with short_directory() as directory, SocketServer(
        os.path.join(directory, "hrd.sock"), "1.2.3"
    ) as running:
        yield running
