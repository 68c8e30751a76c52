"""The rules of docs/architecture.md and of CONTRIBUTING that hold for the code as a whole.

What breaks a rule today is listed here, and the list can only shrink: an exception that is no
longer needed fails the test as well.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

STAGES: Dict[str, Tuple[str, ...]] = {
    "capture": ("hrd.capture",),
    "face": ("hrd.face",),
    "window": ("hrd.window",),
    "engine": ("hrd.engine", "hrd.normalise"),
    "estimate": ("hrd.estimate", "hrd.quality", "hrd.reference"),
}
"""What a frame goes through, in order; each may import shared types and never another one."""

COMPOSERS = ("hrd.pipeline", "hrd.pulse", "hrd.face.stage")
"""They put stages together, and read no clock either."""

SHARED = ("hrd.picture", "hrd.pos", "hrd.rate", "hrd.skin", "hrd.types")
"""Values, and arithmetic on pictures and signals, that several stages use."""

BETWEEN_STAGES: Dict[str, Set[str]] = {}
"""Imports from one stage into another that are still there."""

TRAINING = (
    "hrd.train",
    "hrd.evaluation",
    "hrd.cli.train",
    "hrd.cli.export",
    "hrd.cli.eval",
    "hrd.cli.recordings",
    "hrd.cli.reproduce",
    "hrd.cli.calibrate",
)
"""May import training and torch; the runtime may not."""

LINES = 400
REASON = "This module is longer than 400 lines because "
"""In a module's docstring, followed by the reason."""

LONG: Set[str] = set()
"""Modules over 400 lines without a reason."""

LIGHT = {
    "--help": 0,
    "--version": 0,
    "help": 0,
    "help sources": 0,
    "config": 0,
    "run --help": 0,
    "watch --help": 0,
    "web --help": 0,
    "watch --socket /no/such.sock": 1,
}
"""Commands (with their exit codes) that load neither NumPy nor OpenCV, and how much they may."""

LIGHT_MB = 25.0


def modules() -> Dict[str, Path]:
    """Every module of hrd by its dotted name."""
    found = {}
    for path in sorted((ROOT / "hrd").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    """Everything a module imports, as dotted names, wherever in it; not what is for type checkers
    only."""
    waiting: List[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif not (top_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            waiting += ast.iter_child_nodes(node)


IMPORTS = {name: set(imports(path)) for name, path in MODULES.items()}


def stage_of(module: str) -> Optional[str]:
    for stage, packages in STAGES.items():
        if within(module, *packages) and module not in COMPOSERS:
            return stage
    return None


def test_stages_import_shared_types_and_never_each_other() -> None:
    found: Dict[str, Set[str]] = {}
    for name, imported in IMPORTS.items():
        own = stage_of(name)
        others = {
            other
            for other in imported
            if own is not None
            and stage_of(other) not in (None, own)
            and not other.endswith(".options")  # settings are shared, and light
        }
        if others:
            found[name] = others
    assert found == BETWEEN_STAGES


def test_what_stages_share_knows_no_stage() -> None:
    for name in SHARED:
        assert not [other for other in IMPORTS.get(name, ()) if stage_of(other) is not None], name


def test_the_runtime_imports_neither_training_nor_torch() -> None:
    for name, imported in IMPORTS.items():
        if not within(name, *TRAINING):
            assert not [other for other in imported if within(other, "torch", "hrd.train")], name


@pytest.mark.parametrize("name", [n for n in MODULES if n in COMPOSERS + SHARED or stage_of(n)])
def test_no_clock_where_time_is_the_frames_own(name: str) -> None:
    if stage_of(name) in ("capture", "engine"):  # cameras and workers live in real time
        return
    assert not {"time", "datetime"} & IMPORTS[name]


def test_nothing_imports_in_a_circle() -> None:
    graph = {
        name: {other for other in imports(path, top_level_only=True) if other in MODULES}
        for name, path in MODULES.items()
    }
    done: Set[str] = set()

    def visit(name: str, above: Tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_modules_are_short_or_say_why_not() -> None:
    long = set()
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        why = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
        if len(text.splitlines()) > LINES and REASON not in why:
            long.add(name)
    assert long == LONG


SLEEPING = {"test_capture_child.py"}
"""Files of tests that still sleep."""


def test_tests_wait_for_what_happens_and_never_for_time_to_pass() -> None:
    found = {
        path.name
        for path in (ROOT / "tests").glob("*.py")
        if path.name != Path(__file__).name and "time.sleep(" in path.read_text(encoding="utf-8")
    }
    assert found == SLEEPING


_REPORT = """
import sys
from hrd.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
with open("/proc/self/status") as file:
    peak_kb = next(line.split()[1] for line in file if line.startswith("VmHWM"))
heavy = sorted({"numpy", "cv2", "scipy", "av", "asyncio"} & set(sys.modules))
print(code, peak_kb, *heavy, file=sys.stderr)
"""


@pytest.mark.parametrize("command", LIGHT)
def test_light_commands_are_light(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _REPORT, *command.split()],
        cwd=str(ROOT),
        capture_output=True,
        text=True,
    )
    code, peak_kb, *heavy = done.stderr.splitlines()[-1].split()
    assert heavy == []
    assert int(code) == LIGHT[command]
    assert int(peak_kb) * 1024 / 1e6 <= LIGHT_MB


def test_settings_are_light() -> None:
    for name in MODULES:
        if name.endswith("options") or name in ("hrd", "hrd.config", "hrd.status", "hrd.types"):
            for other in imports(MODULES[name], top_level_only=True):
                assert other.partition(".")[0] not in ("numpy", "cv2", "av", "scipy"), name
