"""Metrics: what a scrape shows, and to whom."""

from __future__ import annotations

import http.client
import socket
from typing import Dict, Iterator, Tuple

import pytest

from hrd.errors import HrdError
from hrd.service.metrics import Metrics
from hrd.status import (
    CameraStatus,
    ClientCounts,
    EngineStatus,
    FrameCount,
    MemoryStatus,
    ModelStatus,
    Status,
)
from hrd.types import Reading, Reason, State
from tests.needs import needs

parser = needs("prometheus_client.parser")

STATUS = Status(
    uptime_s=12.5,
    engine=EngineStatus(name="onnx", provider="cpu", fallbacks=2),
    model=ModelStatus("student"),
    camera=CameraStatus(lost=3),
    fps=29.97,
    drops=FrameCount(7),
    queues=FrameCount(1),
    memory=MemoryStatus(150.5),
    clients=ClientCounts(connected=4, accepted=9, refused=1, cut_off=2, bad_requests=5),
)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics(0, lambda: STATUS)
    yield made
    made.close()


def get(metrics: Metrics, path: str = "/metrics", **headers: str) -> Tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", metrics.port, timeout=20)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def samples(metrics: Metrics) -> Dict[str, float]:
    """``name{label=value}`` -> value, as Prometheus itself would read them."""
    code, text = get(metrics)
    assert code == 200
    found: Dict[str, float] = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_a_reading_and_the_state_of_the_daemon(metrics: Metrics) -> None:
    tracking = Reading(0.0, State.TRACKING, bpm=71.8, confidence=0.93, snr_db=7.1)
    metrics.reading(Reading(0.0, State.NO_FACE, reason=Reason.NO_FACE), 0.02)
    metrics.reading(tracking, 0.04)
    for _ in range(3):
        metrics.stage("engine", 0.0021)
    found = samples(metrics)
    assert found["hrd_bpm"] == 71.8
    assert found["hrd_confidence"] == 0.93
    assert found["hrd_state{state=tracking}"] == 1
    assert found["hrd_state{state=no_face}"] == 0
    assert found["hrd_readings_total{reason=NO_FACE,state=no_face}"] == 1
    assert found["hrd_readings_total{reason=,state=tracking}"] == 1
    assert found["hrd_stage_seconds_count{stage=engine}"] == 3
    assert found["hrd_stage_seconds_bucket{le=0.005,stage=engine}"] == 3
    assert found["hrd_stage_seconds_bucket{le=0.002,stage=engine}"] == 0
    assert found["hrd_reading_latency_seconds_count"] == 2
    assert found["hrd_fps"] == 29.97
    assert "hrd_jitter_ms" not in found  # not known: not there
    assert found["hrd_frames_dropped_total"] == 7
    assert found["hrd_camera_restarts_total"] == 3
    assert found["hrd_camera_ok"] == 1
    assert found["hrd_engine_fallbacks_total"] == 2
    assert found["hrd_engine_info{engine=onnx,model=student,provider=cpu}"] == 1
    assert found["hrd_clients"] == 4
    assert found["hrd_clients_cut_off_total"] == 2
    assert found["hrd_memory_bytes"] == 150.5e6
    assert found["process_open_fds"] > 0


def test_no_reading_no_bpm(metrics: Metrics) -> None:
    assert "hrd_bpm" not in samples(metrics)
    metrics.reading(Reading(0.0, State.TRACKING, bpm=70.0, confidence=0.9), 0.02)
    metrics.reading(Reading(0.0, State.NO_CAMERA, reason=Reason.CAMERA_LOST), 0.0)
    found = samples(metrics)
    assert "hrd_bpm" not in found  # an old one is not carried on
    assert "hrd_confidence" not in found
    assert found["hrd_reason{reason=CAMERA_LOST}"] == 1


def test_on_this_machine_only(metrics: Metrics) -> None:
    assert metrics.address == "127.0.0.1"
    # a web page of another site that has its name resolve to 127.0.0.1
    assert get(metrics, Host="evil.example:80")[0] == 403
    assert get(metrics, Host=f"localhost:{metrics.port}")[0] == 200
    assert get(metrics, "/")[0] == 404


def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(HrdError, match=r"set another metrics\.port"):
            Metrics(taken.getsockname()[1], lambda: STATUS)


def test_a_scraper_that_says_nothing_delays_nobody_for_ever() -> None:
    metrics = Metrics(0, lambda: STATUS, request_timeout_s=0.2)
    with socket.create_connection(("127.0.0.1", metrics.port)):
        assert get(metrics)[0] == 200
    metrics.close()
