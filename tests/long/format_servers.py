"""Network cameras that send what is not Motion JPEG, on this machine only."""

from __future__ import annotations

import http.server
import io
import socket
import socketserver
import struct
import threading
import time
from fractions import Fraction
from typing import Any, Callable, List

import av
import numpy as np

from tests.long.camera_server import FPS
from tests.rtsp_server import RtspServer


class YuyvCamera:
    """Raw YUYV in Matroska over HTTP, without end, to whoever connects."""

    def __init__(self, images: List[np.ndarray]) -> None:
        frames = [as_yuyv(image) for image in images]
        self._gone = threading.Event()
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/x-matroska")
                self.end_headers()
                try:
                    camera._send(self.wfile, frames)
                except (OSError, av.error.FFmpegError):
                    pass  # the reader has gone

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/live.mkv"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def unplug(self) -> None:
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()

    def _send(self, out: Any, frames: List[av.VideoFrame]) -> None:
        pipe = _Pipe(out)
        with av.open(
            pipe, "w", format="matroska", options={"live": "1", "cluster_time_limit": "30"}
        ) as container:
            stream = container.add_stream("rawvideo", rate=int(FPS))
            stream.width, stream.height = frames[0].width, frames[0].height
            stream.pix_fmt = "yuyv422"
            paced(
                self._gone,
                lambda index: _mux(container, stream, frames[index % len(frames)], index),
            )


class RtspCamera:
    """H.264 over RTSP, without end, to one reader."""

    def __init__(self, images: List[np.ndarray]) -> None:
        self._packets = rtp_packets(images)
        self._server = RtspServer(self._play)
        self._server.__enter__()
        self.url = self._server.url

    def unplug(self) -> None:
        self._server.__exit__(None, None, None)

    def _play(self, send: Callable[[List[bytes]], None], gone: threading.Event) -> None:
        sequence = 0

        def send_one(index: int) -> None:
            nonlocal sequence
            stamped = []
            for packet in self._packets[index % len(self._packets)]:
                sequence = (sequence + 1) % 65536
                ticks = (index * 3000) % 2**32
                stamped.append(packet[:2] + struct.pack(">HI", sequence, ticks) + packet[8:])
            send(stamped)

        paced(gone, send_one)


def paced(gone: threading.Event, send: Callable[[int], object]) -> None:
    """Call ``send`` with 0, 1, ... at FPS."""
    began_s = time.monotonic()
    index = 0
    while not gone.wait(max(0.0, began_s + index / FPS - time.monotonic())):
        send(index)
        index += 1


def as_yuyv(image: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuyv422")


def rtp_packets(images: List[np.ndarray], bit_rate: int = 2_000_000) -> List[List[bytes]]:
    """The RTP packets (RFC 6184) of each picture, a closed loop: the first is a key frame."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(1.0)
        url = f"rtp://127.0.0.1:{receiver.getsockname()[1]}"
        frames: List[List[bytes]] = []
        with av.open(url, "w", format="rtp") as container:
            settings = {"tune": "zerolatency", "preset": "fast", "g": "60"}
            stream = container.add_stream("libx264", rate=int(FPS), options=settings)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt, stream.bit_rate = "yuv420p", bit_rate
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, int(FPS))
                packets: List[bytes] = []
                for packet in stream.encode(frame):
                    container.mux(packet)
                while not packets or not packets[-1][1] & 0x80:  # the marker ends a frame
                    packets.append(receiver.recv(65536))
                frames.append(packets)
    return frames


class _Pipe(io.RawIOBase):
    """A response's body as a file to write to, that cannot be sought in."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._out.write(bytes(data))
        self._out.flush()
        return len(data)


def _mux(container: Any, stream: Any, frame: av.VideoFrame, index: int) -> None:
    frame.pts, frame.time_base = index, Fraction(1, int(FPS))
    container.mux(stream.encode(frame))
