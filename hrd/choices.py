"""Words that settings and flags share; here, so that a command line can be read without them."""

from __future__ import annotations

DETECTORS = ("auto", "blazeface", "mediapipe", "opencv")
ENGINES = ("auto", "tensorrt", "onnx", "pos")
LEVELS = ("debug", "info", "warning", "error")
