"""A network camera that does what it is told: Motion JPEG over HTTP, on this machine only."""

from __future__ import annotations

import http.server
import socketserver
import threading
import time
from typing import Any, List, Optional

import cv2
import numpy as np

from hrd.capture.open import open_source
from hrd.capture.options import CaptureOptions

FPS = 30.0
LOOP_S = 20.0
"""24 beats of 72 bpm: the loop has no seam in the pulse."""


def pictures(spec: str) -> List[np.ndarray]:
    """``LOOP_S`` of a simulated camera, 30 pictures a second."""
    images: List[np.ndarray] = []
    with open_source(spec, CaptureOptions()) as source:
        while len(images) < LOOP_S * FPS:
            frame = source.read()
            assert frame is not None
            images.append(frame.image)
    return images


def jpegs(images: List[np.ndarray], quality: int) -> List[bytes]:
    """The same compressed."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return [
        cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)[1].tobytes()
        for image in images
    ]


def face_pictures(size: str = "320x240", seed: int = 5, quality: int = 97) -> List[bytes]:
    """JPEG pictures of a drawn face with a pulse of 72 bpm, 30 a second."""
    return jpegs(pictures(f"sim:bpm=72,variability=0,seed={seed},size={size}"), quality)


class CameraServer:
    """Sends the pictures, each at its time, to whoever connects.

    ``mode``: ``face``; ``black``; ``frozen`` (the same picture again and again); ``silent`` (the
    connection stays, nothing comes); ``slow`` (5 fps). ``unplug`` and ``plug`` end and begin its
    being there at all.
    """

    def __init__(self, pictures: List[bytes]) -> None:
        self._pictures = pictures
        black = np.zeros((240, 320, 3), np.uint8)
        self._black = cv2.imencode(".jpg", black)[1].tobytes()
        self.mode = "face"
        self._port = 0
        self._server: Optional[socketserver.ThreadingTCPServer] = None
        self._gone = threading.Event()
        self.plug()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    def plug(self) -> None:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
                self.end_headers()
                try:
                    camera._send(self.wfile)
                except OSError:
                    pass  # the reader has gone

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._gone = threading.Event()
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def unplug(self) -> None:
        self._gone.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _send(self, out: Any) -> None:
        gone = self._gone
        began_s = time.monotonic()
        index = 0
        still = self._pictures[0]
        while not gone.wait(max(0.0, began_s + index / FPS - time.monotonic())):
            # a camera whose reader is slow shows less, and not everything later
            index = max(index, int((time.monotonic() - began_s) * FPS))
            mode, now = self.mode, index
            index += 1
            if mode == "silent" or (mode == "slow" and now % 6):
                continue
            if mode == "face" or mode == "slow":
                still = self._pictures[now % len(self._pictures)]
            picture = self._black if mode == "black" else still
            head = (
                f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            )
            out.write(head.encode() + picture + b"\r\n")
            out.flush()
