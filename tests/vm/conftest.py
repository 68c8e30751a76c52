"""One virtual machine for all scenarios of a run; their rows become a table at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generator, Iterator

import pytest

from tests.long.conftest import pytest_sessionfinish  # noqa: F401 - 77 where nothing ran
from tests.vm import machines, results
from tests.vm.film import SMALL, Film, face, film
from tests.vm.guest import make_overlay, make_supplies
from tests.vm.image import get_image
from tests.vm.packages import prepare
from tests.vm.shelf import Shelf

MACHINE = machines.chosen()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, Any, None]:
    """A scenario that fails says what the machine has said."""
    outcome = yield
    report = outcome.get_result()
    shelf = item.funcargs.get("shelf")
    if report.failed and isinstance(shelf, Shelf):
        report.sections.append(("the machine", shelf.last_words()))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vm")


@pytest.fixture(scope="session")
def shelf(folder: Path) -> Iterator[Shelf]:
    """The machine, booted, with hrd a service of it and no camera yet."""
    why_not = prepare(MACHINE)
    if why_not is not None:
        pytest.skip(why_not)
    image = get_image(MACHINE)
    supplies = make_supplies(MACHINE, folder)
    disk = make_overlay(image, folder)
    made = Shelf(MACHINE, image, disk, supplies)
    try:
        made.boot()
        made.install()
        made.configure()
        yield made
    finally:
        made.close()
        if made.rows:
            print("\n" + results.keep(made.rows, MACHINE))


@pytest.fixture(scope="session")
def mjpg() -> Film:
    """What an emulated processor keeps up with while others work on the real one."""
    return film(face(SMALL), "MJPG", every=2)


@pytest.fixture(scope="session")
def yuyv() -> Film:
    return film(face(SMALL), "YUYV", every=2)


@pytest.fixture(scope="session")
def large() -> Film:
    """What hrd asks a camera for: 640x480 MJPG at 30 a second."""
    return film(face(), "MJPG")
