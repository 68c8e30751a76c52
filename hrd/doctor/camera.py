"""Cameras: who may open them, what they offer."""

from __future__ import annotations

import glob
import grp
import os
import shutil
import subprocess
from typing import List, Tuple

from hrd.capture.address import shown_address
from hrd.capture.devices import TEGRA_DRIVER, check_camera, describe, video_devices
from hrd.capture.source import SourceError
from hrd.config import Config
from hrd.doctor.finding import Finding, Verdict

READABLE = ("YUYV", "MJPG")
"""Formats that hrd asks for."""


def cameras(config: Config) -> List[Finding]:
    """Every /dev/video*: may it be opened, is it a camera, is it free, what formats."""
    nodes = video_devices()
    configured = config.source.spec
    if not nodes:
        if configured not in ("auto", "") and not configured.startswith("/dev/"):
            shown = shown_address(configured)
            return [Finding("camera", Verdict.OK, f"no /dev/video*; the source is {shown}")]
        return [
            Finding(
                "camera",
                Verdict.WARN,
                "no /dev/video*: hrd run would use the simulated camera",
                "plug a USB camera in, or use --source csi://0, rtsp://... or a video file",
            )
        ]
    findings = [_camera(node) for node in nodes]
    usable = any(finding.verdict is Verdict.OK for finding in findings)
    if usable or configured not in ("auto", *nodes):  # one camera is enough
        findings = [
            Finding(f.topic, Verdict.WARN, f.text, f.remedy) if f.verdict is Verdict.FAIL else f
            for f in findings
        ]
    return findings


def _camera(node: str) -> Finding:
    if not os.access(node, os.R_OK | os.W_OK):
        group = _group_of(node)
        return Finding(
            "camera",
            Verdict.FAIL,
            f"{node} may not be opened by you; it belongs to the group {group}",
            f"sudo usermod -aG {group} $USER, then log in again",
        )
    try:
        seen = describe(node)
        if seen.driver == TEGRA_DRIVER:
            text = f"{node}: {seen.card}, a CSI sensor: use --source csi://0"
            return Finding("camera", Verdict.OK, text)
        if not seen.captures:
            return Finding("camera", Verdict.OK, f"{node}: {seen.card}, delivers no pictures")
        check_camera(node)
    except SourceError as error:
        return Finding("camera", Verdict.FAIL, str(error), f"fuser -v {node}")
    except OSError as error:
        remedy = "unplug the camera and plug it in again"
        return Finding("camera", Verdict.FAIL, f"{node}: {error.strerror}", remedy)
    offered = ", ".join(seen.formats) or "no formats named"
    text = f"{node}: {seen.card} ({seen.driver}), {offered}"
    if seen.formats and not set(READABLE) & set(seen.formats):
        remedy = "hrd asks for YUYV or MJPG: another camera, or a converter in front of it"
        return Finding("camera", Verdict.WARN, text, remedy)
    return Finding("camera", Verdict.OK, text)


def _group_of(node: str) -> str:
    gid = os.stat(node).st_gid
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def gstreamer(config: Config) -> List[Finding]:
    """What CSI cameras need."""
    needed = config.source.spec.startswith("csi:")
    bad = Verdict.FAIL if needed else Verdict.WARN
    if not shutil.which("gst-launch-1.0"):
        return [
            Finding(
                "gstreamer",
                bad,
                "gst-launch-1.0 is missing: no CSI cameras",
                "sudo apt-get install gstreamer1.0-tools",
            )
        ]
    findings = [Finding("gstreamer", Verdict.OK, "gst-launch-1.0 (CSI cameras)")]
    if needed:
        findings += [_element(name, remedy) for name, remedy in _CSI_ELEMENTS]
        findings += _argus()
    return findings


_CSI_ELEMENTS: Tuple[Tuple[str, str], ...] = (
    ("nvarguscamerasrc", "sudo apt-get install nvidia-l4t-camera nvidia-l4t-gstreamer"),
    ("nvvidconv", "sudo apt-get install nvidia-l4t-gstreamer"),
    ("gdppay", "sudo apt-get install gstreamer1.0-plugins-bad"),
)


def _element(name: str, remedy: str) -> Finding:
    command = ["gst-inspect-1.0", "--exists", name]
    try:
        there = subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        there = False
    if there:
        return Finding("gstreamer", Verdict.OK, name)
    return Finding("gstreamer", Verdict.FAIL, f"GStreamer has no {name}", remedy)


def _argus() -> List[Finding]:
    if glob.glob("/tmp/argus_socket"):
        return [Finding("gstreamer", Verdict.OK, "nvargus-daemon answers")]
    remedy = "sudo systemctl restart nvargus-daemon"
    return [Finding("gstreamer", Verdict.FAIL, "nvargus-daemon does not run", remedy)]
