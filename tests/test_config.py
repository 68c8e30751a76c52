from __future__ import annotations

from pathlib import Path

import pytest

from hrd.config import Config, from_table, load_config, override, to_toml
from hrd.errors import UsageError


def test_what_is_printed_reads_back_the_same(tmp_path: Path) -> None:
    config = override(Config(), {"engine.name": "pos", "socket.path": '/tmp/a "b".sock'})
    path = tmp_path / "hrd.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load_config(path) == config


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "hrd.toml"
    path.write_text("[reading]\nmin_confidence = 0.9\n[source.capture]\nfps = 25\n")
    config = load_config(path)
    assert config.reading.min_confidence == 0.9
    assert config.source.capture.fps == 25.0
    assert config.engine == Config().engine


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[engin]\n", "unknown key engin"),
        ("[engine]\nmodle = 'x'\n", "unknown key engine.modle"),
        ("[engine]\nthreads = 'two'\n", 'engine.threads must be a whole number, not "two"'),
        ("[engine]\nthreads = 0\n", "engine.threads must be between 1 and 64"),
        ("[engine]\nthreads = true\n", "engine.threads must be a whole number"),
        ("[engine]\nname = 'cuda'\n", "engine.name must be one of auto"),
        ("[reading]\nmin_confidence = nan\n", "reading.min_confidence must be between"),
        ("[source.capture]\nwidth_px = 3\n", "source.capture"),
        ("[source.capture]\npixel_format = 'H264'\n", "pixel_format"),
        ("source = 3\n", "source must be a table"),
        ("[reading.estimator]\nmin_window_s = 30\n", "longer than max_window_s"),
        ("[log]\nlevel = 'loud'\n", "log.level must be one of debug"),
        ("not toml", "is not valid TOML"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, text: str, names: str) -> None:
    path = tmp_path / "hrd.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert names in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_file_is_an_error_and_flags_are_checked_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match=r"command line: engine\.name"):
        override(Config(), {"engine.name": "gpu"})
    assert override(Config(), {"engine.name": None}) == Config()


def test_readings_per_second_become_a_hop() -> None:
    assert Config().pipeline().hop_frames == 30
    assert from_table({"reading": {"updates_hz": 2}}).pipeline().hop_frames == 15
