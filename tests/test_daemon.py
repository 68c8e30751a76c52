"""The daemon as it runs: a process of its own, read through its socket by another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, List

import jsonschema
import numpy as np
import pytest

from hrd.capture.source import SourceError
from hrd.client import Client, ClientError
from hrd.engine.card import model_path
from hrd.protocol import load_schema
from hrd.service import sources
from tests.long.models import FAIL, faulty_student
from tests.needs import needs
from tests.waiting import eventually

HRD = [sys.executable, "-m", "hrd"]
VALIDATOR = jsonschema.Draft202012Validator(load_schema())


class Running:
    """A daemon in a process of its own."""

    def __init__(self, folder: Path, *argv: str) -> None:
        self.socket = str(folder / "hrd.sock")
        self.process = subprocess.Popen(
            [*HRD, "run", "--socket", self.socket, *argv], stderr=subprocess.PIPE, text=True
        )

    def client(self) -> Client:
        """Once it answers."""

        def answers() -> bool:
            assert self.process.poll() is None, self.process.stderr.read()  # type: ignore[union-attr]
            with contextlib.suppress(ClientError):  # its file is there a moment before it listens
                Client(self.socket).close()
                return True
            return False

        eventually(answers, "it listens", 60.0)
        return Client(self.socket, timeout_s=60)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")


def running(folder: Path, *argv: str) -> Iterator[Running]:
    daemon = Running(folder, *argv)
    try:
        yield daemon
    finally:
        daemon.process.kill()
        daemon.process.wait()


@pytest.fixture
def simulated(folder: Path) -> Iterator[Running]:
    yield from running(folder, "--source", "sim:bpm=72,seed=5")


@pytest.mark.slow
def test_simulated_face_is_read_through_the_socket(simulated: Running) -> None:
    readings: List[float] = []
    began_s = time.time()
    with simulated.client() as client:
        for message in client.messages(ppg=True):
            VALIDATOR.validate(message)
            if message["class"] == "HR":
                assert began_s <= message["time"] <= time.time()
                if message["state"] == "tracking":
                    readings.append(message["bpm"])
            if len(readings) == 3:
                break
    assert readings == pytest.approx([72, 72, 72], abs=2)
    with simulated.client() as client:
        status = client.status()
    VALIDATOR.validate(status)
    assert status["engine"]["name"] == "onnx"
    assert "ONNX Runtime on" in status["engine"]["reason"]
    assert status["model"]["name"] == "student"
    assert status["fps"] == pytest.approx(30, abs=2)
    assert simulated.stop() == 0
    assert not os.path.exists(simulated.socket)


@pytest.mark.slow
def test_the_real_clip_through_the_live_daemon(folder: Path, face_clip: Path) -> None:
    for daemon in running(folder, "--source", str(face_clip)):
        daemon.client().close()
        watch = [*HRD, "watch", "--socket", daemon.socket, "--json", "--tracking", "--count", "2"]
        lines = subprocess.run(watch, capture_output=True, text=True, timeout=60, check=True).stdout
        messages = [json.loads(line) for line in lines.splitlines()]
        for message in messages:
            VALIDATOR.validate(message)
        assert [m["bpm"] for m in messages if "bpm" in m] == pytest.approx([53, 53], abs=3)
        assert daemon.process.wait(30) == 0  # the end of a file is the end of the daemon
        assert not os.path.exists(daemon.socket)


def test_a_reload_to_a_model_that_answers_nan_leaves_the_daemon_as_it_was(folder: Path) -> None:
    onnx = needs("onnx")
    model = onnx.load(str(model_path("student")))
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.float32("nan"), tensor.name))
    onnx.save(model, str(folder / "nan.onnx"))
    config = folder / "hrd.toml"
    config.write_text('[source]\nspec = "sim:size=160x120"\n[face]\ndetector = "opencv"\n')
    for daemon in running(folder, "--config", str(config)):
        with daemon.client() as client:
            before = client.status()["engine"]
            with open(config, "a", encoding="utf-8") as file:
                file.write(f'[engine]\nmodel = "{folder}/nan.onnx"\n')
            daemon.process.send_signal(signal.SIGHUP)
            assert daemon.process.stderr is not None
            line = ""
            while "reload:" not in line:
                line = daemon.process.stderr.readline()
                assert daemon.process.poll() is None
            assert "nan.onnx does not work when tried" in line
            assert "stay as they were" in line
            assert client.status()["engine"] == before
            assert next(m for m in client if m.state != "no_camera")
        assert daemon.stop() == 0


def test_what_status_and_log_show_of_an_address_holds_no_password(folder: Path) -> None:
    spec = "rtsp://admin:p@ss/Geheim7@127.0.0.1:9/live?pwd=Geheim7"
    for daemon in running(folder, "--persist", "--source", spec, "--engine", "pos"):
        with daemon.client() as client:
            assert next(m for m in client if m.state == "no_camera").reason == "CAMERA_LOST"
            assert "Geheim7" not in json.dumps(client.status())
        assert daemon.stop() == 0
        assert daemon.process.stderr is not None
        assert "Geheim7" not in daemon.process.stderr.read()


def test_sigterm_ends_it_while_it_warms_up(folder: Path) -> None:
    for daemon in running(folder, "--source", "sim:", "--engine", "pos"):
        daemon.client().close()
        assert daemon.stop() == 0
        assert not os.path.exists(daemon.socket)


def test_as_a_service_it_tells_systemd_and_reloads(folder: Path, monkeypatch) -> None:
    config = folder / "hrd.toml"
    text = '[source]\nspec = "{spec}"\n[engine]\nname = "{engine}"\n[face]\ndetector = "opencv"\n'
    config.write_text(text.format(spec="sim:size=160x120", engine="pos"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        heard: List[str] = []

        def until(line: str) -> None:
            while not any(line in one for one in heard):
                heard.extend(systemd.recv(4096).decode().splitlines())
            del heard[: next(i for i, one in enumerate(heard) if line in one) + 1]

        for daemon in running(folder, "--persist", "--config", str(config)):
            until("READY=1")
            for _ in range(3):
                until("WATCHDOG=1")
            with daemon.client() as client:
                assert client.status()["engine"]["name"] == "pos"
                for spec, engine in (("sim:size=192x144", "onnx"), ("/dev/video97", "onnx")):
                    config.write_text(text.format(spec=spec, engine=engine))
                    daemon.process.send_signal(signal.SIGHUP)
                    until("RELOADING=1")
                    until("READY=1")
                    assert client.status()["engine"]["name"] == engine
                # a camera that is not there is waited for, and the watchdog does not mind
                until("STATUS=no_camera: There is no device /dev/video97")
                until("WATCHDOG=1")
                assert next(m for m in client if m.state == "no_camera").reason == "CAMERA_LOST"
                config.write_text("[engine]\nspeed = 11\n")
                daemon.process.send_signal(signal.SIGHUP)
                assert daemon.process.stderr is not None
                while "stays as it was" not in daemon.process.stderr.readline():
                    assert daemon.process.poll() is None
                assert client.status()["camera"]["source"] == "/dev/video97"
            assert daemon.stop() == 0
            until("STOPPING=1")


@pytest.mark.slow
def test_a_reload_to_an_engine_that_fails_later_ends_nothing(folder: Path) -> None:
    needs("onnx")
    config, faulty = folder / "hrd.toml", folder / "faulty.onnx"
    text = '[source]\nspec = "sim:size=160x120"\n[engine]\nname = "{name}"\nmodel = "{model}"\n'
    config.write_text(text.format(name="pos", model="student"))
    faulty_student(faulty, FAIL, after_chunks=3)
    for daemon in running(folder, "--config", str(config)):
        with daemon.client() as client:
            config.write_text(text.format(name="onnx", model=faulty))
            daemon.process.send_signal(signal.SIGHUP)
            assert daemon.process.stderr is not None
            said = ""
            while "taken up again" not in said:
                said = daemon.process.stderr.readline()
                assert daemon.process.poll() is None
            assert "ONNX Runtime on the CPU has failed" in said
            assert "nothing is left to go on with" in said
            eventually(lambda: client.status()["engine"]["name"] == "pos", "POS goes on")
            next(iter(client))
        assert daemon.stop() == 0


def test_a_service_never_simulates_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "first_camera", lambda: None)
    with pytest.raises(SourceError, match="no camera: plug one in"):
        sources.resolve_source("auto", simulate=False)


def test_without_a_camera_the_simulated_one_is_used_and_said_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sources, "first_camera", lambda: None)
    assert sources.resolve_source("auto").startswith("sim:")
    assert "SIMULATED" in caplog.text
    monkeypatch.setattr(sources, "first_camera", lambda: "/dev/video3")
    assert sources.resolve_source("auto") == "/dev/video3"
    assert sources.resolve_source("x.mp4") == "x.mp4"
