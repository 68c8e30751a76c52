"""``hrd doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import enum
import errno
import glob
import grp
import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np

from hrd.client import Client, ClientError
from hrd.config import Config
from hrd.errors import HrdError


class Verdict(str, enum.Enum):
    """``FAIL``: ``hrd run`` could not run. ``WARN``: it could, with something missing."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``remedy``: what mends it, a command where there is one."""

    topic: str
    verdict: Verdict
    text: str
    remedy: Optional[str] = None


def examine(config: Config) -> Iterator[Finding]:
    """Look at everything, one finding after another. Never raises: a fault is a finding."""
    checks: Tuple[Tuple[str, Callable[[Config], List[Finding]]], ...] = (
        ("python", _python),
        ("opencv", _opencv),
        ("face", _face),
        ("models", _models),
        ("engine", _engine),
        ("camera", _camera),
        ("gstreamer", _gstreamer),
        ("socket", _socket),
        ("daemon", _daemon),
        ("disk", _disk),
    )
    for topic, check in checks:
        try:
            yield from check(config)
        except HrdError as error:
            yield Finding(topic, Verdict.FAIL, str(error))
        except Exception as error:  # a check that breaks must not hide the ones after it
            yield Finding(topic, Verdict.FAIL, f"cannot be checked: {error!r}")


def _python(config: Config) -> List[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 8) <= sys.version_info[:2] <= (3, 11):
        return [Finding("python", Verdict.OK, f"Python {version}")]
    return [
        Finding(
            "python",
            Verdict.WARN,
            f"Python {version}: MediaPipe has wheels for 3.8 to 3.11 only",
            "make the environment with python3.8 ... python3.11",
        )
    ]


def _opencv(config: Config) -> List[Finding]:
    names = [f"opencv-{kind}" for kind in ("python", "contrib-python")]
    names += [f"{name}-headless" for name in names]
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    if len(found) > 1:
        return [
            Finding(
                "opencv",
                Verdict.WARN,
                f"{len(found)} OpenCV packages overwrite each other: {', '.join(found)}",
                "pip uninstall all of them, then pip install opencv-contrib-python==4.11.0.86",
            )
        ]
    return [Finding("opencv", Verdict.OK, found[0] if found else "OpenCV from the system")]


def _face(config: Config) -> List[Finding]:
    from hrd.face.detect import open_detector

    detector = open_detector(config.face.detector)
    try:
        detector.detect(np.zeros((240, 320, 3), np.uint8))
    finally:
        detector.close()
    if detector.name != "mediapipe" and config.face.detector == "auto":
        return [
            Finding(
                "face",
                Verdict.WARN,
                "MediaPipe cannot be loaded; OpenCV's slower detector stands in",
                "pip install mediapipe==0.10.9",
            )
        ]
    return [Finding("face", Verdict.OK, f"detector {detector.name}")]


def _models(config: Config) -> List[Finding]:
    from hrd.engine.card import NAMES, models_dir, read_card

    findings = []
    for name in NAMES:
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


def _engine(config: Config) -> List[Finding]:
    from hrd.engine.select import open_engine
    from hrd.types import CROP_PX, MODEL_FS_HZ, RoiChunk

    selection = open_engine(config.engine.name, config.engine.model, config.engine.threads)
    chunk = RoiChunk(
        0.0, MODEL_FS_HZ, np.full((30, CROP_PX, CROP_PX, 3), 120, np.float32), np.zeros(30, bool)
    )
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


def _camera(config: Config) -> List[Finding]:
    nodes = sorted(glob.glob("/dev/video*"))
    if not nodes:
        return [
            Finding(
                "camera",
                Verdict.WARN,
                "no /dev/video*: hrd run would use the simulated camera",
                "plug a USB camera in, or use --source csi://0, rtsp://... or a video file",
            )
        ]
    findings = []
    for node in nodes:
        if os.access(node, os.R_OK | os.W_OK):
            findings.append(Finding("camera", Verdict.OK, node))
        else:
            group = grp.getgrgid(os.stat(node).st_gid).gr_name
            findings.append(
                Finding(
                    "camera",
                    Verdict.FAIL,
                    f"{node} may not be opened by you; it belongs to the group {group}",
                    f"sudo usermod -aG {group} $USER, then log in again",
                )
            )
    if any(finding.verdict is Verdict.OK for finding in findings):  # one camera is enough
        findings = [
            Finding(f.topic, Verdict.WARN, f.text, f.remedy) if f.verdict is Verdict.FAIL else f
            for f in findings
        ]
    return findings


def _gstreamer(config: Config) -> List[Finding]:
    if shutil.which("gst-launch-1.0"):
        return [Finding("gstreamer", Verdict.OK, "gst-launch-1.0 (CSI cameras)")]
    needed = config.source.spec.startswith("csi:")
    return [
        Finding(
            "gstreamer",
            Verdict.FAIL if needed else Verdict.WARN,
            "gst-launch-1.0 is missing: no CSI cameras",
            "sudo apt-get install gstreamer1.0-tools",
        )
    ]


def _socket(config: Config) -> List[Finding]:
    path = config.socket.path
    folder = os.path.dirname(os.path.abspath(path))
    existing = folder
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    try:  # by trying: access bits say nothing of read-only and special file systems
        os.rmdir(tempfile.mkdtemp(prefix=".hrd-doctor-", dir=existing))
    except OSError:
        pass
    else:
        return [Finding("socket", Verdict.OK, f"{path} can be made")]
    if os.path.exists(path) and os.access(path, os.W_OK):
        return [Finding("socket", Verdict.OK, f"{path} can be read")]
    return [
        Finding(
            "socket",
            Verdict.FAIL,
            f"you may not write in {existing}, where the socket {path} would be",
            "run hrd as a service or as root, or use --socket /tmp/hrd.sock",
        )
    ]


def _daemon(config: Config) -> List[Finding]:
    if not os.path.exists(config.socket.path):
        return [Finding("daemon", Verdict.OK, "none running (start it with: hrd run)")]
    try:
        with Client(config.socket.path, timeout_s=3.0) as client:
            status = client.status()
    except ClientError as error:
        verdict = Verdict.WARN if error.__cause__ is None or not _is_stale(error) else Verdict.OK
        return [Finding("daemon", verdict, str(error))]
    state = status.get("state", "starting")
    return [Finding("daemon", Verdict.OK, f"running on {config.socket.path}, {state}")]


def _is_stale(error: BaseException) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED


def _disk(config: Config) -> List[Finding]:
    free_mb = shutil.disk_usage("/").free // 1_000_000
    if free_mb < 200:
        return [
            Finding(
                "disk",
                Verdict.WARN,
                f"{free_mb} MB free",
                "make room: journalctl --vacuum-size=50M",
            )
        ]
    return [Finding("disk", Verdict.OK, f"{free_mb // 1000} GB free")]
