"""A little of ``make fuzz``."""

from __future__ import annotations

import random

import pytest

from tests.long import fuzz


@pytest.mark.parametrize("name", list(fuzz.SHARES))
def test_nonsense_is_refused_in_one_sentence(name: str) -> None:
    run, share = fuzz.SHARES[name]
    run(random.Random(20261122), int(20_000 * share))
