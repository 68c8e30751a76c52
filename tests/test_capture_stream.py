from __future__ import annotations

import http.server
import threading
import time

import cv2
import numpy as np
import pytest

from hrd.capture.options import CaptureOptions
from hrd.capture.source import SourceError
from hrd.capture.stream import StreamSource
from hrd.picture import to_rgb
from tests.rtp_jpeg import rtp_jpeg_frames
from tests.rtsp_server import SDP, SDP_H265, SDP_JPEG, RtspServer, rtp_frames
from tests.video_making import level_of, make_sound, make_video, picture

OPTIONS = CaptureOptions(open_timeout_s=10.0, read_timeout_s=5.0)
FPS = 60
IMPATIENT = CaptureOptions(open_timeout_s=0.5, read_timeout_s=0.5)


@pytest.fixture(scope="module")
def frames():
    """RTP at 60 frames per second, the picture growing lighter by one grey level a frame."""
    return rtp_frames([20 + i for i in range(180)], FPS)


def in_bursts(frames, then=None):
    """Three frames at a time: their arrival tells little of their capture."""

    def play(send, gone):
        for index, frame in enumerate(frames):
            send(frame)
            if index % 3 == 2 and gone.wait(3 / FPS):
                return
        if then is not None:
            then(gone)

    return play


def test_rtsp_frames_have_the_times_of_their_pts(frames):
    play = in_bursts(frames, lambda gone: gone.wait(30))
    with RtspServer(play) as server, StreamSource(server.url, OPTIONS) as source:
        assert (source.info.kind, source.live) == ("stream", True)
        assert (source.info.width_px, source.info.height_px) == (96, 64)
        got = [source.read() for _ in range(40)]
        now_s = time.monotonic()
    assert "RTP/AVP/TCP" in server.transport
    levels = np.array([level_of(to_rgb(f)) for f in got])
    times_s = np.array([f.time_s for f in got])
    assert (np.diff(times_s) > 0).all()
    assert times_s[-1] <= now_s
    assert np.median(np.diff(times_s)) == pytest.approx(1 / FPS, abs=1e-3)
    # each picture bears its number: what is 60 numbers later was taken a second later
    rate = np.polyfit(times_s - times_s[0], levels, 1)[0]
    assert rate == pytest.approx(FPS, rel=0.1)
    assert [f.index for f in got] == list(range(40))


@pytest.mark.parametrize(
    ("codec", "sdp", "options"),
    [
        ("libx264", SDP, {"bf": "2", "b-pyramid": "none", "g": "15", "preset": "veryfast"}),
        ("libx265", SDP_H265, None),
        (
            "libx265",
            SDP_H265,
            {"preset": "veryfast", "x265-params": "log-level=none:repeat-headers=1:bframes=3"},
        ),
    ],
)
def test_other_codecs_and_b_frames_come_in_the_order_of_display(codec, sdp, options):
    levels = [20 + 2 * (i % 100) for i in range(300)]
    frames = rtp_frames(levels, 30, codec, options)

    def play(send, gone):
        for frame in frames:
            send(frame)
            if gone.wait(1 / 30):
                return

    with RtspServer(play, sdp=sdp) as server, StreamSource(server.url, OPTIONS) as source:
        got = [source.read() for _ in range(40)]
    steps_s = np.diff([f.time_s for f in got])
    assert steps_s == pytest.approx([1 / 30] * 39, abs=2e-3)
    rises = np.diff([level_of(to_rgb(f)) for f in got])
    assert rises.min() > -1.0 or rises.min() < -150.0  # or it began anew
    assert np.median(rises) == pytest.approx(2.0, abs=0.75)


@pytest.mark.parametrize("transport", ["TCP", "UDP"])
def test_motion_jpeg_over_rtsp(transport):
    images = [np.full((64, 96, 3), 20 + 2 * (i % 100), np.uint8) for i in range(150)]
    frames = rtp_jpeg_frames(images, FPS)
    play = in_bursts(frames, lambda gone: gone.wait(30))
    camera = RtspServer(play, sdp=SDP_JPEG, transport=transport)
    with camera as server, StreamSource(server.url, OPTIONS) as source:
        assert (source.info.width_px, source.info.height_px) == (96, 64)
        assert source.info.pixel_format == "jpeg"
        got = [source.read() for _ in range(60)]
    levels = np.array([float(to_rgb(f).mean()) for f in got])
    times_s = np.array([f.time_s for f in got])
    assert np.median(np.diff(times_s)) == pytest.approx(1 / FPS, abs=1e-3)
    steps = np.diff(levels) % 200
    assert np.median(steps) == pytest.approx(2, abs=0.5)


def test_motion_jpeg_with_a_piece_lost_is_left_out():
    noise = np.random.default_rng(2).integers(0, 255, (150, 128, 160, 3), np.uint8)
    frames = rtp_jpeg_frames([90 + one // 3 for one in noise], FPS)
    assert min(len(frame) for frame in frames) > 2
    for frame in frames[40::10]:
        del frame[1]
    play = in_bursts(frames, lambda gone: gone.wait(30))
    with RtspServer(play, sdp=SDP_JPEG) as server, StreamSource(server.url, OPTIONS) as source:
        got = [source.read() for _ in range(80)]
    assert min(float(to_rgb(f).std()) for f in got) > 5.0
    means = [float(to_rgb(f).mean()) for f in got]
    assert means == pytest.approx([np.median(means)] * len(means), abs=2.0)
    gaps = np.diff([f.time_s for f in got])
    assert 4 <= (gaps > 1.5 / FPS).sum() <= 9  # of up to 89 frames, from the 40th on


def test_a_camera_that_offers_udp_only(frames):
    play = in_bursts(frames, lambda gone: gone.wait(30))
    with RtspServer(play, transport="UDP") as server, StreamSource(server.url, OPTIONS) as source:
        got = [source.read() for _ in range(20)]
        assert "client_port" in server.transport
    assert (np.diff([f.time_s for f in got]) > 0).all()


def test_a_clock_of_another_pace_is_replaced_by_arrival_and_cuts_the_stream():
    # 20 a second with the stamps of 30: what 84 beats a minute would make 126 of
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 60, (220, 120, 160, 3), np.uint8)
    strength = rng.integers(1, 8, 220)  # so that some frames are larger than others, as they are
    frames = rtp_frames([(90 + noise[i] // strength[i]).astype(np.uint8) for i in range(220)], 30)

    def play(send, gone):
        for frame in frames:
            send(frame)
            if gone.wait(1 / 20):
                return

    with RtspServer(play) as server, StreamSource(server.url, OPTIONS) as source:
        got = [source.read()]
        while not got[-1].unreliable_time:
            got.append(source.read())
        noticed_s = got[-1].time_s - got[0].time_s
        while got[-1].unreliable_time:
            got.append(source.read())
        after = [source.read() for _ in range(20)]
        late_s = time.monotonic() - after[-1].time_s
    assert noticed_s < 6.0
    assert [frame.cut for frame in got] == [False] * (len(got) - 1) + [True]
    assert not any(frame.unreliable_time or frame.cut for frame in after)
    assert np.diff([f.time_s for f in after]).mean() == pytest.approx(1 / 20, rel=0.1)
    assert late_s < 0.3


def test_pictures_that_cannot_be_decoded_are_a_failure(frames):
    broken = [[p[:14] + bytes(len(p) - 14) for p in frame] for frame in frames]
    play = in_bursts(frames[:3] + broken * 5, lambda gone: gone.wait(30))
    options = CaptureOptions(open_timeout_s=1.0, read_timeout_s=1.0)
    said = "cannot be decoded|sent nothing|as a camera does"
    with RtspServer(play) as server, pytest.raises(SourceError, match=said):
        list(StreamSource(server.url, options))


def test_a_server_that_hangs_up_is_a_failure(frames):
    with RtspServer(in_bursts(frames[:90])) as server:
        source = StreamSource(server.url, OPTIONS)
        with pytest.raises(SourceError, match=r"(ended|was lost).*: check the camera"):
            for _ in source:
                pass
    source.close()
    source.close()
    with pytest.raises(SourceError, match="is closed"):
        source.read()


def test_a_server_that_falls_silent_is_a_failure(frames):
    play = in_bursts(frames[:90], lambda gone: gone.wait(30))
    options = CaptureOptions(read_timeout_s=0.5)
    with RtspServer(play) as server:
        source = StreamSource(server.url, options)
        with pytest.raises(SourceError, match=r"sent nothing for 0\.5 s"):
            for _ in source:
                pass
        source.close()


def test_a_server_that_never_answers_is_a_failure():
    silent = RtspServer(answers=False)
    with silent, pytest.raises(SourceError, match=r"did not answer within 0\.5 s"):
        StreamSource(silent.url, IMPATIENT)


def test_a_server_that_plays_nothing_is_a_failure():
    idle = RtspServer(lambda send, gone: gone.wait(30))
    with idle, pytest.raises(SourceError, match=r"0\.5 s: check"):
        StreamSource(idle.url, IMPATIENT)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("401 Unauthorized", "another user or password"),
        ("403 Forbidden", "forbids this"),
        ("404 Not Found", "no such stream"),
        ("500 Internal Server Error", "cannot be opened"),
    ],
)
def test_refusals_are_told_apart_and_keep_the_password(status, said):
    with RtspServer(status=status) as server:
        url = server.url.replace("rtsp://", "rtsp://admin:secret@")
        with pytest.raises(SourceError, match=said) as caught:
            StreamSource(url, OPTIONS)
    message = str(caught.value)
    assert "secret" not in message
    assert server.url in message
    assert "\n" not in message
    assert message.endswith(".")


def test_nobody_there():
    with RtspServer() as server:
        pass
    with pytest.raises(SourceError, match="refuses connections on port"):
        StreamSource(server.url, OPTIONS)


def test_an_unknown_host():
    with pytest.raises(SourceError, match=r"no host nosuchcamera\.invalid is known"):
        StreamSource("rtsp://u:geheim@nosuchcamera.invalid/live", OPTIONS)


def test_a_server_of_another_kind(web):
    with pytest.raises(SourceError, match="not as a camera does"):
        StreamSource(web.replace("http://", "rtsp://"), OPTIONS)


# HTTP


class Handler(http.server.BaseHTTPRequestHandler):
    """/mjpeg: a webcam of the old kind; anything else: a file of the server's folder."""

    def do_GET(self) -> None:  # noqa: N802
        if self.path.startswith("/mjpeg"):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                self.send_pictures()
            except (BrokenPipeError, ConnectionResetError):
                pass
            return
        path = self.server.folder / self.path[1:]  # type: ignore[attr-defined]
        if not path.exists():
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send_pictures(self) -> None:
        kind = self.path.partition("?")[2]
        for index in range(50):
            bgr = cv2.cvtColor(picture(level=20 + 4 * index), cv2.COLOR_RGB2BGR)
            jpeg = cv2.imencode(".jpg", bgr)[1].tobytes()
            mark = b"frame" if kind == "nodash" else b"--frame"
            length = b"" if kind == "nolength" else b"Content-Length: %d\r\n" % len(jpeg)
            head = b"Content-Type: image/jpeg\r\n" + length + b"\r\n"
            part = mark + b"\r\n" + head + jpeg + b"\r\n"
            if kind == "after" or (kind == "first" and index == 0):
                part = head + jpeg + b"\r\n" + (mark + b"\r\n" if kind == "after" else b"")
            self.wfile.write(part)
            if self.server.gone.wait(0.1):  # type: ignore[attr-defined]
                return

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder, server.gone = tmp_path, threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.gone.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("kind", ["first", "after", "nodash", "nolength"])
def test_multipart_as_small_cameras_send_it(web, kind):
    # ESP32 and Tasmota: no boundary before the first part, or after each instead of before
    with StreamSource(f"{web}/mjpeg?{kind}", OPTIONS) as source:
        got = [source.read() for _ in range(8)]
    levels = np.array([level_of(to_rgb(f)) for f in got])
    times_s = np.array([f.time_s for f in got])
    assert np.polyfit(times_s - times_s[0], levels, 1)[0] == pytest.approx(40.0, rel=0.25)


def test_a_single_picture_is_no_stream(web, tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), picture())
    with pytest.raises(SourceError, match="sends a single picture"):
        StreamSource(f"{web}/a.jpg", OPTIONS)


def test_http_mjpeg_is_stamped_at_arrival(web):
    # 10 pictures a second, which FFmpeg would number as if they were 25
    with StreamSource(f"{web}/mjpeg", OPTIONS) as source:
        got = [source.read() for _ in range(8)]
    levels = np.array([level_of(to_rgb(f)) for f in got])
    times_s = np.array([f.time_s for f in got])
    assert (np.diff(times_s) > 0).all()
    rate = np.polyfit(times_s - times_s[0], levels, 1)[0]
    assert rate == pytest.approx(40.0, rel=0.25)


def test_a_recording_behind_an_address_is_not_live(web, tmp_path):
    make_video(tmp_path / "a.mp4", list(range(0, 2000, 40)), options={"movflags": "faststart"})
    with pytest.raises(SourceError, match="is a recording"):
        StreamSource(f"{web}/a.mp4", OPTIONS)


def test_sound_behind_an_address_is_no_picture(web, tmp_path):
    make_sound(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match="carries no picture"):
        StreamSource(f"{web}/a.mp4", OPTIONS)


def test_no_such_page(web):
    with pytest.raises(SourceError, match="no such stream"):
        StreamSource(f"{web}/b.mp4", OPTIONS)
