"""Reference devices: what they send, and what is made of it."""

from __future__ import annotations

import asyncio
import os
import threading
import tty
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from hrd.cli.main import main
from hrd.devices.files import read_samples
from hrd.devices.open import open_reference
from hrd.devices.oximeter import FiveBytes, NineBytes, Oximeter
from hrd.devices.sample import DeviceError, Sample, SampleWriter
from hrd.devices.strap import Strap, decode
from hrd.errors import UsageError
from tests.device_help import FakeBleak, five_bytes, measurement, nine_bytes


@pytest.mark.parametrize(("kind", "packet"), [(FiveBytes, five_bytes), (NineBytes, nine_bytes)])
def test_oximeter_samples_are_found_in_any_pieces(kind: Any, packet: Any) -> None:
    sent = b"\x00\xff\x81" + b"".join(packet(k, 60 + k) for k in range(100))
    for size in (1, 4, 64, len(sent)):
        protocol = kind()
        got: List[Sample] = []
        for first in range(0, len(sent), size):
            got += protocol.feed(sent[first : first + size], 10.0)
        assert [one.wave for one in got[-99:]] == list(range(1, 100))
        assert [one.bpm for one in got[-99:]] == [60.0 + k for k in range(1, 100)]
    assert [round(10.0 - one.time_s, 4) for one in got[-3:]] == [0.0333, 0.0167, 0.0]


@pytest.mark.parametrize(("kind", "packet"), [(FiveBytes, five_bytes), (NineBytes, nine_bytes)])
def test_oximeter_without_a_finger_says_nothing(kind: Any, packet: Any) -> None:
    protocol = kind()
    (one,) = protocol.feed(packet(64, 0, finger=False), 1.0)
    assert (one.bpm, one.wave) == (None, None)
    (one,) = protocol.feed(packet(64, 180), 2.0)
    assert one == Sample(2.0, 180.0, 64.0)


@pytest.fixture
def pty_pair() -> Iterator[Any]:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    for end in (ours, theirs):
        try:
            os.close(end)
        except OSError:
            pass


@pytest.mark.parametrize("newer", [True, False])
def test_oximeter_at_a_serial_port(pty_pair: Any, newer: bool, monkeypatch: Any) -> None:
    pytest.importorskip("serial")
    monkeypatch.setattr("hrd.devices.oximeter._PROBE_S", 0.5)
    ours, port = pty_pair
    over = threading.Event()

    def speak() -> None:
        if newer:
            assert os.read(ours, 9) == bytes([0x7D, 0x81, 0xA1] + 6 * [0x80])
        k = 0
        os.set_blocking(ours, False)
        packet = nine_bytes if newer else five_bytes
        left = b""
        while not over.is_set():
            if not left:
                left = packet(k % 128, 71)
                k += 1
            try:
                left = left[os.write(ours, left) :]
            except BlockingIOError:  # the line is full until it is read
                over.wait(0.01)

    device = threading.Thread(target=speak)
    device.start()
    got: List[Sample] = []
    for sample in Oximeter(port, clock=lambda: 5.0).samples(over.is_set):
        got.append(sample)
        if len(got) == 300:
            over.set()
    device.join()
    assert {one.bpm for one in got} == {71.0}
    steps = {(b.wave - a.wave) % 128 for a, b in zip(got, got[1:]) if a.wave is not None}  # type: ignore[operator]
    assert steps == {1.0}


def test_no_oximeter(pty_pair: Any, monkeypatch: Any) -> None:
    pytest.importorskip("serial")
    monkeypatch.setattr("hrd.devices.oximeter._PROBE_S", 0.1)
    with pytest.raises(DeviceError, match="no CMS50 oximeter answers"):
        list(Oximeter(pty_pair[1]).samples(lambda: False))
    with pytest.raises(DeviceError, match="cannot be opened"):
        list(Oximeter("/no/such/port").samples(lambda: False))


def test_heart_rate_measurements() -> None:
    assert decode(bytes([0x00, 72]), 1.0) == Sample(1.0, 72.0)
    assert decode(bytes([0x01, 0x2C, 0x01]), 1.0) == Sample(1.0, 300.0)
    # contact, energy expended, two intervals of 1024/1024 and 512/1024 s
    full = bytes([0x1E, 60, 9, 9, 0x00, 0x04, 0x00, 0x02])
    assert decode(full, 2.0) == Sample(2.0, 60.0, ibi_ms=(1000.0, 500.0))
    assert decode(bytes([0x04, 60]), 3.0) == Sample(3.0)  # no contact
    for short in (b"", b"\x00", b"\x01\x01", bytes([0x18, 60, 1])):
        with pytest.raises(ValueError, match="bytes"):
            decode(short, 0.0)


def test_a_strap_that_drops_out_is_found_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("hrd.devices.strap._LISTEN_S", 0.01)
    sent = [(float(k), measurement(60 + k, [1.0])) for k in range(6)]
    bleak = FakeBleak([*sent[:3], None, *sent[3:]])
    strap = Strap("h10", bleak, clock=lambda: bleak.now_s)
    got = list(strap.samples(lambda: bleak.over))
    assert [(one.time_s, one.bpm) for one in got] == [(float(k), 60.0 + k) for k in range(6)]
    assert bleak.connections == 2
    with pytest.raises(DeviceError, match="the heart-rate strap other was not found"):
        list(Strap("other", FakeBleak([])).samples(lambda: False))


def test_a_strap_that_is_away_for_long_is_looked_for_again(monkeypatch: Any) -> None:
    """BlueZ forgets it meanwhile; bleak then waits in vain, and later knows no such device."""
    for name in ("_LISTEN_S", "_RETRY_S"):
        monkeypatch.setattr(f"hrd.devices.strap.{name}", 0.01)
    sent = [(float(k), measurement(60 + k, [1.0])) for k in range(4)]
    gone = [None, asyncio.TimeoutError(), (), (), FakeBleak.BleakError("no such device")]
    bleak = FakeBleak([*sent[:2], *gone, *sent[2:]])
    got = list(Strap("", bleak, clock=lambda: bleak.now_s).samples(lambda: bleak.over))
    assert [one.bpm for one in got] == [60.0, 61.0, 62.0, 63.0]
    assert bleak.connections == 2
    assert bleak.sought == [20.0, 5.0, 5.0, 5.0, 5.0]


def test_a_strap_that_lets_nobody_connect_is_told(monkeypatch: Any) -> None:
    monkeypatch.setattr("hrd.devices.strap._RETRY_S", 0.01)
    for error, said in (
        (FakeBleak.BleakError("busy"), "busy"),
        (asyncio.TimeoutError(), "Timeout"),
    ):
        bleak = FakeBleak(3 * [error])
        with pytest.raises(DeviceError, match=f"does not let itself be connected to .*{said}"):
            list(Strap("", bleak).samples(lambda: False))


def test_bluetooth_that_is_off_is_told_in_words() -> None:
    bleak = FakeBleak([FakeBleak.BleakError("no powered adapter", 3)])

    async def refuse(fits: Any, timeout: float) -> None:
        raise FakeBleak.BleakError("no powered adapter", 3)

    bleak.BleakScanner.find_device_by_filter = staticmethod(refuse)  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match=r"read \(no powered adapter\); is Bluetooth switched on"):
        list(Strap("", bleak).samples(lambda: False))


def test_reference_files(tmp_path: Path) -> None:
    kept = [Sample(1.5, 71.0, 0.25, (800.0, 812.5)), Sample(2.5), Sample(3.5, 72.0, -0.5)]
    writer = SampleWriter(tmp_path / "kept.csv")
    for sample in kept:
        writer.write(sample)
    writer.close()
    assert read_samples(tmp_path / "kept.csv") == kept

    other = tmp_path / "watch.csv"
    other.write_text("Timestamp;Heart_Rate\n2026-01-01T00:00:01Z;70\n2026-01-01T00:00:02Z;\n")
    assert [one.bpm for one in read_samples(other)] == [70.0, None]
    assert read_samples(other)[1].time_s - read_samples(other)[0].time_s == 1.0

    bare = tmp_path / "bare.csv"
    bare.write_text("0,70\n1,71\n")
    assert read_samples(bare) == [Sample(0.0, 70.0), Sample(1.0, 71.0)]

    truth = tmp_path / "ground_truth.txt"
    truth.write_text("1 2 3\n60 61 62\n0.0 0.5 1.0\n")
    assert read_samples(truth)[2] == Sample(1.0, 62.0, 3.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no samples"),
        ("time,bpm\n", "holds no samples"),
        ("colour,taste\nred,sweet\n", "names its columns"),
        ("time,bpm\nsoon,70\nlater,71\n", "row 1 has no time"),
    ],
)
def test_bad_reference_files(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DeviceError, match=said):
        read_samples(path)


def test_references_by_name(tmp_path: Path, capsys: Any) -> None:
    assert isinstance(open_reference("ble:H10"), Strap)
    assert isinstance(open_reference("cms50:/dev/ttyUSB0"), Oximeter)
    for bad in ("cms50:", str(tmp_path / "none.csv")):
        with pytest.raises(UsageError):
            open_reference(bad)
    assert main(["compare"]) == 2
    assert "needs a --reference" in capsys.readouterr().err
