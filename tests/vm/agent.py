"""Runs inside the virtual machine, with its own Python's standard library only.

Takes requests, one JSON object a line, from a virtio port and answers each when it is done:
``run`` (a command; ``input``, ``timeout_s``) with ``rc`` and ``out``, ``start`` (one that goes on
in the background) with its ``pid``, ``listen`` (to a daemon's socket) with nothing, ``heard`` with
the lines that came since the ``from``-th, each with the machine's monotonic time and its time of
day, ``ask`` (the daemon, ``message``) with its ``answer``, ``now`` with the machine's clocks.
"""

import json
import os
import socket
import subprocess
import threading
import time

PORT = "/dev/virtio-ports/hrd.agent"
PATH = "/opt/hrd/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"}


class Listener:
    """A client of the daemon's socket that connects again for ever."""

    def __init__(self, path):
        self.path = path
        self.lines = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.connect(self.path)
                    for line in client.makefile("r", encoding="utf-8"):
                        self.lines.append((time.monotonic(), time.time(), line))
            except OSError:
                pass
            time.sleep(0.05)


class Agent:
    def __init__(self, port):
        self._port = port
        self._lock = threading.Lock()
        self._listener = None

    def serve(self):
        buffered = b""
        while True:
            piece = os.read(self._port, 65536)
            if not piece:  # nobody at the other end
                time.sleep(0.05)
                continue
            *lines, buffered = (buffered + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    threading.Thread(target=self._answer, args=(json.loads(line),)).start()

    def _answer(self, request):
        try:
            answer = getattr(self, "_" + request["do"])(request)
        except Exception as error:
            answer = {"error": repr(error)}
        data = (json.dumps({"id": request["id"], **answer}) + "\n").encode()
        with self._lock:
            while data:
                data = data[os.write(self._port, data) :]

    def _run(self, request):
        try:
            done = subprocess.run(
                request["command"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                input=request.get("input", "").encode(),
                timeout=request["timeout_s"],
                env=ENVIRONMENT,
            )
        except subprocess.TimeoutExpired as error:
            return {"rc": 124, "out": (error.stdout or b"").decode("utf-8", "replace")}
        return {"rc": done.returncode, "out": done.stdout.decode("utf-8", "replace")}

    def _start(self, request):
        process = subprocess.Popen(
            request["command"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        threading.Thread(target=process.wait, daemon=True).start()
        return {"pid": process.pid}

    def _listen(self, request):
        if self._listener is None:
            self._listener = Listener(request["path"])
        return {}

    def _heard(self, request):
        lines = self._listener.lines if self._listener else []
        return {"lines": lines[request["from"] :]}

    def _ask(self, request):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(request["timeout_s"])
            client.connect(request["path"])
            client.sendall((json.dumps(request["message"]) + "\n").encode())
            for line in client.makefile("r", encoding="utf-8"):
                answer = json.loads(line)
                if answer["class"] in (request["message"]["class"], "ERROR"):
                    return {"answer": answer}
        raise OSError("closed without an answer")

    def _now(self, request):
        return {"monotonic_s": time.monotonic(), "wall_s": time.time()}


def main():
    while not os.path.exists(PORT):
        time.sleep(0.1)
    port = os.open(PORT, os.O_RDWR)
    os.write(port, b'{"ready": true}\n')
    Agent(port).serve()


if __name__ == "__main__":
    main()
