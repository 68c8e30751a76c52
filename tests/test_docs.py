"""What README and the pages of docs/ promise: README is short, what they name is there, and their
commands work. ``make test-docs`` runs the slow ones too."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

from hrd.cli.main import COMMANDS, build_parser
from tests.doc_commands import (
    LONG,
    MARKS,
    PAGES,
    PYTHON,
    ROOT,
    SHELL,
    Block,
    blocks,
    make_programs,
    run,
    words,
)
from tests.long.running import Running, config
from tests.socket_help import eventually, short_directory

README_WORDS = 900
NAMED = re.compile(
    r"`((?:hrd|docs|models|tests|tools|scripts|systemd|docker|constraints)/[\w./*-]+)`"
)
"""A file or folder of the repository, in backticks."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Without blocks of code, in which no link is a link."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.S | re.M)


def links(page: Path) -> Iterator[Tuple[str, str]]:
    """(file, heading) of each link that stays in the repository; either may be empty."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if not re.match(r"[a-z]+:", target):
            file, _, heading = target.partition("#")
            yield file, heading


def headings(page: Path) -> List[str]:
    """As they are linked to: in small letters, hyphens for spaces, no punctuation."""
    found = re.findall(r"^#+ (.+)$", prose_of(page), flags=re.M)
    return [re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in found]


def ids(pages: List[Path]) -> List[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def test_readme_is_short() -> None:
    assert len(text_of(PAGES[0]).split()) <= README_WORDS


def test_readme_leads_to_every_page() -> None:
    named = {file for file, _ in links(PAGES[0])}
    assert set(ids(PAGES[1:])) <= named


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for file, heading in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        assert not heading or heading in headings(target), f"{file}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_files_that_are_named_exist(page: Path) -> None:
    for name in NAMED.findall(prose_of(page)):
        assert list(ROOT.glob(name.rstrip("/"))), name


BLOCKS = list(blocks())
EVERY = os.environ.get("HRD_DOCS") == "all"
"""Whether slow blocks are run, and a program that is missing is a failure."""


@pytest.mark.parametrize("block", BLOCKS, ids=[block.name for block in BLOCKS])
def test_a_block_that_is_not_run_says_why_in_known_words(block: Block) -> None:
    assert block.statements()
    assert not block.mark or (ROOT / MARKS[block.mark]).exists()


def test_every_mark_is_used_by_some_page() -> None:
    assert {block.mark for block in BLOCKS} - {""} == set(MARKS)


SHELL_BLOCKS = [block for block in BLOCKS if block.language == SHELL]


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=[block.name for block in SHELL_BLOCKS])
def test_commands_are_spelt_as_hrd_and_make_know_them(block: Block) -> None:
    for statement in block.statements():
        for command in words(statement):
            name = command[0].rpartition("/")[2]
            if name == "hrd":
                parses(command[1:])
            elif name == "make":
                assert {one for one in command[1:] if "=" not in one} <= targets(), statement
            elif command[0].startswith("scripts/"):
                assert os.access(ROOT / command[0], os.X_OK), statement


def test_commands_in_sentences_are_known() -> None:
    unknown = []
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", prose_of(page)):
            found = re.match(r"hrd ([a-z][a-z-]*)", code)
            if found and found.group(1) not in COMMANDS:
                unknown.append((page.name, code))
            found = re.match(r"make ([a-z][a-z0-9-]*)", code)
            if found and found.group(1) not in targets():
                unknown.append((page.name, code))
    assert unknown == []


def parses(arguments: List[str]) -> None:
    """Fails if hrd would call them wrong usage."""
    code = 0
    try:
        build_parser().parse_args(arguments)
    except argparse.ArgumentError:
        code = 2
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 0, arguments


def targets() -> Set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z0-9-]*):", text, flags=re.M))


@pytest.fixture(scope="module")
def beside() -> Iterator[Tuple[Dict[str, str], str]]:
    """An environment for commands, and the socket of a daemon that reads a simulated face."""
    with short_directory() as folder:
        daemon = Running(Path(folder), config("sim:bpm=72"))
        try:
            eventually(lambda: os.path.exists(daemon.socket), "the daemon is listening")
            yield make_programs(Path(folder), daemon.socket), daemon.socket
        finally:
            assert daemon.stop() == 0


RUN = [block for block in BLOCKS if not block.mark or (EVERY and block.mark == LONG)]


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=[block.name for block in RUN])
def test_commands_work(block: Block, beside: Tuple[Dict[str, str], str], tmp_path: Path) -> None:
    environment, socket = beside
    for statement in block.statements():
        missing = [
            command[0]
            for command in (words(statement) if block.language != PYTHON else [])
            if shutil.which(command[0], path=environment["PATH"]) is None
        ]
        if missing and not EVERY:
            pytest.skip(f"{missing[0]} is not installed; make test-docs installs it")
        run(block, statement, tmp_path, environment, socket)
