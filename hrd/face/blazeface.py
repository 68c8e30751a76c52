"""BlazeFace, short range (Bazarevsky et al. 2019), run by ONNX Runtime: models/face.onnx.

The network looks at 128x128 pixels and rates 896 anchors; what it rates high is decoded, and
what overlaps is merged, weighted by score, as MediaPipe does (tools/blazeface_to_onnx.py made the
file; tests hold the boxes to MediaPipe's).
"""

from __future__ import annotations

from typing import Iterator, List, Tuple

import numpy as np

from hrd.face.detect import DetectorError, FaceDetector
from hrd.paths import models_dir
from hrd.picture import Region, average
from hrd.types import FaceBox, Frame

SIDE_PX = 128
_MERGE_IOU = 0.3
_MAX_LOGIT = 100.0

BIAS_PX = 0.4
"""How far MediaPipe's boxes lie to the right and down, in pixels of the 128: it samples a picture
of 640 at every fifth pixel's corner. Kept: it is where the crops have always been."""


class BlazeFaceDetector(FaceDetector):
    """Faces of one to two metres before a camera. Raises ``DetectorError`` where ONNX Runtime or
    the network is missing. One thread; 1 ms a picture on an x86 core."""

    name = "blazeface"
    input_px = SIDE_PX

    def __init__(self, min_score: float = 0.5) -> None:
        self._min_logit = float(np.log(min_score / (1.0 - min_score)))
        try:
            import onnxruntime
        except ImportError as error:
            raise DetectorError(
                f"finding faces needs ONNX Runtime ({error}): pip install onnxruntime "
                "(on a Jetson, NVIDIA's onnxruntime-gpu does as well)."
            ) from error
        path = models_dir() / "face.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # twice a second at most: 3 MB are not worth keeping
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises types of its own, unrelated to each other
            raise DetectorError(
                f"the face network {path} cannot be read ({str(error).splitlines()[0]}): "
                "install hrd again."
            ) from error
        self._anchors = _anchors()

    def detect(self, image: np.ndarray) -> List[FaceBox]:
        height, width = image.shape[:2]
        scale = max(height, width) / SIDE_PX
        small_w, small_h = (max(1, int(round(side / scale))) for side in (width, height))
        if (small_w, small_h) != (width, height):
            frame = Frame(image, 0.0, 0)
            image = average(frame, Region(0.0, 0.0, width, height), small_w, small_h)
        left, top = (SIDE_PX - small_w) // 2, (SIDE_PX - small_h) // 2
        tensor = np.full((1, 3, SIDE_PX, SIDE_PX), -1.0, np.float32)
        inside = tensor[0, :, top : top + small_h, left : left + small_w]
        np.multiply(image.transpose(2, 0, 1), np.float32(2.0 / 255.0), out=inside)
        inside -= np.float32(1.0)
        boxes, scores = self._session.run(["boxes", "scores"], {"image": tensor})
        logits = scores[0, :, 0]
        self.best_score = float(
            1.0 / (1.0 + np.exp(-np.clip(logits.max(), -_MAX_LOGIT, _MAX_LOGIT)))
        )
        kept = np.flatnonzero(logits >= self._min_logit)
        center = boxes[0, kept, :2] + self._anchors[kept]
        half = boxes[0, kept, 2:4] / 2.0
        corners = np.hstack([center - half, center + half]).astype(np.float64)
        corners += BIAS_PX - np.array([left, top, left, top])
        rated = 1.0 / (1.0 + np.exp(-np.clip(logits[kept], -_MAX_LOGIT, _MAX_LOGIT)))
        return [
            FaceBox(
                x_px=float(x0 * scale),
                y_px=float(y0 * scale),
                w_px=float((x1 - x0) * scale),
                h_px=float((y1 - y0) * scale),
                score=score,
            )
            for (x0, y0, x1, y1), score in merge(corners, rated)
        ]


def _anchors() -> np.ndarray:
    """(896, 2) float32: centres of the anchors in pixels of the 128, in the network's order:
    two to each of 16x16 places, then six to each of 8x8."""
    layers = []
    for places, repeats in ((16, 2), (8, 6)):
        axis = (np.arange(places, dtype=np.float32) + 0.5) * (SIDE_PX / places)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        layers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(layers)


def merge(corners: np.ndarray, scores: np.ndarray) -> Iterator[Tuple[np.ndarray, float]]:
    """Each face once, best first: the mean, weighted by score, of the boxes that overlap the
    best of them. ``corners``: (N, 4) left, top, right, bottom."""
    order = np.argsort(-scores, kind="stable")
    while len(order):
        boxes = corners[order]
        overlaps = _iou(boxes[0], boxes) > _MERGE_IOU
        overlaps[0] = True
        weights = scores[order][overlaps]
        yield weights @ boxes[overlaps] / weights.sum(), float(weights[0])
        order = order[~overlaps]


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) intersection over union of ``box`` (4,) with each of ``others`` (N, 4)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    areas = np.prod(np.maximum(others[:, 2:] - others[:, :2], 0.0), axis=1)
    return shared / np.maximum(areas + float(np.prod(box[2:] - box[:2])) - shared, 1e-9)
