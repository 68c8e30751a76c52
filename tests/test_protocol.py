"""Protocol 1: what is sent, what is understood, and the published schema."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from pathlib import Path
from typing import Any, Dict

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrd import protocol
from hrd.protocol import ProtocolError, Request, encode, parse_request
from hrd.status import (
    CameraStatus,
    ClientCounts,
    EngineStatus,
    FrameCount,
    ModelStatus,
    Status,
)
from hrd.types import Reading, Reason, State

SCHEMA = protocol.load_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
REQUEST_VALIDATOR = jsonschema.Draft202012Validator(
    {"$ref": "#/$defs/request", "$defs": SCHEMA["$defs"]}
)
DOCS = Path(__file__).parent.parent / "docs" / "protocol.md"
FUZZ = settings(max_examples=int(os.environ.get("HRD_FUZZ_EXAMPLES", "300")), deadline=None)

TRACKING = Reading(
    time_s=12.0, state=State.TRACKING, bpm=72.3456, confidence=0.9149, snr_db=8.16, fps=29.987
)


def _valid(message: Dict[str, Any]) -> bool:
    return bool(VALIDATOR.is_valid(message))


# What is sent.


def test_a_tracking_reading_on_the_wire() -> None:
    message = protocol.hr_message(TRACKING, 1_700_000_000.12345, 41.26)
    assert encode(message) == (
        b'{"class":"HR","time":1700000000.123,"state":"tracking","bpm":72.3,"confidence":0.91,'
        b'"snr_db":8.2,"fps":29.99,"latency_ms":41.3}\n'
    )
    VALIDATOR.validate(message)


def test_a_reading_without_bpm_on_the_wire() -> None:
    reading = Reading(time_s=1.0, state=State.UNSURE, reason=Reason.MOTION)
    assert encode(protocol.hr_message(reading, 1_700_000_000.0)) == (
        b'{"class":"HR","time":1700000000.0,"state":"unsure","reason":"MOTION"}\n'
    )


@pytest.mark.parametrize("state", [state for state in State if state is not State.TRACKING])
@pytest.mark.parametrize("reason", list(Reason))
def test_every_state_and_reason_is_in_the_schema(state: State, reason: Reason) -> None:
    VALIDATOR.validate(protocol.hr_message(Reading(0.0, state, reason=reason), 1.0))


def test_schema_and_types_list_the_same_words() -> None:
    properties = SCHEMA["$defs"]["HR"]["properties"]
    assert set(properties["state"]["enum"]) == {state.value for state in State}
    assert set(properties["reason"]["enum"]) == {reason.value for reason in Reason}


@pytest.mark.parametrize(
    "reading",
    [
        Reading(0.0, State.TRACKING, bpm=72.0),
        Reading(0.0, State.TRACKING, confidence=0.9),
        Reading(0.0, State.TRACKING, bpm=math.nan, confidence=0.9),
        Reading(0.0, State.TRACKING, bpm=72.0, confidence=math.nan),
        Reading(0.0, State.TRACKING, bpm=0.0, confidence=0.9),
        Reading(0.0, State.TRACKING, bpm=72.0, confidence=1.1),
        Reading(0.0, State.TRACKING, bpm=72.0, confidence=0.9, reason=Reason.MOTION),
        Reading(0.0, State.UNSURE),
        Reading(0.0, State.UNSURE, bpm=72.0, reason=Reason.MOTION),
        Reading(0.0, State.NO_FACE, confidence=0.1, reason=Reason.NO_FACE),
    ],
)
def test_a_reading_that_breaks_the_rule_is_never_sent(reading: Reading) -> None:
    with pytest.raises(ValueError, match="reading|confidence"):
        protocol.hr_message(reading, 1.0)


def test_what_is_not_known_is_absent() -> None:
    reading = Reading(0.0, State.NO_FACE, reason=Reason.NO_FACE, snr_db=math.nan, fps=math.inf)
    assert set(protocol.hr_message(reading, 1.0)) == {"class", "time", "state", "reason"}


def test_numbers_of_numpy_are_numbers() -> None:
    bpm: Any = np.float32(71.96)
    confidence: Any = np.float64(0.5)
    fps: Any = np.float32(30.0)
    reading = Reading(0.0, State.TRACKING, bpm=bpm, confidence=confidence, fps=fps)
    message = json.loads(encode(protocol.hr_message(reading, 5.0, fps, new=np.float32(0.5))))
    assert message["new"] == 0.5
    assert (message["bpm"], message["confidence"], message["fps"]) == (72.0, 0.5, 30.0)


def test_waveform_keeps_four_digits() -> None:
    bvp = np.array([0.123456, -12345.6, 1.5e-7], np.float32)
    message = protocol.ppg_message(1_700_000_000.03333, 30.0, bvp)
    assert encode(message) == (
        b'{"class":"PPG","time":1700000000.0333,"fs_hz":30.0,"bvp":[0.1235,-12350.0,1.5e-07]}\n'
    )
    VALIDATOR.validate(message)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_waveform_with_a_hole_is_never_sent(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        protocol.ppg_message(1.0, 30.0, [0.1, bad])


def test_status_leaves_out_what_is_unknown_at_any_depth() -> None:
    status = Status(
        uptime_s=3.5,
        engine=EngineStatus(name="onnx", reason="CUDA is not there"),
        fps=math.nan,
        drops=FrameCount(np.int64(3)),
        camera=CameraStatus(source="/tmp/\udcff.mp4"),
    )
    message = json.loads(encode(protocol.status_message(status, 1_700_000_000.5)))
    assert message == {
        "class": "STATUS",
        "time": 1_700_000_000.5,
        "uptime_s": 3.5,
        "engine": {"name": "onnx", "reason": "CUDA is not there"},
        "drops": {"frames": 3},
        "camera": {"source": "/tmp/?.mp4"},
        "clients": dict.fromkeys((f.name for f in dataclasses.fields(ClientCounts)), 0),
    }
    VALIDATOR.validate(message)


def test_status_reads_back_and_bears_what_other_releases_say() -> None:
    status = Status(
        release="1.2.3", engine=EngineStatus(name="onnx", fallbacks=2), model=ModelStatus("student")
    )
    message = json.loads(encode(protocol.status_message(status, 1.0)))
    assert Status.from_message(message) == status
    message.update(new=1, fps="fast", camera=None, engine={"name": "onnx", "fallbacks": 2, "x": 1})
    assert Status.from_message(message) == status


def test_the_schema_knows_every_field_of_status() -> None:
    properties = protocol.load_schema()["$defs"]["STATUS"]["properties"]
    for item in dataclasses.fields(Status):
        assert item.name in properties
        inner = getattr(Status(model=ModelStatus()), item.name)
        known = properties[item.name].get("properties")
        if dataclasses.is_dataclass(inner) and known is not None:
            assert {f.name for f in dataclasses.fields(inner)} <= set(known)


def test_a_line_is_one_line_of_ascii() -> None:
    line = encode(protocol.error_message("é\n\u2028" + '"'))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.isascii()
    assert json.loads(line)["message"] == "é\n\u2028" + '"'


@pytest.mark.parametrize("hole", [None, math.nan])
def test_a_hole_in_a_list_cannot_be_encoded(hole: object) -> None:
    with pytest.raises(ValueError, match="list"):
        encode({"class": "STATUS", "x": [1, hole]})


# The schema.


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


HR = {"class": "HR", "time": 1.0, "state": "tracking", "bpm": 72.0, "confidence": 0.9}
UNSURE = {"class": "HR", "time": 1.0, "state": "unsure", "reason": "MOTION"}


@pytest.mark.parametrize(
    "message",
    [
        HR,
        UNSURE,
        {**HR, "new": {"deep": [1, {"x": "y"}]}},
        {"class": "VERSION", "proto": "1.3", "release": "2.0.0", "new": 1},
        {"class": "STATUS", "time": 1.0, "new": True},
    ],
)
def test_schema_takes(message: Dict[str, Any]) -> None:
    assert _valid(message)


@pytest.mark.parametrize(
    "message",
    [
        {**HR, "reason": "MOTION"},
        {**UNSURE, "bpm": 72.0},
        {**UNSURE, "confidence": 0.2},
        {**UNSURE, "bpm": 72.0, "confidence": 0.2},
        {name: value for name, value in HR.items() if name != "bpm"},
        {name: value for name, value in HR.items() if name != "confidence"},
        {name: value for name, value in HR.items() if name != "time"},
        {name: value for name, value in HR.items() if name != "state"},
        {name: value for name, value in UNSURE.items() if name != "reason"},
        {**HR, "confidence": 1.01},
        {**HR, "bpm": 0},
        {**HR, "bpm": "72"},
        {**HR, "snr_db": None},
        {**HR, "new": None},
        {**HR, "new": {"deep": [1, {"x": None}]}},
        {**HR, "state": "asleep"},
        {**HR, "class": "TPV"},
        {"class": "VERSION", "proto": "2.0", "release": "1"},
        {"class": "VERSION", "proto": "1.0"},
        {"class": "PPG", "time": 1.0, "fs_hz": 30.0, "bvp": [0.1, None]},
        {"class": "PPG", "time": 1.0, "fs_hz": 0, "bvp": []},
        {"class": "STATUS", "time": 1.0, "engine": {"name": "pos"}},
        {"class": "STATUS", "time": 1.0, "drops": {"frames": -1}},
        {"class": "STATUS", "time": 1.0, "engine": None},
        {"class": "ERROR"},
        [HR],
    ],
)
def test_schema_refuses(message: Dict[str, Any]) -> None:
    assert not _valid(message)


NUMBERS = st.floats(width=32) | st.none()


@FUZZ
@given(
    state=st.sampled_from(State),
    reason=st.sampled_from(Reason) | st.none(),
    bpm=st.floats(0.1, 299.9) | NUMBERS,
    confidence=st.floats(0.0, 1.0) | NUMBERS,
    snr_db=NUMBERS,
    fps=st.floats(0.0, 1000.0) | st.none(),
)
def test_whatever_is_sent_fits_the_schema(
    state: State, reason: Any, bpm: Any, confidence: Any, snr_db: Any, fps: Any
) -> None:
    reading = Reading(1.0, state, bpm, confidence, reason, snr_db, fps)
    try:
        line = encode(protocol.hr_message(reading, 1_700_000_000.0, 40.0))
    except ValueError:
        allowed = (
            bpm is not None and confidence is not None and reason is None
            if state is State.TRACKING
            else bpm is None and confidence is None and reason is not None
        )
        finite = all(value is None or math.isfinite(value) for value in (bpm, confidence))
        assert not allowed or not finite or bpm <= 0.0 or not 0.0 <= confidence <= 1.0
        return
    message = json.loads(line)
    if "bpm" in message and not 0.05 < message["bpm"] <= 300.0:
        return  # no estimator looks there
    VALIDATOR.validate(message)


# Requests.


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b'{"class":"WATCH"}\n', Request("WATCH")),
        (b'{"class":"WATCH","ppg":true}\r\n', Request("WATCH", ppg=True)),
        (b'{"class":"WATCH","ppg":false,"enable":false}', Request("WATCH", enable=False)),
        (b'{"class":"WATCH","setup":true}', Request("WATCH", setup=True)),
        (b'{"class":"WATCH","features":true}', Request("WATCH", features=True)),
        (b' { "ppg" : true , "class" : "WATCH" } ', Request("WATCH", ppg=True)),
        (b'{"class":"POLL"}', Request("POLL")),
        (b'{"class":"STATUS"}', Request("STATUS")),
        (b'{"class":"\\u0050OLL"}', Request("POLL")),
    ],
)
def test_requests_understood(line: bytes, request_: Request) -> None:
    assert parse_request(line) == request_
    assert REQUEST_VALIDATOR.is_valid(json.loads(line))


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        (b"", "''"),
        (b"\r\n", "''"),
        (b"?WATCH={}", "'?WATCH={}'"),
        (b"\xff\xfe{", r"\\xff\\xfe{"),
        (b'{"class":"POLL"', '{"class":"POLL"'),
        (b"GET / HTTP/1.1", "GET / HTTP/1.1"),
        (b"\x00\x1b[2J", r"\x00\x1b[2J"),
        (b"[" * 4000, "[" * 80),
        (b'{"a":' * 800, '{"a":' * 16),
        (b"[]", "[]"),
        (b"null", "null"),
        (b"NaN", "NaN"),
        (b'"POLL"', '"POLL"'),
        (b"{}", "{}"),
        (b'{"class":null}', "null"),
        (b'{"class":["POLL"]}', '["POLL"]'),
        (b'{"class":{"POLL":1}}', '{"POLL":1}'),
        (b'{"class":"poll"}', '"poll"'),
        (b'{"class":"HR"}', '"HR"'),
        (b'{"class":"\\ud800"}', "ud800"),
        (b'{"class":"POLL","ppg":true}', "'ppg'"),
        (b'{"class":"WATCH","pgp":true}', "'pgp'"),
        (b'{"class":"WATCH","ppg":1}', "ppg must be true or false"),
        (b'{"class":"WATCH","ppg":null}', "ppg must be true or false"),
        (b'{"class":"WATCH","enable":"no"}', "enable must be true or false"),
        (b'{"class":"POLL"}{"class":"POLL"}', '{"class":"POLL"}{"class":"POLL"}'),
        ('{"class":"POLL"}'.encode("utf-16"), r"\x00c\x00l\x00a"),
        (b'\xef\xbb\xbf{"class":"POLL"}', "class"),
        (b"9" * 4096, "9" * 80),
    ],
)
def test_bad_requests_are_quoted(line: bytes, quoted: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_request(line)
    message = str(caught.value)
    assert quoted in message
    assert message.isprintable()
    assert len(message) < 500


@FUZZ
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8")))
def test_no_bytes_break_the_parser(line: bytes) -> None:
    _request_or_printable_error(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELD = st.sampled_from(["class", "ppg", "setup", "features", "enable", "PPG", ""])
REQUESTS = st.dictionaries(
    FIELD, st.sampled_from(["WATCH", "POLL", "STATUS", "", True, False, None]) | JSON
)


@FUZZ
@given(REQUESTS | JSON)
def test_parser_and_schema_agree(request_: Any) -> None:
    understood = _request_or_printable_error(json.dumps(request_).encode())
    assert understood == REQUEST_VALIDATOR.is_valid(request_)


def _request_or_printable_error(line: bytes) -> bool:
    try:
        request = parse_request(line)
    except ProtocolError as error:
        text = str(error)
    else:
        assert request.kind in {"WATCH", "POLL", "STATUS"}
        return True
    VALIDATOR.validate(json.loads(encode(protocol.error_message(text))))
    assert text.isprintable()
    assert len(text) < 1000
    return False


# docs/protocol.md.


def test_the_examples_in_the_documentation_are_true() -> None:
    messages = []
    requests = []
    for block in re.findall(r"```json\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            example = json.loads(line)
            if REQUEST_VALIDATOR.is_valid(example):
                requests.append(parse_request(line.encode()).kind)
            else:
                VALIDATOR.validate(example)
                messages.append(example["class"])
    assert set(messages) == {"VERSION", "HR", "PPG", "SETUP", "FEATURES", "STATUS", "ERROR"}
    assert set(requests) == {"WATCH", "POLL", "STATUS"}


def test_the_documentation_names_every_field_and_reason() -> None:
    text = DOCS.read_text("utf-8")
    names = [reason.value for reason in Reason] + [state.value for state in State]
    for kind in ("VERSION", "HR", "PPG", "SETUP", "STATUS", "ERROR"):
        names += SCHEMA["$defs"][kind]["properties"]
    missing = [name for name in names if f"`{name}`" not in text]
    assert not missing
