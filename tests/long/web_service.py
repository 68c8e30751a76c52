"""hrd-web.service beside the daemon's, under a real systemd (`make test-service`).

The tests are one story and run in order, on one container.
"""

from __future__ import annotations

import json
import time
from typing import Any, Dict, Iterator, List

import pytest

from tests.long import container
from tests.long.container import Box
from tests.long.service import configure

_WHY_NOT = container.prepare()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

UNIT = "hrd-web.service"
ADDRESS = "http://127.0.0.1:8088"

# What a browser does, by the container's own Python: status and start of an answer, or the classes
# of the first events, an HR with a bpm the last of them.
ASK = """
import json, sys, urllib.error, urllib.request
address, headers = sys.argv[1], json.loads(sys.argv[2])
try:
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as got:
        print(json.dumps([got.status, got.read(2000).decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read(2000).decode()]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""
LISTEN = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "/events", headers=json.loads(sys.argv[2]))
seen = []
with urllib.request.urlopen(request, timeout=30) as got:
    for line in got:
        if line.startswith(b"data: "):
            seen.append(json.loads(line[6:]))
            if seen[-1]["class"] == "HR" and "bpm" in seen[-1]:
                break
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with container.installed(tmp_path_factory.mktemp("shared")) as running:
        running.run("mkdir", "-p", "/etc/hrd")
        configure(running)
        yield running


def ask(box: Box, path: str = "/", address: str = ADDRESS, **headers: str) -> List[Any]:
    found: List[Any] = json.loads(
        box.run("python3", "-c", ASK, address + path, json.dumps(headers))
    )
    return found


def events(box: Box, **headers: str) -> List[Dict[str, Any]]:
    said: List[Dict[str, Any]] = json.loads(
        box.run("python3", "-c", LISTEN, ADDRESS, json.dumps(headers))
    )
    return said


def shown(box: Box, name: str) -> str:
    return box.run("systemctl", "show", "-p", name, "--value", UNIT).strip()


def answers(box: Box, patience_s: float = 60.0) -> float:
    """Seconds until the page is there."""
    began_s = time.monotonic()
    while ask(box)[0] != 200:
        assert time.monotonic() - began_s < patience_s, box.run(
            "journalctl", "-u", UNIT, "-n", "20"
        )
        time.sleep(0.1)
    return time.monotonic() - began_s


def test_the_unit_is_right(box: Box) -> None:
    box.run("sh", "-c", f"cp /opt/hrd/lib/python3*/site-packages/hrd/systemd/{UNIT} /tmp/")
    verify = box.call("systemd-analyze", "verify", f"/tmp/{UNIT}")
    assert (verify.returncode, verify.stdout) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20"]
    judged = box.call(*security, f"/tmp/{UNIT}")
    assert judged.returncode == 0, judged.stdout
    print(judged.stdout.strip().splitlines()[-1])


def test_it_is_installed_and_serves_what_the_daemon_says(box: Box) -> None:
    box.run("hrd", "service", "install", "--web")
    assert all(
        line.split()[0] == "done"
        for line in box.run("hrd", "service", "install", "--web").splitlines()
    )
    answers(box)
    status, page = ask(box)
    assert status == 200
    assert "<title>hrd" in page
    said = events(box)
    assert said[-1]["bpm"] == pytest.approx(72, abs=3)
    pid = shown(box, "MainPID")
    assert box.run("stat", "-c", "%U", f"/proc/{pid}").strip() == "hrd"
    state = box.run("cat", f"/proc/{pid}/status")
    assert "CapEff:\t0000000000000000" in state
    print(next(line for line in state.splitlines() if line.startswith("VmRSS")))


def test_it_is_for_this_machine_alone(box: Box) -> None:
    listening = box.run("cat", f"/proc/{shown(box, 'MainPID')}/net/tcp")
    ports = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"]
    assert ports == ["0100007F:1F98"]  # 127.0.0.1:8088
    assert ask(box, Host="evil.example")[0] == 421
    assert ask(box, "/events", Origin="http://evil.example")[0] == 403


def test_kill_9(box: Box) -> None:
    box.run("kill", "-9", shown(box, "MainPID"))
    print(f"the page is back after {answers(box):.1f} s")
    assert shown(box, "NRestarts") == "1"
    assert events(box)[-1]["state"] == "tracking"


def test_a_restart_of_the_daemon_is_waited_for(box: Box) -> None:
    pid = shown(box, "MainPID")
    box.run("systemctl", "stop", "hrd")
    assert ask(box)[0] == 200
    box.run("systemctl", "start", "hrd")
    assert events(box)[-1]["state"] == "tracking"
    assert shown(box, "MainPID") == pid
    said = box.run("journalctl", "-u", UNIT, "--no-pager", "-o", "cat")
    assert "the daemon answers" in said
    assert "Traceback" not in said


def test_opened_to_a_network_as_the_unit_says(box: Box) -> None:
    made = "head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n'"
    box.run("sh", "-c", f"{made} | install -m 0640 -g hrd /dev/stdin /etc/hrd/web.token")
    drop_in = (
        "[Service]\nExecStart=\nExecStart=/opt/hrd/bin/hrd web --listen 0.0.0.0:8088 "
        "--token-file /etc/hrd/web.token\nIPAddressDeny=\n"
    )
    (box.shared / "network.conf").write_text(drop_in)
    box.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
    box.run("cp", "/shared/network.conf", f"/etc/systemd/system/{UNIT}.d/")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", UNIT)
    token = box.run("cat", "/etc/hrd/web.token").strip()
    began_s = time.monotonic()
    while ask(box)[0] != 401:
        assert time.monotonic() - began_s < 60.0
        time.sleep(0.1)
    assert ask(box, f"/?token={token[:-1]}x")[0] == 401
    assert ask(box, "/events", Authorization=f"Bearer {token}x")[0] == 401
    assert ask(box, Authorization=f"Bearer {token}")[0] == 200
    assert events(box, Authorization=f"Bearer {token}")[-1]["state"] == "tracking"
    assert ask(box, Authorization=f"Bearer {token}", Host="evil.example")[0] == 421
    assert token not in box.run("journalctl", "-u", UNIT, "--no-pager", "-o", "cat")


def test_it_ends_at_once_and_cleanly(box: Box) -> None:
    box.run("systemctl", "stop", UNIT)
    times_s = [
        float(shown(box, f"{name}Monotonic")) / 1e6
        for name in ("ActiveExitTimestamp", "InactiveEnterTimestamp")
    ]
    assert times_s[1] - times_s[0] < 5.0  # TimeoutStopSec: it would be killed
    assert shown(box, "Result") == "success"
    assert ask(box)[0] == 0
    print(f"ends within {times_s[1] - times_s[0]:.1f} s")


def test_uninstall_takes_it_away(box: Box) -> None:
    box.run("hrd", "service", "uninstall")
    gone = box.call("ls", f"/etc/systemd/system/{UNIT}")
    assert "No such file" in gone.stdout
    assert box.call("systemctl", "is-enabled", UNIT).returncode != 0
