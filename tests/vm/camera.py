"""Cameras through the kernel's own drivers (`make test-vm`): one story, in order.

A camera is plugged into an emulated USB port and driven by ``uvcvideo``; ``vivid``, the kernel's
virtual camera, stands for other drivers.
"""

from __future__ import annotations

import json
import time
from typing import Iterator

import pytest

from tests.vm.film import SMALL, Film, face, film
from tests.vm.shelf import Shelf
from tests.vm.usb_camera import UsbCamera
from tests.vm.uvc import AE_MODE, APERTURE_PRIORITY, EXPOSURE, MANUAL, WHITE_AUTO


@pytest.fixture
def camera(shelf: Shelf, mjpg: Film) -> Iterator[UsbCamera]:
    """Plugged in, MJPG, and read: a bpm has been published."""
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]) as plugged:
        shelf.bpm(shelf.guest.now_s())
        yield plugged
    shelf.state("no_camera", shelf.guest.now_s() - 1.0)


def test_no_camera_at_boot(shelf: Shelf) -> None:
    began_s = shelf.guest.now_s()
    shelf.state("no_camera", began_s)
    readings = shelf.listen_for(5.0)
    assert {heard.message["state"] for heard in readings} == {"no_camera"}
    assert "There is no camera" in shelf.shown("StatusText")
    shelf.record("no camera at boot", "the service is enabled, no camera is there", readings)


@pytest.mark.parametrize("which", ["mjpg", "yuyv", "large"])
def test_appears_late(shelf: Shelf, which: str, mjpg: Film, yuyv: Film, large: Film) -> None:
    began_s = shelf.guest.now_s()
    seen = {"mjpg": mjpg, "yuyv": yuyv, "large": large}[which]
    with UsbCamera(shelf.guest.usb_port(0), [seen]) as camera:
        first = shelf.bpm(began_s)
        readings = [*shelf.guest.since(began_s), *shelf.listen_for(15.0)]
        status = shelf.guest.status()
    assert status["camera"]["pixel_format"] == seen.letters
    rates = [heard.message["bpm"] for heard in readings if "bpm" in heard.message]
    sent = f"{camera.sent} pictures sent, {camera.dropped} dropped by the camera"
    sent += f", {status['drops']['frames']} by hrd since its start"
    size = f"{seen.width_px}x{seen.height_px} {seen.letters}"
    done = f"plugged in while hrd runs, {seen.fps:g} fps; {status['fps']:.1f} fps read, {sent}"
    shelf.record(f"{size} through uvcvideo", done, readings, first.at_s - began_s)
    assert max(abs(rate - 72.0) for rate in rates) <= 2.0
    shelf.state("no_camera", first.at_s)


def test_the_log_is_in_sentences(shelf: Shelf) -> None:
    said = shelf.journal("-b")
    for alien in ("Traceback", "VIDEOIO", "[ WARN", "Exception ignored"):
        assert alien not in said
    assert "was unplugged" in said or "no camera" in said


def test_unplugged_and_back_with_another_number(
    shelf: Shelf, camera: UsbCamera, mjpg: Film
) -> None:
    before = shelf.guest.status()["camera"]["source"]
    holder = shelf.guest.start("sh", "-c", f"exec 3<{before}; exec sleep 600")  # keeps its number
    began_s = shelf.guest.now_s()
    camera.unplug()
    lost = shelf.state("no_camera", began_s)
    time.sleep(3.0)
    plugged_s = shelf.guest.now_s()
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]):
        back = shelf.bpm(plugged_s)
        after = shelf.guest.status()["camera"]["source"]
        readings = shelf.guest.since(began_s, back.at_s)
    shelf.guest.call("kill", str(holder))
    assert after != before
    done = f"pulled out (said after {lost.at_s - began_s:.1f} s) and plugged in: {before}, {after}"
    shelf.record("back with another number", done, readings, back.at_s - plugged_s)


def test_by_its_lasting_name(shelf: Shelf, mjpg: Film) -> None:
    with UsbCamera(shelf.guest.usb_port(0), [mjpg]):
        shelf.await_(
            lambda: shelf.guest.call("sh", "-c", "ls /dev/v4l/by-id/*index0").rc == 0,
            "udev names the camera",
        )
        name = shelf.guest.run("sh", "-c", "ls /dev/v4l/by-id/*index0").strip()
        began_s = shelf.guest.now_s()
        shelf.configure(spec=name)
        back = shelf.bpm(began_s + 1.0)
        readings = shelf.guest.since(began_s, back.at_s)
    shelf.record("by /dev/v4l/by-id", "the lasting name in the config, a reload", readings)
    shelf.configure()


@pytest.mark.parametrize(
    ("mode", "seconds", "what"),
    [
        ("silent", 14.0, "the stream stays open, nothing comes for 14 s"),
        ("frozen", 16.0, "the very same picture for 16 s"),
        ("damaged", 10.0, "half of every JPEG is missing for 10 s"),
    ],
    ids=["silent", "frozen", "damaged"],
)
def test_a_camera_that_fails(
    shelf: Shelf, camera: UsbCamera, mode: str, seconds: float, what: str
) -> None:
    began_s = shelf.guest.now_s()
    camera.mode = mode
    during = shelf.listen_for(seconds)
    assert "bpm" not in during[-1].message
    camera.mode = "face"
    mended_s = shelf.guest.now_s()
    back = shelf.bpm(mended_s)
    readings = shelf.guest.since(began_s, back.at_s)
    shelf.record(mode, what, readings, back.at_s - mended_s)


def test_exposure_settles_then_is_locked(shelf: Shelf, camera: UsbCamera) -> None:
    was_set = camera.device.was_set
    manual = was_set.index((AE_MODE, MANUAL))
    assert (AE_MODE, APERTURE_PRIORITY) in was_set[:manual]
    assert (EXPOSURE, 166) in was_set[manual:]
    assert (WHITE_AUTO, 0) in was_set[manual:]
    assert "exposure locked at 166, white balance locked" in shelf.journal("-b", "-n", "60")
    shelf.guest.run("systemctl", "stop", "hrd")
    assert camera.device.values[AE_MODE] == APERTURE_PRIORITY
    assert camera.device.values[WHITE_AUTO] == 1
    looked = shelf.guest.call("hrd", "doctor", "--camera", "--json", timeout_s=240.0)
    findings = {f["topic"]: f for f in json.loads(looked.out.splitlines()[-1])}
    assert "uvcvideo" in findings["camera"]["text"]
    assert findings["exposure"]["text"].startswith("locked")
    assert findings["signal"]["values"].get("bpm", 72.0) == pytest.approx(72.0, abs=3.0)
    began_s = shelf.restart()
    back = shelf.bpm(began_s)
    values = findings["rate"]["values"]
    done = (
        "automatic, 1.5 s later manual at the value it had; free again once hrd ends; "
        f"`hrd doctor --camera`: {values['fps']:.1f} fps, jitter {values['jitter_ms']:.1f} ms"
    )
    shelf.record("exposure and white balance", done, shelf.guest.since(began_s, back.at_s))


def test_busy(shelf: Shelf, camera: UsbCamera) -> None:
    node = shelf.guest.status()["camera"]["source"]
    shelf.guest.run("systemctl", "stop", "hrd")
    hog = shelf.guest.start("v4l2-ctl", "-d", node, "--stream-mmap", "--stream-count=0")
    shelf.await_(lambda: camera.streaming, "the other program reads")
    began_s = shelf.restart()
    shelf.guest.wait(lambda h: True, began_s, "a reading")
    during = shelf.listen_for(8.0)
    assert {heard.message["state"] for heard in during} == {"no_camera"}
    assert "is in use by another program" in shelf.shown("StatusText") + shelf.journal("-n", "20")
    shelf.guest.run("kill", str(hog))
    freed_s = shelf.guest.now_s()
    back = shelf.bpm(freed_s)
    readings = shelf.guest.since(began_s, back.at_s)
    shelf.record("busy", "`v4l2-ctl` streams from it, then ends", readings, back.at_s - freed_s)


def test_no_permission(shelf: Shelf, camera: UsbCamera) -> None:
    node = shelf.guest.status()["camera"]["source"]
    shelf.guest.run("sh", "-c", f"chown root:root {node}; chmod 600 {node}")
    began_s = shelf.restart()
    shelf.guest.wait(lambda h: True, began_s, "a reading")
    during = shelf.listen_for(5.0)
    assert {heard.message["state"] for heard in during} == {"no_camera"}
    assert "may not be opened" in shelf.shown("StatusText") + shelf.journal("-n", "20")
    shelf.guest.run("sh", "-c", f"chown root:video {node}; chmod 660 {node}")
    given_s = shelf.guest.now_s()
    back = shelf.bpm(given_s)
    readings = shelf.guest.since(began_s, back.at_s)
    shelf.record("no permission", "root's alone, then the group's", readings, back.at_s - given_s)


@pytest.mark.parametrize("letters", ["GREY", "NV12"])
def test_wrong_format_only(shelf: Shelf, letters: str) -> None:
    began_s = shelf.guest.now_s()
    with UsbCamera(shelf.guest.usb_port(0), [film(face(SMALL)[:60], letters, every=2)]):
        shelf.guest.wait(lambda h: h.message["state"] != "no_camera", began_s, "it is read", 40.0)
        readings = [*shelf.guest.since(began_s), *shelf.listen_for(12.0)]
        status = shelf.guest.status()
    shelf.state("no_camera", readings[-1].at_s)
    what = f"a camera that offers {letters} alone; read as {status['camera'].get('pixel_format')}"
    shelf.record(f"{letters} only", what, readings)


def test_asked_for_a_format_it_does_not_have(shelf: Shelf, yuyv: Film) -> None:
    began_s = shelf.guest.now_s()
    shelf.configure(pixel_format="MJPG")
    with UsbCamera(shelf.guest.usb_port(0), [yuyv]):
        shelf.await_(
            lambda: "does not deliver MJPG" in shelf.journal("-n", "20"), "hrd says which format"
        )
        mended_s = shelf.guest.now_s()
        shelf.configure()
        back = shelf.bpm(mended_s)
        readings = shelf.guest.since(began_s, back.at_s)
    shelf.state("no_camera", back.at_s)
    done = 'pixel_format = "MJPG" of a camera with YUYV alone, then "auto"'
    shelf.record("wrong format asked for", done, readings, back.at_s - mended_s)


VIVID = "modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x00"


def test_vivid(shelf: Shelf) -> None:
    """Another driver: its test picture has no face, and what it stamps is ahead of now."""
    began_s = shelf.guest.now_s()
    shelf.guest.run("sh", "-c", VIVID)
    shelf.guest.wait(lambda h: h.message["state"] == "no_face", began_s, "it is read")
    readings = shelf.listen_for(10.0)
    status = shelf.guest.status()
    assert status["camera"]["kind"] == "v4l2"
    assert "of no use" not in shelf.journal("-b")
    node = status["camera"]["source"]
    shelf.guest.run("v4l2-ctl", "-d", node, "-c", "disconnect=1")
    cut_s = shelf.guest.now_s()
    lost = shelf.state("no_camera", cut_s)
    readings = shelf.guest.since(began_s, lost.at_s)
    done = (
        f"{status['camera']['pixel_format']}, {status['fps']:.1f} fps, jitter "
        f"{status['jitter_ms']:.1f} ms; its `disconnect` said after {lost.at_s - cut_s:.1f} s"
    )
    shelf.record("vivid", done, readings)
    shelf.await_(
        lambda: shelf.guest.call("modprobe", "-r", "vivid").rc == 0, "vivid is let go of", 60.0
    )


@pytest.mark.parametrize(
    ("width", "height", "fps"), [(320, 180, 30.0), (640, 360, 15.0), (1280, 720, 10.0)]
)
def test_vivids_sizes_and_rates(shelf: Shelf, width: int, height: int, fps: float) -> None:
    """Whatever the camera sets itself to is what hrd works with, and says."""
    shelf.guest.run("systemctl", "stop", "hrd")
    shelf.guest.run("sh", "-c", VIVID)
    config = f"[source.capture]\nwidth_px = {width}\nheight_px = {height}\nfps = {fps}\n"
    shelf.guest.run("sh", "-c", "cat > /tmp/size.toml", input=config)
    command = ["hrd", "doctor", "--camera", "--json", "--config", "/tmp/size.toml"]
    looked = shelf.guest.call(*command, timeout_s=300.0)
    shelf.guest.run("modprobe", "-r", "vivid")
    shelf.guest.run("systemctl", "start", "hrd")
    findings = {f["topic"]: f for f in json.loads(looked.out.splitlines()[-1])}
    rate = findings["rate"]["values"]
    said = findings["camera"]["text"].partition("; ")[0]
    done = f"{said}; {rate['fps']:.1f} measured, jitter {rate['jitter_ms']:.1f} ms"
    shelf.record(f"vivid, asked for {width}x{height} at {fps:g}", done, [], published="no bpm")
    assert "bpm" not in findings["signal"]["values"]
    assert rate["fps"] > 0.7 * min(fps, 30.0)
