from __future__ import annotations

from unittest.mock import Mock

import pytest

from hrd.capture import csi, stream, v4l2, video
from hrd.capture.open import CaptureOptions, open_source
from hrd.capture.source import SourceError
from tests.video_making import make_video

OPTIONS = CaptureOptions(width_px=320)


@pytest.mark.parametrize(
    ("spec", "module", "name", "arguments"),
    [
        ("/dev/video0", v4l2, "V4l2Source", ("/dev/video0", OPTIONS)),
        ("/dev/video17", v4l2, "V4l2Source", ("/dev/video17", OPTIONS)),
        ("/dev/v4l/by-id/usb-x", v4l2, "V4l2Source", ("/dev/v4l/by-id/usb-x", OPTIONS)),
        ("csi://1?flip=2", csi, "CsiSource", ("csi://1?flip=2", OPTIONS)),
        ("rtsp://cam/1", stream, "StreamSource", ("rtsp://cam/1", OPTIONS)),
        ("RTSP://cam/1", stream, "StreamSource", ("RTSP://cam/1", OPTIONS)),
        ("http://cam/mjpeg", stream, "StreamSource", ("http://cam/mjpeg", OPTIONS)),
        ("face.mp4", video, "VideoFileSource", ("face.mp4", "face.mp4", None, None)),
        ("a/b:c.mkv", video, "VideoFileSource", ("a/b:c.mkv", "a/b:c.mkv", None, None)),
        ("file:///a/b.mp4", video, "VideoFileSource", ("/a/b.mp4", "file:///a/b.mp4", None, None)),
        ("/dev/videos/a.mp4", video, "VideoFileSource", (*("/dev/videos/a.mp4",) * 2, None, None)),
        ("simple.mp4", video, "VideoFileSource", (*("simple.mp4",) * 2, None, None)),
    ],
)
def test_each_spec_opens_its_own_kind(monkeypatch, spec, module, name, arguments):
    opened = Mock(return_value="opened")
    monkeypatch.setattr(module, name, opened)
    assert open_source(spec, OPTIONS) == opened.return_value
    opened.assert_called_once_with(*arguments)


@pytest.mark.parametrize("spec", ["", "ftp://cam/1", "csi://left", "csi://0?flip=9", "webcam://0"])
def test_specs_that_mean_nothing(spec):
    with pytest.raises(SourceError) as caught:
        open_source(spec, OPTIONS)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_file_is_really_opened(tmp_path):
    path = make_video(tmp_path / "a.mp4", [0, 40, 80])
    with open_source(str(path), OPTIONS) as source:
        assert source.info.spec == str(path)
        assert [f.time_s for f in source] == pytest.approx([0.0, 0.04, 0.08])
