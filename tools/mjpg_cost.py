"""What decoding a camera's MJPG costs: ms per 640x480 picture, one thread, as hrd decodes it.

usage: python tools/mjpg_cost.py [PICTURES]
"""

from __future__ import annotations

import statistics
import sys
import time

import cv2
import numpy as np


def main(count: int = 200) -> None:
    """Print size, median and 95th percentile for three qualities of JPEG."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    # smooth with a camera's noise: flat decodes too fast, white noise too slowly
    smooth = cv2.GaussianBlur(rng.uniform(0, 255, (480, 640, 3)), (0, 0), 12)
    smooth = (smooth - smooth.min()) * (255 / (smooth.max() - smooth.min()))
    frame = np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
    for quality in (60, 80, 95):
        data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        took = []
        for _ in range(count):
            begin = time.process_time()
            cv2.imdecode(data, cv2.IMREAD_COLOR)
            took.append(1000 * (time.process_time() - begin))
        took.sort()
        print(
            f"quality {quality}: {data.size // 1024} KiB, p50 {statistics.median(took):.2f} ms, "
            f"p95 {took[int(0.95 * count)]:.2f} ms of processor time"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
