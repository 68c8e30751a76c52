"""A little of ``make fuzz``."""

from __future__ import annotations

import random
from pathlib import Path
from typing import List

import pytest

from tests.long import fuzz, fuzz_media


@pytest.mark.parametrize("name", list(fuzz.SHARES))
def test_nonsense_is_refused_in_one_sentence(name: str) -> None:
    run, share = fuzz.SHARES[name]
    run(random.Random(20261122), int(20_000 * share))


@pytest.mark.slow
def test_damaged_films_are_read_or_refused(tmp_path: Path) -> None:
    said: List[str] = []
    assert fuzz_media.fuzz_films(40, 20261125, tmp_path, said.append) == []
    assert said[-1].startswith("40 films")


def test_damage_in_flight_leaves_most_packets_whole() -> None:
    rng = random.Random(1)
    packet = bytes(range(200))
    sent = [fuzz_media.in_flight(rng, packet, 0.1) for _ in range(1000)]
    assert 800 < sum(one == [packet] for one in sent) < 950
    assert any(one == [] for one in sent)
