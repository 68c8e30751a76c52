"""Help, suggestions and completion: what a user meets who does not know the words yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from hrd.capture.simulated_options import describe
from hrd.cli.help import SOURCES, TOPICS, text_of
from hrd.cli.main import COMMANDS, main
from hrd.types import Reason, State
from tests.needs import needs

ROOT = Path(__file__).parent.parent


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> List[str]:
    """Standard error's lines of a command line that is bad usage."""
    with pytest.raises(SystemExit) as caught:
        main(list(argv))
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.mark.parametrize(
    ("argv", "usage", "said"),
    [
        (["wach"], "hrd", "unknown command 'wach' (did you mean watch?)"),
        (["mesure", "x.mp4"], "hrd", "unknown command 'mesure' (did you mean measure?)"),
        (["frobnicate"], "hrd", "unknown command 'frobnicate'; hrd --help lists them"),
        (["run", "--sorce", "x"], "hrd run", "unknown option --sorce (did you mean --source?)"),
        (["watch", "--jsn"], "hrd watch", "unknown option --jsn (did you mean --json?)"),
        (["run", "--engine", "onx"], "hrd run", "'onx' is not one of auto, tensorrt, onnx, pos"),
        (["run", "--engine=tensort"], "hrd run", "(did you mean tensorrt?)"),
        (["config", "here"], "hrd config", "one argument too many: here"),
        (["service", "instal"], "hrd service", "unknown part 'instal' (did you mean install?)"),
        (["service", "install", "--dry"], "", ""),
        (["service", "install", "--dryrun"], "hrd service install", "(did you mean --dry-run?)"),
        (["measure"], "hrd measure", "required: FILE"),
    ],
)
def test_the_usage_at_hand_and_what_may_have_been_meant(
    capsys, monkeypatch: pytest.MonkeyPatch, argv: List[str], usage: str, said: str
) -> None:
    if not usage:  # an abbreviation is understood
        monkeypatch.setattr("hrd.service.install.install", lambda *args: None)
        assert main(argv) == 0
        return
    lines = refused(capsys, *argv)
    assert lines[0].startswith(f"usage: {usage} [")
    assert lines[-1].startswith(f"{usage}: error: ")
    assert said in lines[-1]


def test_help_on_everything(capsys) -> None:
    assert main(["help"]) == 0
    text = capsys.readouterr().out
    for name in (*COMMANDS, *TOPICS):
        assert f"  {name} " in text or f"  {name}\n" in text
        assert main(["help", name]) == 0
        assert len(capsys.readouterr().out) > 100
    assert main(["help", "sorces"]) == 2
    assert "(did you mean sources?)" in capsys.readouterr().err


def test_help_of_a_command_is_its_own_help(capsys) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert text_of(name) == capsys.readouterr().out


def test_every_source_and_option_is_told(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    for form, _ in SOURCES:
        assert f"  {form} " in text
    for key in describe():
        assert f"  {key}= " in text
    assert "from 35 to 220; default 72" in text
    assert "640x480" in text


def test_every_state_and_reason_is_told() -> None:
    text = text_of("readings")
    for reason in Reason:
        assert f" {reason.value} " in text or f" {reason.value}\n" in text
    assert all(state.value in text for state in State)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(capsys, shell: str) -> None:
    needs("argcomplete")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_ARGCOMPLETE" in script
    assert "hrd" in script


IN_A_SHELL = {
    "bash": """
source <(hrd completion bash)
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9
_python_argcomplete hrd "${COMP_WORDS[-1]}"
printf '%s' "$1"
printf '%s' "${COMPREPLY[@]}" | sed "s/^${COMP_WORDS[-1]}//"
""",
    "zsh": """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit; compinit -u -d ./dump; hrd completion zsh > z; . ./z'
zpty -w shell 'PS1="rea""dy> "'
zpty -r shell said '*ready> *'
zpty -w -n shell "$1"$'\t'
zpty -r shell said "*$2*"
print -r -- "$said"
zpty -d shell
""",
    "fish": """
hrd completion fish > f; source f
complete -C $argv[1] | string replace -r '\\t.*' ''
""",
}
"""What the user of a shell types; the shell's answer to half a command line is printed."""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("hrd mea", "measure"),
        ("hrd watch --tra", "--tracking"),
        ("hrd completion z", "zsh"),
        ("hrd measure cli", "clip.mp4"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_real_shell_completes(tmp_path: Path, shell: str, typed: str, completed: str) -> None:
    needs("argcomplete")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    hrd = tmp_path / "programs" / "hrd"
    hrd.parent.mkdir()
    hrd.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hrd "$@"\n')
    hrd.chmod(0o755)
    (tmp_path / "clip.mp4").touch()
    bare = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    rest = [typed, completed] if shell == "fish" else [shell, typed, completed]
    done = subprocess.run(
        [shell, *bare, "-c", IN_A_SHELL[shell], *rest],
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "PATH": f"{hrd.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "TERM": "dumb",
        },
    )
    assert completed in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("hrd wa", {"watch"}),
        ("hrd watch --js", {"--json"}),
        ("hrd run --engine t", {"tensorrt"}),
        ("hrd service un", {"uninstall"}),
        ("hrd help so", {"sources"}),
    ],
)
def test_what_a_shell_is_offered(typed: str, offered: set) -> None:
    needs("argcomplete")
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": typed,
        "COMP_POINT": str(len(typed)),
    }
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m hrd 8>&1 9>/dev/null >/dev/null 2>&1'],
        cwd=str(ROOT),
        capture_output=True,
        text=True,
        env=environment,
    )
    assert {word.strip() for word in done.stdout.splitlines()} == offered
