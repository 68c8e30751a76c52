"""Why a confidence is what it is: FEATURES on the wire, and in words."""

from __future__ import annotations

import math
from typing import Any, Dict, List

import pytest

from hrd import protocol
from hrd.estimate.confidence import load_calibration
from hrd.estimate.estimator import Estimate
from hrd.estimate.explain import Explainer, as_json, odds_of
from hrd.estimate.features import FEATURE_NAMES, Features
from hrd.service.features import FeatureReporter
from hrd.service.server import SocketServer
from hrd.types import Reading, Reason, State
from hrd.watch.canvas import Canvas
from hrd.watch.layout import Shown, draw
from hrd.watch.model import Model
from hrd.why import TOPICS, in_short, why
from tests.socket_help import RawClient, eventually, hr

WALL_S = 1_700_000_000.0
FEATURES = Features(0.98, 8.0, 12.0, 0.9, 0.1, 0.2, 0.1, 1.0, 0.8)


def estimate() -> Estimate:
    confidence = load_calibration("onnx").confidence(FEATURES.vector())
    return Estimate(72.0, confidence, 8.0, 12.0, FEATURES)


def message(gate: str = "") -> Dict[str, Any]:
    explainer = Explainer()
    explainer.on_estimate(1.0, estimate())
    reading = Reading(1.0, State.UNSURE, reason=Reason.WEAK_SIGNAL)
    explanation = explainer.explain("onnx", reading, gate)
    assert explanation is not None
    return protocol.features_message(WALL_S, "onnx", as_json(explanation))


def test_every_feature_is_in_one_topic() -> None:
    assert sorted(name for topic in TOPICS for name in topic.features) == sorted(FEATURE_NAMES)


def test_the_weights_add_up_to_the_confidence() -> None:
    found = why(message("confidence under 0.8"))
    assert found is not None
    total = found.start + sum(one.log_odds for one in found.weights)
    assert total == pytest.approx(odds_of(found.confidence), abs=0.1)
    sizes = [abs(one.log_odds) for one in found.weights]
    assert sizes == sorted(sizes, reverse=True)
    assert found.gate == "confidence under 0.8"
    assert found.time_s == WALL_S


def test_what_was_measured_is_said_in_its_own_unit() -> None:
    found = why(message())
    assert found is not None
    said = {one.name: one.measured for one in found.weights}
    assert said["strength of the pulse"] == "8.0 dB; 90 % of it at this rate"
    assert said["evenness of the beats"] == (
        f"{math.degrees(0.1):.0f} degrees of jitter; counted 0.2 bpm off"
    )
    assert said["earlier readings agree"] == "100 % of 15 agree; last five 0.1 bpm off"
    assert said["length of signal"] == "12 s"


def test_features_of_another_release_are_told_by_name() -> None:
    told = message()
    told["explain"]["features"] = {"novel": {"value": 1.0, "log_odds": -2.0}}
    found = why(told)
    assert found is not None
    assert [(one.name, one.measured) for one in found.weights] == [("other features", "novel")]
    assert in_short(found) == ["- other features"]


@pytest.mark.parametrize(
    "broken", [{}, {"explain": 3}, {"explain": {"features": {"snr_db": None}}, "time": 1.0}]
)
def test_what_cannot_be_understood_is_nothing(broken: Dict[str, Any]) -> None:
    assert why(broken) is None


class Stage:
    """What the reporter needs of a pulse stage."""

    class engine:
        class info:
            name = "onnx"

    gate_says = "confidence under 0.8"


def test_it_is_made_for_those_who_ask_and_for_nobody_else(server: SocketServer) -> None:
    asked: List[str] = []

    def calibration_for(engine: str) -> Any:
        asked.append(engine)
        return load_calibration(engine)

    reporter = FeatureReporter(server, calibration_for)
    stage: Any = Stage()
    unsure = Reading(1.0, State.UNSURE, reason=Reason.WEAK_SIGNAL)
    reporter.on_estimate(1.0, estimate())
    reporter.reading(unsure, stage, WALL_S)
    assert asked == []  # nothing is computed
    with RawClient(server.path) as asking, RawClient(server.path) as plain:
        asking.send(b'{"class":"WATCH","features":true}\n')
        eventually(lambda: server.wanted("FEATURES"), "it is wanted")
        reporter.on_estimate(1.0, estimate())
        reporter.reading(unsure, stage, WALL_S)
        reporter.reading(unsure, stage, WALL_S + 1)  # no estimate was made for this one
        server.publish(hr(1))
        assert asked == ["onnx"]
        got = [asking.read() for _ in range(3)]
        assert [one["class"] for one in got] == ["VERSION", "FEATURES", "HR"]
        assert got[1]["time"] == WALL_S
        assert got[1]["explain"]["gate"] == "confidence under 0.8"
        assert got[1]["explain"]["confidence"] == round(estimate().confidence, 3)
        assert plain.read_classes(2) == ["VERSION", "HR"]


def watched(*messages: Dict[str, Any]) -> Model:
    model = Model("hrd.sock")
    for one in ({"class": "VERSION"}, *messages):
        model.take(one, 0.0)
    return model


def drawn(model: Model, width: int, height: int, **shown: Any) -> str:
    canvas = Canvas(width, height)
    draw(canvas, model, Shown(**shown), 0.0, 8.0)
    return "\n".join(canvas.lines())


def tracking(time_s: float = WALL_S) -> Dict[str, Any]:
    return protocol.hr_message(Reading(0.0, State.TRACKING, 72.0, 0.93), time_s)


def test_the_screen_says_why_in_a_line_and_in_full() -> None:
    model = watched(tracking(), message())
    assert " why  + " in drawn(model, 80, 24)
    full = drawn(model, 80, 24, why=True)
    for topic in TOPICS:
        assert topic.name in full
    assert "8.0 dB; 90 % of it at this rate" in full
    for size in ((60, 16), (40, 12), (20, 5), (1, 1)):
        drawn(model, *size, why=True)


def test_an_old_why_is_not_said_of_a_new_reading() -> None:
    later = watched(tracking(), message(), tracking(WALL_S + 1))
    assert "why  +" not in drawn(later, 80, 24)
    assert "waiting for an estimate" in drawn(later, 80, 24, why=True)
    refusal = Reading(0.0, State.UNSURE, reason=Reason.TOO_DARK)
    dark = watched(protocol.hr_message(refusal, WALL_S), message("TOO_DARK"))
    assert "why not" not in drawn(dark, 80, 24)  # the light was, and no feature


def test_an_estimate_that_was_held_back_is_never_shown() -> None:
    weak = Reading(0.0, State.UNSURE, reason=Reason.WEAK_SIGNAL)
    model = watched(protocol.hr_message(weak, WALL_S), message("confidence under 0.8"))
    for why_view in (False, True):
        seen = drawn(model, 80, 24, why=why_view)
        assert "72" not in seen
        assert "no bpm" in seen
    assert "why not  " in drawn(model, 80, 24)
    assert "not published: confidence under 0.8" in drawn(model, 80, 24, why=True)
