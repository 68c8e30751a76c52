"""The pictures of docs/estimator.md can be drawn, and the page shows all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "estimator.md"


@pytest.mark.slow
def test_a_film_gives_every_picture_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tools.draw_estimator import Clip, draw

    clip = Clip("sim:bpm=72,seconds=8")
    number = len(clip.estimates) - 1
    end_s, estimate = clip.estimates[number]
    assert estimate.bpm == pytest.approx(72, abs=4)
    time_s, bvp = clip.window(number)
    assert len(bvp) == round(estimate.window_s * clip.fs_hz)
    assert time_s[-1] == pytest.approx(end_s, abs=0.1)
    draw(clip, number, tmp_path)
    shown = re.findall(r"\]\(estimator/([\w.]+)\)", PAGE.read_text(encoding="utf-8"))
    assert {path.name for path in tmp_path.iterdir()} == set(shown)


def test_the_page_names_every_feature() -> None:
    from hrd.estimate.features import FEATURE_NAMES

    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in FEATURE_NAMES if f"`{name}`" not in text] == []
