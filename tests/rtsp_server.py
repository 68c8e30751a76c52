"""A camera server in a thread: enough of RTSP 1.0 (RFC 2326) to feed one reader over TCP."""

from __future__ import annotations

import re
import socket
import struct
import threading
from fractions import Fraction
from typing import Callable, List, Optional, Sequence, Tuple, Union

import av
import numpy as np

from tests.video_making import picture

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
    "a=control:track0\r\n"
)


SDP_H265 = SDP.replace("H264", "H265").replace("a=fmtp:96 packetization-mode=1\r\n", "")
SDP_JPEG = SDP.replace("RTP/AVP 96", "RTP/AVP 26").replace(
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n", ""
)

_X265 = "log-level=none:repeat-headers=1:keyint=15"
_ENCODER_OPTIONS = {
    "libx264": {"tune": "zerolatency", "g": "5", "forced-idr": "1"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": _X265},
    "mjpeg": {"huffman": "default"},  # RTP carries no tables
}


def rtp_frames(
    levels: Sequence[Union[int, np.ndarray]],
    fps: int = 30,
    codec: str = "libx264",
    options: Optional[dict] = None,
) -> List[List[bytes]]:
    """The RTP packets of each frame in the order of coding, as FFmpeg's own muxer makes them
    (RFC 6184, 7798 and 2435). ``levels``: of the test picture, or (H, W, 3) uint8 RGB pictures."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.05)
        url = f"rtp://127.0.0.1:{receiver.getsockname()[1]}"
        frames: List[List[bytes]] = []
        with av.open(url, "w", format="rtp") as container:
            chosen = _ENCODER_OPTIONS[codec] if options is None else options
            stream = container.add_stream(codec, rate=fps, options=chosen)
            images = [picture(level=one) if isinstance(one, int) else one for one in levels]
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for index in range(len(images) + 1):
                if index < len(images):
                    frame = av.VideoFrame.from_ndarray(images[index], format="rgb24")
                    frame.pts, frame.time_base = index, Fraction(1, fps)
                    coded = stream.encode(frame)
                else:
                    coded = stream.encode(None)
                for packet in coded:
                    container.mux(packet)
                    packets: List[bytes] = []
                    # the marker ends a frame; reports of the sender's clock (RTCP) are left out
                    while not packets or not packets[-1][1] & 0x80:
                        received = receiver.recv(65536)
                        if not 72 <= received[1] & 0x7F <= 76:
                            packets.append(received)
                    frames.append(packets)
    return frames


class RtspServer:
    """Serves ``play`` to the first reader; ``status`` other than 200 answers DESCRIBE with it.
    ``transport``: ``TCP`` or ``UDP``, the only one that it takes.

    ``play(send, gone)`` runs after PLAY: ``send(frame)`` sends one frame's packets, ``gone`` is
    set when the server is being shut down.
    """

    def __init__(
        self,
        play: Optional[Callable[[Callable[[List[bytes]], None], threading.Event], object]] = None,
        status: str = "200 OK",
        sdp: str = SDP,
        answers: bool = True,
        transport: str = "TCP",
    ) -> None:
        self._play = play
        self._status = status
        self._sdp = sdp
        self._answers = answers
        self._only = transport
        self._udp: Optional[Tuple[socket.socket, Tuple[str, int]]] = None
        self._gone = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.transport = ""
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> RtspServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._gone.set()
        self._thread.join(10)
        self._listener.close()
        if self._udp is not None:
            self._udp[0].close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                break
            except socket.timeout:
                if self._gone.is_set():
                    return
        with connection:
            connection.settimeout(0.1)
            try:
                self._talk(connection)
            except (BrokenPipeError, ConnectionResetError):
                pass

    def _talk(self, connection: socket.socket) -> None:
        text = b""
        while not self._gone.is_set():
            try:
                received = connection.recv(4096)
            except socket.timeout:
                continue
            if not received:
                return
            text += received
            while b"\r\n\r\n" in text:
                request, text = text.split(b"\r\n\r\n", 1)
                if self._answers and self._answer(connection, request.decode()) == "PLAY":
                    if self._play is not None:
                        self._play(lambda frame: self._send(connection, frame), self._gone)
                    return

    def _answer(self, connection: socket.socket, request: str) -> str:
        lines = request.split("\r\n")
        method = lines[0].split(" ")[0]
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        status, body, extra = "200 OK", "", ""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            status = self._status
            if status.startswith("200"):
                body, extra = self._sdp, "Content-Type: application/sdp\r\n"
        elif method == "SETUP":
            asked = headers["Transport"]
            if ("TCP" in asked) != (self._only == "TCP"):
                status = "461 Unsupported Transport"
            else:
                self.transport = asked
                extra = f"Transport: {asked}{self._open_udp(asked)}\r\nSession: 1\r\n"
        elif method == "PLAY":
            extra = "Session: 1\r\n"
        reply = f"RTSP/1.0 {status}\r\nCSeq: {headers['CSeq']}\r\n{extra}"
        if body:
            reply += f"Content-Length: {len(body)}\r\n"
        connection.sendall(f"{reply}\r\n{body}".encode())
        return method

    def _open_udp(self, asked: str) -> str:
        match = re.search(r"client_port=(\d+)", asked)
        if match is None:
            return ""
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind(("127.0.0.1", 0))
        self._udp = sender, ("127.0.0.1", int(match.group(1)))
        port = sender.getsockname()[1]
        return f";server_port={port}-{port + 1};source=127.0.0.1"

    def _send(self, connection: socket.socket, frame: List[bytes]) -> None:
        for packet in frame:
            if self._udp is not None:
                self._udp[0].sendto(packet, self._udp[1])
            else:
                connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
