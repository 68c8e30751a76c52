from __future__ import annotations

import contextlib
from typing import List

import pytest

from hrd.capture.address import is_mistyped_address, printable, shown_address, split_address
from hrd.cli.main import main
from hrd.config import Config, override
from hrd.doctor.camera import cameras

SECRET = "Geheim7"

FORMS = [
    # user and password before the host, with whatever people have in passwords
    "rtsp://admin:{}@cam/live",
    "rtsp://admin:{}@cam:554/live",
    "rtsp://admin:{}@192.168.1.5/live",
    "rtsp://admin:{}@[fe80::1]:554/live",
    "rtsp://{}@cam/live",
    "rtsp://:{}@cam/live",
    "rtsp://admin:a@{}@cam/live",
    "rtsp://admin:{}@b@cam/live",
    "rtsp://admin:a/{}@cam/live",
    "rtsp://admin:{}/b@cam/live",
    "rtsp://admin:{}?b@cam/live",
    "rtsp://admin:{}#b@cam/live",
    "rtsp://admin:[{}@cam/live",
    "rtsp://admin:{}]@cam/live",
    "rtsp://admin:{}:b@cam/live",
    "rtsp://admin: {}@cam/live",
    "rtsp://admin:{} @cam/live",
    "rtsp://admin:12/{}@cam/live",
    "rtsp://admin:a@b/{}@cam/live",
    "rtsp://me@mail.example:{}@cam/live",
    "rtsp://admin:%7B{}%7D@cam/live",
    "rtsp://admin:{}%@cam/live",
    "rtsp://admin:\\{}@cam/live",
    "rtsp://admin:{}\\b@cam/live",
    'rtsp://admin:"{}"@cam/live',
    "rtsp://admin:{}é@cam/live",
    "rtsp://admin:{}&b=c@cam/live",
    "RTSP://admin:{}@cam/live",
    "  rtsp://admin:{}@cam/live  ",
    "rtsps://admin:{}@cam/live",
    "http://admin:{}@cam/video.mjpg",
    "https://admin:{}@cam/video.mjpg",
    "rtmp://admin:{}@cam/live",
    # in the query
    "rtsp://cam/live?user=admin&password={}",
    "rtsp://cam/live?user=admin&pwd={}&channel=1",
    "rtsp://cam/live?loginuse=admin&loginpas={}",
    "rtsp://cam/live?token={}",
    "rtsp://cam/live?{}",
    "rtsp://cam/live?auth=YWRtaW46{}",
    "http://cam/cgi?usr=admin&pwd={}&stream=0",
    "http://cam/cgi?user=admin;password={}",
    "http://cam/snapshot?channel={}",
    "rtsp://192.168.1.5/live?user=admin&password=x@{}",
    "rtsp://192.168.1.5/live?password=a/{}/b",
    "rtsp://cam/live#{}",
    # in the path
    "rtsp://cam/user=admin&password={}&channel=1&stream=0.sdp?",
    "rtsp://cam/user=admin_password={}_channel=1_stream=0.sdp",
    "rtsp://cam/0/admin:{}/main",
    "rtsp://cam/password/{}/live",
    "http://cam/live/joe/{}/12.ts",
    "http://cam/token/{}",
    # slips of the pen
    "rtsp:/admin:{}@cam/live",
    "rtsp:admin:{}@cam/live",
    "rtsp;//admin:{}@cam/live",
    "admin:{}@cam/live",
    "admin:{}@192.168.1.5:554/live",
    "rtsp:\\\\admin:{}@cam/live",
    "ttsp://admin:{}@cam/live",
    "rtsp://admin:{}",
    "rtsp://admin:{}@",
]


def test_there_are_fifty_forms() -> None:
    assert len(set(FORMS)) >= 50


@pytest.mark.parametrize("form", FORMS)
def test_a_password_is_shown_in_no_form_of_address(form: str) -> None:
    shown = shown_address(form.format(SECRET))
    assert SECRET not in shown
    assert SECRET.lower() not in shown.lower()
    assert "\n" not in shown


@pytest.mark.parametrize("form", FORMS)
def test_nor_in_what_opening_it_says(form: str) -> None:
    from hrd.capture.open import open_source
    from hrd.capture.options import CaptureOptions
    from hrd.capture.source import SourceError

    spec = form.format(SECRET).replace("cam", "127.0.0.1:9").replace("192.168.1.5", "127.0.0.1:9")
    with pytest.raises(SourceError) as caught:
        open_source(spec, CaptureOptions(open_timeout_s=0.5, read_timeout_s=0.5))
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flags", [[], ["--bare"]])
@pytest.mark.parametrize("form", FORMS)
def test_nor_in_the_configuration_unless_asked_for(
    form: str, flags: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["config", *flags, f"--source={form.format(SECRET)}"]
    assert main(argv) == 0
    said = "".join(capsys.readouterr())
    assert SECRET not in said
    assert "--show-secrets" in said
    assert main([*argv, "--show-secrets"]) == 0
    assert SECRET in capsys.readouterr().out


@pytest.mark.parametrize("form", FORMS)
def test_nor_by_the_doctor(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hrd.doctor.camera.video_devices", list)
    config = override(Config(), {"source.spec": form.format(SECRET)})
    (finding,) = cameras(config)
    assert finding.text.startswith("no /dev/video*; the source is ")
    assert SECRET not in finding.text


MISPLACED = [
    ["run", "{}"],
    ["watch", "{}"],
    ["{}"],
    ["help", "{}"],
    ["run", "--engine={}"],
    ["run", "--engine", "{}"],
    ["run", "--config", "{}"],
    ["config", "--model", "{}", "--config", "{}"],
    ["measure", "--fps", "{}", "x.mp4"],
    ["web", "--listen", "{}"],
]


@pytest.mark.parametrize("words", MISPLACED)
def test_nor_where_an_address_has_been_put_in_the_wrong_place(
    words: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [word.format(f"rtsp://admin:{SECRET}@cam/live") for word in words]
    with contextlib.suppress(SystemExit):  # argparse's complaint
        main(argv)
    said = capsys.readouterr().err
    assert said
    assert SECRET not in said


def test_a_name_that_is_no_address_is_configured_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["config", "--bare", "--source", "a\x01b.mp4"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith('[source]\nspec = "a\\u0001b.mp4"\n')
    assert said.err == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p@cam/1", "rtsp://cam/1"),
        ("rtsp://cam:8554/live", "rtsp://cam:8554/live"),
        (
            "rtsp://a:b@cam/cam/realmonitor?channel=1&subtype=0",
            "rtsp://cam/cam/realmonitor?channel=1&subtype=0",
        ),
        ("rtsp://cam/Streaming/Channels/101", "rtsp://cam/Streaming/Channels/101"),
        ("rtsp://cam/h264Preview_01_main", "rtsp://cam/h264Preview_01_main"),
        ("http://cam/video.mjpg?resolution=640x480", "http://cam/video.mjpg?resolution=640x480"),
        ("rtsp://[fe80::1]:554/live", "rtsp://[fe80::1]:554/live"),
        ("/home/me/clip@2x.mp4", "/home/me/clip@2x.mp4"),
        ("10:30.mp4", "10:30.mp4"),
        ("/dev/video0", "/dev/video0"),
        ("csi://0", "csi://0"),
        ("sim:bpm=72", "sim:bpm=72"),
        ("h\udce9.mp4", "h\\xe9.mp4"),
    ],
)
def test_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    assert shown_address(url) == shown


@pytest.mark.parametrize(
    ("url", "user", "password", "host"),
    [
        ("rtsp://admin:p@ssw@cam:554/1", "admin", "p%40ssw", "cam:554"),
        ("rtsp://admin:p[s/s?w#x@cam/1", "admin", "p%5Bs%2Fs%3Fw%23x", "cam"),
        ("rtsp://admin:p%40ssw@cam/1", "admin", "p%40ssw", "cam"),
        ("rtsp://admin:a b@cam/1", "admin", "a%20b", "cam"),
    ],
)
def test_ffmpeg_gets_user_and_password_escaped(
    url: str, user: str, password: str, host: str
) -> None:
    address = split_address(url)
    assert address is not None
    assert address.for_ffmpeg() == f"rtsp://{user}:{password}@{host}/1"


def test_host_and_port() -> None:
    address = split_address("rtsp://a:b@[fe80::1]:8554/x")
    assert address is not None
    assert (address.host_name, address.port) == ("fe80::1", 8554)
    plain = split_address("http://cam/x")
    assert plain is not None
    assert (plain.host_name, plain.port, plain.credentials) == ("cam", None, None)
    assert split_address("a/b.mp4") is None


def test_file_names_are_no_mistyped_addresses() -> None:
    for name in ("10:30.mp4", "clip@2x.mp4", "/a:b@c/d.mp4", "./me:you@home.mp4"):
        assert not is_mistyped_address(name)


def test_printable_escapes_what_a_terminal_must_not_get() -> None:
    assert printable("a\x1b[2J\nb") == "a\\x1b[2J\\x0ab"
    assert printable("gr\u00fcn.mp4") == "gr\u00fcn.mp4"
