from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any, Iterator, Tuple

import pytest

from hrd.capture.options import CaptureOptions
from hrd.config import Config, EngineConfig, from_table, load_config, override
from hrd.config_text import explained, to_toml
from hrd.errors import UsageError
from hrd.options import options_of


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
        ("[engin]\n", "unknown key engin (did you mean engine?)"),
        ("[engine]\nmodle = 'x'\n", "unknown key engine.modle (did you mean engine.model?)"),
        ("[engine]\nspeed = 11\n", "unknown key engine.speed; the keys of engine are name,"),
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
def test_what_is_invalid_is_named(tmp_path: Path, text: str, names: str) -> None:
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


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "hrd.toml"
    path.write_bytes(b"\xef\xbb\xbf[engine]\r\nthreads = 3\r\n")
    assert load_config(path).engine.threads == 3


def tables(kind: Any, prefix: str = "") -> Iterator[Tuple[str, Any]]:
    """Every table of the configuration with its dotted name."""
    yield prefix, kind
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from tables(hint, f"{prefix}.{name}".lstrip("."))


@pytest.mark.parametrize(("name", "kind"), list(tables(Config)))
def test_every_setting_has_its_meaning_and_every_number_its_limits(name: str, kind: Any) -> None:
    hints = typing.get_type_hints(kind)
    settings = options_of(kind)
    assert set(hints) == set(settings) | {k for k in hints if dataclasses.is_dataclass(hints[k])}
    for key, known in settings.items():
        assert known.meaning.endswith("."), f"{name}.{key}"
        if hints[key] in (int, float):
            assert known.low is not None, f"{name}.{key} has no limits"
            assert known.high is not None, f"{name}.{key} has no limits"
            assert known.low <= getattr(kind(), key) <= known.high


def test_limits_name_the_value_and_the_unit() -> None:
    with pytest.raises(UsageError, match="threads must be between 1 and 64, not 0"):
        EngineConfig(threads=0).check()
    with pytest.raises(UsageError, match="settle_s must be between 0 and 60 s, not NaN"):
        CaptureOptions(settle_s=float("nan"))


def test_what_is_explained_reads_back_the_same(tmp_path: Path) -> None:
    config = override(Config(), {"engine.threads": 2, "reading.min_confidence": 0.7})
    path = tmp_path / "hrd.toml"
    path.write_text(explained(config, {"engine.threads": "here"}), encoding="utf-8")
    assert load_config(path) == config
    text = path.read_text(encoding="utf-8")
    assert text.count("set by: here") == 1
    assert max(map(len, text.splitlines())) <= 100


def test_readings_per_second_become_a_hop() -> None:
    assert Config().pipeline().hop_frames == 30
    assert from_table({"reading": {"updates_hz": 2}}).pipeline().hop_frames == 15


@pytest.mark.parametrize(
    "text", ['[log]\nlevel = "info" # caf\xe9\n'.encode("latin-1"), b"\xff\xfe[\0"]
)
def test_a_file_in_another_encoding_is_told_to_be_saved_anew(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "hrd.toml"
    path.write_bytes(text)
    with pytest.raises(
        UsageError, match=r"is not written in UTF-8 \(byte \d+\): save it as UTF-8$"
    ):
        load_config(path)
