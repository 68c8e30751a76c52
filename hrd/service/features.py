"""What each reading's confidence was computed from, for clients that ask.

Nothing is computed while none does.
"""

from __future__ import annotations

from typing import Callable, Optional

from hrd import protocol
from hrd.estimate.confidence import Calibration
from hrd.estimate.estimator import Estimate
from hrd.estimate.explain import Explainer, as_json
from hrd.pulse import PulseStage
from hrd.service.server import SocketServer
from hrd.types import Reading


class FeatureReporter:
    """``on_estimate`` of a pulse stage; ``reading`` after each HR: publishes its FEATURES if a
    client of the server wants them and an estimate was made for it."""

    def __init__(self, server: SocketServer, calibration_for: Callable[[str], Calibration]) -> None:
        self._server = server
        self._explainer = Explainer(calibration_for)
        self._estimate: Optional[Estimate] = None
        self._time_s = 0.0

    def on_estimate(self, time_s: float, estimate: Estimate) -> None:
        """An estimate on its way to the gate."""
        self._time_s, self._estimate = time_s, estimate

    def reading(self, reading: Reading, stage: PulseStage, wall_time_s: float) -> None:
        """What has become of it."""
        estimate, self._estimate = self._estimate, None
        if estimate is None or not self._server.wanted("FEATURES"):
            return
        self._explainer.on_estimate(self._time_s, estimate)
        engine = stage.engine.info.name
        # the picture is judged before the signal: then the gate was never asked
        refused = "" if reading.reason is None else reading.reason.value
        explanation = self._explainer.explain(engine, reading, stage.gate_says or refused)
        if explanation is not None:
            self._server.publish(
                protocol.features_message(wall_time_s, engine, as_json(explanation))
            )
