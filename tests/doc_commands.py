"""The commands in the pages for users: found, and how each is tried.

A block of commands in README, CONTRIBUTING, models/README or docs/ is run by ``tests/test_docs.py``
statement by statement, in an empty directory, beside a daemon with a simulated face. Where that is
not possible the block's first line says so, to the reader as well: ``# needs a Jetson``. Which
marks there are, and where such commands are tried instead, is in ``MARKS``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "models" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
LONG = "takes minutes"
"""The mark of blocks that only ``make test-docs`` runs."""

MARKS: Dict[str, str] = {
    "needs a Jetson": "tests/test_install_jetson.py",
    "needs Docker": "scripts/test-docker.sh",
    "needs root and systemd": "tests/long/service.py",
    "needs the data set": "tests/test_eval_run.py",
    "needs a pulse sensor": "tests/test_compare.py",
    "needs comparisons of several people": "tests/test_calibrate.py",
    "takes hours": "tests/test_train_cli.py",
    "installs into .venv": "scripts/test-install.sh",
    LONG: "tests/test_docs.py",
}
"""A block's mark -> the file that tries such commands, with stand-ins where it has to."""

SHELL, PYTHON = "sh", "python"
SOCKET = "/run/hrd/hrd.sock"
_LIMIT_S = 60.0
_ENDLESS_S = 1.5  # what still runs so long after its first line would run for ever
_PRELUDE = "import hrd\nhrd.Client.__init__.__defaults__ = ({0!r}, 10.0, False, None)\n"
_PRELUDE += "hrd.AsyncClient.__init__.__defaults__ = ({0!r}, 10.0, False, None)\n"
_WITH_SOCKET = ("run", "watch", "record", "compare", "web", "bridge")


@dataclass(frozen=True)
class Block:
    """``line``: of its fence. ``mark``: one of MARKS, or empty where it is run every time."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def mark(self) -> str:
        first = self.text.splitlines()[0] if self.text else ""
        found = re.match(r"# ((?:needs|takes|installs) .+)$", first)
        return found.group(1) if found and self.language == SHELL else ""

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def statements(self) -> List[str]:
        """One for each command line: lines that end in a backslash or a pipe go on."""
        if self.language == PYTHON:
            return [self.text]
        found: List[str] = []
        goes_on = False
        for line in self.text.splitlines():
            if goes_on:
                found[-1] += "\n" + line
            elif line.strip() and not line.startswith("#"):
                found.append(line)
            goes_on = bool(found) and line.rstrip().endswith(("\\", "|", "&&"))
        return found


def blocks() -> Iterator[Block]:
    """Every block of shell or Python."""
    for page in PAGES:
        language, start = "", 0
        inside: List[str] = []
        fenced = False
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            if not line.startswith("```"):
                inside.append(line)
            elif not fenced:
                fenced, language, start, inside = True, line[3:].strip(), number, []
            else:
                fenced = False
                if language in (SHELL, PYTHON):
                    yield Block(page, start, language, "\n".join(inside))


def words(statement: str) -> List[List[str]]:
    """The simple commands of a statement, each as its words; without ``sudo``."""
    lexer = shlex.shlex(statement.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: List[List[str]] = [[]]
    to_file = False
    for token in lexer:
        if to_file or token in (">", ">>", "<"):
            to_file = not to_file
        elif re.fullmatch(r"[|&;()<>]+", token):
            found.append([])
        elif not (token == "sudo" and not found[-1]):
            found[-1].append(token)
    return [command for command in found if command]


def make_programs(folder: Path, socket: str) -> Dict[str, str]:
    """An environment in which ``hrd`` is this checkout's, on a socket of its own."""
    programs = folder / "programs"
    programs.mkdir()
    hrd = programs / "hrd"
    hrd.write_text(
        "#!/bin/sh\n"
        f'case $1 in {"|".join(_WITH_SOCKET)}) set -- "$@" --socket {shlex.quote(socket)} ;; esac\n'
        f'exec {shlex.quote(sys.executable)} -m hrd "$@"\n'
    )
    hrd.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "TERM": "dumb",
    }


def run(
    block: Block, statement: str, folder: Path, environment: Dict[str, str], socket: str
) -> str:
    """What the statement prints; ``AssertionError`` if it fails or prints nothing in a minute.

    One that would run for ever is ended soon after its first line.
    """
    text = statement.replace(SOCKET, socket)
    if block.language == PYTHON:
        command = [sys.executable, "-u", "-c", _PRELUDE.format(socket) + text]
    else:
        command = ["bash", "-c", text]
    process = subprocess.Popen(
        command,
        cwd=str(folder),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said: List[bytes] = []
    begun = threading.Event()

    def read(stream: Iterator[bytes]) -> None:
        for line in stream:
            said.append(line)
            begun.set()
        begun.set()

    reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        assert begun.wait(limit_s(block)), f"{statement}: nothing in {limit_s(block):g} s"
        endless = False
        try:
            process.wait(limit_s(block) if block.mark == LONG else _ENDLESS_S)
        except subprocess.TimeoutExpired:
            endless = True
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
        process.stdin.close()
        process.wait(_LIMIT_S)
        reader.join(_LIMIT_S)
    output = b"".join(said).decode("utf-8", "replace")
    assert endless or process.returncode == 0, f"{statement}: {process.returncode}: {output}"
    return output


def limit_s(block: Block) -> float:
    return 1200.0 if block.mark == LONG else _LIMIT_S
