"""``hrd doctor --camera``: the chosen camera watched as ``hrd run`` would read it."""

from __future__ import annotations

from typing import List

from hrd.capture.devices import describe
from hrd.capture.open import open_source
from hrd.capture.source import SourceError, SourceInfo
from hrd.config import Config
from hrd.doctor.advice import advise
from hrd.doctor.finding import Finding, Verdict
from hrd.doctor.sight import watch
from hrd.pipeline import Pipeline
from hrd.service.sources import resolve_source


def chosen_camera(config: Config) -> List[Finding]:
    """What it offers and was set to, then what ten seconds of it show."""
    from hrd.engine.select import open_engine
    from hrd.face.detect import open_detector

    try:
        spec = resolve_source(config.source.spec, simulate=False)
        source = open_source(spec, config.source.capture)
    except SourceError as error:
        remedy = "hrd doctor lists every camera; sudo systemctl stop hrd frees the service's"
        return [Finding("camera", Verdict.FAIL, str(error), remedy)]
    options, shape = config.engine, config.pipeline()
    engine = open_engine(
        options.name, options.model, options.threads, options.tensorrt, shape.hop_frames
    ).engine
    detector = open_detector(config.face.detector)
    findings = [_offer(source.info)]
    try:
        capture = config.source.capture
        patience_s = capture.settle_s + capture.read_timeout_s + 3.0
        sight = watch(source, Pipeline(detector, engine, shape), patience_s=patience_s)
    except SourceError as error:
        return [*findings, Finding("camera", Verdict.FAIL, str(error), "another cable or port")]
    finally:
        engine.close()
        detector.close()
    return [*findings, *advise(sight, config)]


def _offer(info: SourceInfo) -> Finding:
    size = f"{info.width_px}x{info.height_px}"
    text = f"{info.spec}: {size}"
    if info.pixel_format:
        text += f" {info.pixel_format}"
    if info.nominal_fps:
        text += f" at {info.nominal_fps:g} frames a second"
    if info.kind == "v4l2":
        try:
            seen = describe(info.spec)
        except OSError:
            return Finding("camera", Verdict.OK, text)
        text += f"; {seen.card} ({seen.driver}) offers {', '.join(seen.formats)}"
    return Finding("camera", Verdict.OK, text)
