"""Training runs: they learn, stop, go on where they stopped, and distil."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Dict, List

import numpy as np
import pytest

from tests.needs import needs

torch = needs("torch")

from hrd.errors import HrdError  # noqa: E402
from hrd.train import loop  # noqa: E402
from hrd.train.checkpoint import load_checkpoint, load_network, save_atomically  # noqa: E402
from hrd.train.config import TrainConfig, learning_rate  # noqa: E402
from hrd.train.data import NO_AUGMENTATION, ShardStore  # noqa: E402
from hrd.train.evaluate import peak_bpm, score, snr_db  # noqa: E402
from hrd.train.loop import train, train_together  # noqa: E402
from hrd.train.models import PulseNet  # noqa: E402
from tests.train_help import TINY, TINY_TEACHER, make_store  # noqa: E402

QUICK = TrainConfig(
    network="tiny",
    steps=4,
    batch_clips=2,
    lengths_frames=(64,),
    skip_frames=20,
    warmup_steps=2,
    bf16=False,
    workers=0,
    threads=1,
    log_every=2,
    validate_every=1000,
    save_every=2,
    augmentation=NO_AUGMENTATION,
)


def weights(path):
    return load_checkpoint(path)["average"]


def test_a_run_leaves_a_checkpoint_its_history_and_a_picture(tmp_path):
    config = replace(QUICK, out=str(tmp_path))
    result = train(config, make_store(5, frames=80), make_store(2, seed=90, frames=80), spec=TINY)
    assert result.steps == 4
    assert result.scores is not None
    assert result.scores.clips == 2
    content = load_checkpoint(result.checkpoint)
    assert TrainConfig.from_dict(content["config"]) == config
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 4]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.part"))


def test_the_same_seeds_give_the_same_network_and_other_seeds_another(tmp_path):
    store = make_store(5, frames=80)
    a = train(replace(QUICK, out=str(tmp_path / "a")), store, spec=TINY).checkpoint
    b = train(replace(QUICK, out=str(tmp_path / "b")), store, spec=TINY).checkpoint
    c = train(replace(QUICK, out=str(tmp_path / "c"), seed=1), store, spec=TINY).checkpoint
    assert all(torch.equal(v, weights(b)[k]) for k, v in weights(a).items())
    assert not all(torch.equal(v, weights(c)[k]) for k, v in weights(a).items())


class Interrupted(Exception):
    pass


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path):
    store = make_store(5, frames=80)
    whole = train(replace(QUICK, out=str(tmp_path / "whole")), store, spec=TINY).checkpoint

    def stop(row):
        if row["step"] >= 4:
            raise Interrupted

    config = replace(QUICK, out=str(tmp_path / "parts"))
    with pytest.raises(Interrupted):
        train(config, store, spec=TINY, on_log=stop)
    saved = load_checkpoint(tmp_path / "parts" / "last.pt")
    assert saved["step"] == 2
    resumed = train(config, store, spec=TINY, resume=True)
    assert resumed.steps == 4
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(resumed.checkpoint)[name], value, atol=1e-6, rtol=1e-5)


def test_a_time_limit_ends_a_run(tmp_path):
    config = replace(QUICK, out=str(tmp_path), steps=10_000, minutes=1e-4)
    result = train(config, make_store(5, frames=80), spec=TINY)
    assert 1 <= result.steps < 10_000
    assert load_checkpoint(result.checkpoint)["step"] == result.steps


@pytest.mark.slow
def test_a_tiny_network_learns_to_read_rates(tmp_path):
    config = replace(
        QUICK, out=str(tmp_path), steps=80, batch_clips=3, learning_rate=2e-2, average=0.9
    )
    before = score(PulseNet(TINY), make_store(8, seed=500), limit=8)
    result = train(config, make_store(30, frames=80), make_store(8, seed=500), spec=TINY)
    assert result.scores is not None
    assert result.scores.mae_bpm < 3.0
    assert result.scores.pearson > 0.8 > before.pearson
    assert result.scores.silence < 0.7


def test_distillation_takes_the_teacher_along_and_throws_the_projections_away(tmp_path):
    store = make_store(5, frames=80)
    teacher = train(
        replace(QUICK, network="tiny-teacher", out=str(tmp_path / "t")), store, spec=TINY_TEACHER
    ).checkpoint
    rows: List[Dict[str, float]] = []
    config = replace(QUICK, out=str(tmp_path / "s"), teacher=str(teacher))
    result = train(config, store, spec=TINY, on_log=rows.append)
    assert all(np.isfinite(row["features"]) and np.isfinite(row["to_teacher"]) for row in rows)
    net, content = load_network(result.checkpoint)
    assert any("projections" in name for name in content["trainee"])
    assert not any("projections" in name for name in net.state_dict())
    untouched, _ = load_network(teacher)
    again, _ = load_network(teacher)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in untouched.state_dict().items())


def test_runs_side_by_side_end_as_they_would_alone(tmp_path):
    store = make_store(5, frames=80)
    teacher = train(
        replace(QUICK, network="tiny-teacher", out=str(tmp_path / "t")), store, spec=TINY_TEACHER
    ).checkpoint
    plain = replace(QUICK, seed=1)
    distilled = replace(QUICK, seed=0, teacher=str(teacher))
    together = train_together(
        [replace(plain, out=str(tmp_path / "p")), replace(distilled, out=str(tmp_path / "d"))],
        store,
        spec=TINY,
    )
    alone = [
        train(replace(plain, out=str(tmp_path / "pa")), store, spec=TINY),
        train(replace(distilled, out=str(tmp_path / "da")), store, spec=TINY),
    ]
    for a, b in zip(together, alone):
        one, other = (load_network(r.checkpoint)[0].state_dict() for r in (a, b))
        assert all(torch.allclose(one[k].float(), other[k].float(), atol=1e-6) for k in one)


def test_a_run_can_begin_where_another_ended(tmp_path):
    store = make_store(5, frames=80)
    first = train(replace(QUICK, out=str(tmp_path / "a")), store, spec=TINY).checkpoint
    config = replace(
        QUICK, out=str(tmp_path / "b"), start_from=str(first), learning_rate=0.0, weight_decay=0.0
    )
    second = train(config, store, spec=TINY).checkpoint
    one, other = (load_network(path)[0].head.weight for path in (first, second))
    assert torch.equal(one, other)
    wrong = replace(config, out=str(tmp_path / "c"))
    with pytest.raises(HrdError, match="another network"):
        train(wrong, store, spec=TINY_TEACHER)


@pytest.mark.parametrize("change", [{"steps": 9}, {"data_seed": 3}, {"learning_rate": 1.0}])
def test_runs_that_would_not_see_the_same_are_not_compared(tmp_path, change):
    a = replace(QUICK, out=str(tmp_path / "a"))
    b = replace(QUICK, out=str(tmp_path / "b"), **change)
    with pytest.raises(ValueError, match="differ"):
        train_together([a, b], make_store(2), spec=TINY)
    with pytest.raises(ValueError, match="folder"):
        train_together([a, a], make_store(2), spec=TINY)


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth():
    config = TrainConfig(warmup_steps=100, learning_rate=1.0)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.01)
    assert learning_rate(config, 500, 0.0) == pytest.approx(1.0)
    assert learning_rate(config, 500, 0.5) == pytest.approx(0.505)
    assert learning_rate(config, 500, 1.0) == pytest.approx(0.01)


def test_a_crash_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_atomically(path, {"format": "hrd-train-1", "step": 1})

    def half(content, where):
        where.write(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_atomically(path, {"format": "hrd-train-1", "step": 2})
    assert load_checkpoint(path)["step"] == 1


@pytest.mark.parametrize("content", [b"no checkpoint", None])
def test_what_is_no_checkpoint_is_refused_in_plain_words(tmp_path, content):
    path = tmp_path / "last.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HrdError, match="last.pt"):
        load_checkpoint(path)


def test_cuda_without_a_device_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(HrdError, match="--device cpu"):
        train(replace(QUICK, out=str(tmp_path), device="cuda"), make_store(2), spec=TINY)


def test_a_loss_that_begins_before_the_delay_is_refused(tmp_path):
    with pytest.raises(ValueError, match="skip_frames"):
        train(replace(QUICK, out=str(tmp_path), skip_frames=1), make_store(2), spec=TINY)


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(HrdError, match="no finished shards"):
        ShardStore(tmp_path)


@pytest.mark.parametrize("bpm", [45.0, 72.0, 170.0])
def test_the_peak_of_a_sine_is_its_rate(bpm):
    t = np.arange(300) / 30.0
    assert peak_bpm(np.sin(2 * np.pi * bpm / 60.0 * t)) == pytest.approx(bpm, abs=0.5)


def test_snr_of_two_sines_by_hand():
    # power 1 at the rate, 0.09 far from it
    t = np.arange(1800) / 30.0
    signal = np.sin(2 * np.pi * 1.2 * t) + 0.3 * np.sin(2 * np.pi * 1.7 * t)
    assert snr_db(signal, 72.0) == pytest.approx(10.0 * np.log10(1.0 / 0.09), abs=1.0)


def test_what_is_left_is_told_anew_at_every_step(tmp_path, monkeypatch):
    totals = []

    class Bar:
        def __init__(self, **options):
            self.total = options["total"]

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, steps):
            totals.append(self.total)

        def set_postfix(self, values):
            pass

    monkeypatch.setattr(loop, "tqdm", Bar)
    monkeypatch.setattr(loop._Clock, "expected_steps", lambda self, step: 100 + step)
    config = replace(QUICK, out=str(tmp_path), steps=3, log_every=1000)
    train(config, make_store(5, frames=80), spec=TINY)
    assert totals == [101, 102, 103]
