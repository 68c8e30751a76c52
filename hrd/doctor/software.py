"""Packages, models and engines."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from typing import List, Optional, Tuple

from hrd import __version__
from hrd.config import Config
from hrd.doctor.finding import Finding, Verdict
from hrd.missing import pip_install


def python(config: Config) -> List[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 8) <= sys.version_info[:2] <= (3, 13):
        return [Finding("python", Verdict.OK, f"Python {version}")]
    return [
        Finding(
            "python",
            Verdict.WARN,
            f"Python {version}: hrd is tested with 3.8 to 3.13",
            "make the environment with one of python3.8 ... python3.13",
        )
    ]


def packages(config: Config) -> List[Finding]:
    """Versions that do not go together, though pip may have allowed them."""
    complaints: List[Tuple[str, str]] = []
    installed = version("hrd")
    if installed is not None and installed != __version__:
        complaints.append(
            (
                f"the code is hrd {__version__}, but pip knows it as {installed}",
                "pip install --force-reinstall --no-deps FOLDER-OR-WHEEL, where it came from",
            )
        )
    numpy = version("numpy") or "0"
    mediapipe, protobuf = version("mediapipe"), version("protobuf")
    if mediapipe == "0.10.9" and int(numpy.split(".")[0]) >= 2:
        complaints.append((f"numpy {numpy}: MediaPipe needs one below 2", "pip install 'numpy<2'"))
    if mediapipe == "0.10.9" and protobuf is not None and int(protobuf.split(".")[0]) >= 4:
        complaints.append(
            (f"protobuf {protobuf}: MediaPipe 0.10.9 needs one below 4", "pip install 'protobuf<4'")
        )
    if version("onnxruntime") and version("onnxruntime-gpu"):
        complaints.append(
            (
                "onnxruntime and onnxruntime-gpu overwrite each other",
                "pip uninstall -y onnxruntime onnxruntime-gpu, then install one of them",
            )
        )
    if config.metrics.enabled and version("prometheus_client") is None:
        remedy = pip_install("hrd[metrics]")
        complaints.append(("metrics are on, prometheus_client is missing", remedy))
    if complaints:
        return [Finding("packages", Verdict.WARN, *complaint) for complaint in complaints]
    names = ("numpy", "onnxruntime", "av", "simplejpeg", "mediapipe", "scipy")
    known = [f"{name} {found}" for name in names for found in [version(name)] if found]
    return [Finding("packages", Verdict.OK, f"hrd {__version__}, {', '.join(known)}")]


def version(name: str) -> Optional[str]:
    """The version of an installed package, None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def opencv(config: Config) -> List[Finding]:
    names = [f"opencv-{kind}" for kind in ("python", "contrib-python")]
    names += [f"{name}-headless" for name in names]
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    if len(found) > 1 and not _mediapipes_own(found):
        return [
            Finding(
                "opencv",
                Verdict.WARN,
                f"{len(found)} OpenCV packages overwrite each other: {', '.join(found)}",
                "pip uninstall all of them, then pip install opencv-python-headless==4.11.0.86",
            )
        ]
    return [Finding("opencv", Verdict.OK, found[0] if found else "OpenCV from the system")]


def _mediapipes_own(found: List[str]) -> bool:
    """The extra "mediapipe" brings a second OpenCV, of the same version: the files are alike."""
    versions = {name.split()[1] for name in found}
    return version("mediapipe") is not None and len(versions) == 1


def face(config: Config) -> List[Finding]:
    import numpy as np

    from hrd.face.detect import open_detector

    detector = open_detector(config.face.detector)
    try:
        detector.detect(np.zeros((240, 320, 3), np.uint8))
    finally:
        detector.close()
    if detector.name == "opencv" and config.face.detector == "auto":
        return [
            Finding(
                "face",
                Verdict.WARN,
                "the face network cannot run; OpenCV's slower detector stands in",
                "pip install onnxruntime",
            )
        ]
    return [Finding("face", Verdict.OK, f"detector {detector.name}")]


def models(config: Config) -> List[Finding]:
    from hrd.engine.card import NAMES, models_dir, read_card

    findings = []
    for name in (*NAMES, "face"):
        path = models_dir() / f"{name}.onnx"
        if not path.is_file():
            findings.append(Finding("models", Verdict.WARN, f"{path} is missing", "reinstall hrd"))
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        expected = read_card(path).get("sha256")
        if expected != digest:
            findings.append(
                Finding(
                    "models",
                    Verdict.WARN,
                    f"{name}: the file is not the one that its card describes",
                    "reinstall hrd",
                )
            )
        else:
            findings.append(
                Finding("models", Verdict.OK, f"{name}, {path.stat().st_size // 1024} KiB")
            )
    return findings


def engine(config: Config) -> List[Finding]:
    import numpy as np

    from hrd.engine.select import open_engine
    from hrd.types import CROP_PX, MODEL_FS_HZ, RoiChunk

    options = config.engine
    selection = open_engine(
        options.name, options.model, options.threads, options.tensorrt, config.pipeline().hop_frames
    )
    crops = np.full((30, CROP_PX, CROP_PX, 3), 120, np.float32)
    chunk = RoiChunk(0.0, MODEL_FS_HZ, crops, np.zeros(30, bool), np.zeros((30, 2), np.float32))
    bvp = selection.engine.process(chunk).bvp
    selection.engine.close()
    if not np.isfinite(bvp).all():
        return [Finding("engine", Verdict.FAIL, "the engine gives no numbers", "reinstall hrd")]
    name = selection.engine.info.name
    if name == "pos" and config.engine.name == "auto":
        return [
            Finding("engine", Verdict.WARN, f"no network can run: {selection.why}", "reinstall hrd")
        ]
    return [Finding("engine", Verdict.OK, selection.why)]


def gpu(config: Config) -> List[Finding]:
    """TensorRT, the GPU that it would use, and its cache of built engines."""
    from hrd.engine.tensorrt_check import diagnose

    options = config.engine
    wanted = options.name == "tensorrt"
    findings = []
    for item in diagnose(options.tensorrt, (options.model,), config.pipeline().hop_frames):
        if item.ok:
            verdict = Verdict.OK
        elif wanted:
            verdict = Verdict.FAIL
        else:  # without a GPU nothing is missing; with one, something is
            verdict = Verdict.WARN if item.remedy else Verdict.OK
        findings.append(Finding("gpu", verdict, item.text, item.remedy))
    return findings
