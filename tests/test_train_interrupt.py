"""Runs that are stopped from outside are saved, and go on as if they had not been."""

from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import replace
from typing import Any, Callable, List

import pytest

from tests.needs import needs

torch = needs("torch")

from hrd.train import loop  # noqa: E402
from hrd.train.checkpoint import load_checkpoint  # noqa: E402
from hrd.train.data import Clip  # noqa: E402
from hrd.train.interrupt import Interrupts, Stopped, undisturbed  # noqa: E402
from hrd.train.loop import train, train_together  # noqa: E402
from hrd.train.run import Run  # noqa: E402
from tests.test_train_loop import QUICK, weights  # noqa: E402
from tests.train_help import TINY, make_store  # noqa: E402


def after(calls: int, number: int = signal.SIGINT) -> Callable[[], None]:
    """Something to call that sends this process a signal the given time it is called."""
    left = [calls]

    def call() -> None:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(number)

    return call


class Store:
    """Clips that are counted as they are read: where batches are prepared."""

    def __init__(self, clips: int, seed: int, at: Callable[[], None] = lambda: None) -> None:
        self._store = make_store(clips, seed, frames=80)
        self._at = at

    def __len__(self) -> int:
        return len(self._store)

    def clip(self, index: int) -> Clip:
        self._at()
        return self._store.clip(index)


def interrupting(at: Callable[[], None], inner: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        at()
        return inner(*args, **kwargs)

    return call


MOMENTS = [  # where the signal comes, in which call of it, the step that is saved
    ("a batch is prepared", 5, 2),
    ("the optimiser steps", 3, 3),
    ("a checkpoint is written", 1, 2),
    ("curves are drawn", 1, 4),
    ("a clip of validation is read", 2, 4),
]


@pytest.mark.parametrize(("where", "call", "step"), MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_at_any_moment_ends_as_if_it_had_not_been(
    tmp_path, monkeypatch, where, call, step, number
):
    config = replace(QUICK, out=str(tmp_path / "whole"))
    whole = train(config, Store(5, 0), Store(2, 90), spec=TINY)

    at = after(call, number)
    store = Store(5, 0, at if where == MOMENTS[0][0] else lambda: None)
    validation = Store(2, 90, at if where == MOMENTS[4][0] else lambda: None)
    with monkeypatch.context() as patch:
        if where == MOMENTS[1][0]:
            patch.setattr(torch.optim.AdamW, "step", interrupting(at, torch.optim.AdamW.step))
        if where == MOMENTS[2][0]:
            patch.setattr(Run, "save", interrupting(at, Run.save))
        if where == MOMENTS[3][0]:
            from hrd.train import curves

            patch.setattr(curves, "draw_curves", interrupting(at, curves.draw_curves))
        config = replace(config, out=str(tmp_path / "parts"))
        handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(Stopped, match=f"step {step} of 4, saved in .*parts/last.pt; the same"):
            train(config, store, validation, spec=TINY)
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert load_checkpoint(tmp_path / "parts/last.pt")["step"] == step

    resumed = train(config, Store(5, 0), Store(2, 90), resume=True, spec=TINY)
    assert resumed.steps == 4
    assert resumed.scores is not None
    assert whole.scores is not None
    assert resumed.scores.mae_bpm == pytest.approx(whole.scores.mae_bpm, abs=0.01)
    for name, value in weights(whole.checkpoint).items():
        torch.testing.assert_close(weights(resumed.checkpoint)[name], value, atol=1e-6, rtol=1e-5)


def test_before_the_first_step_nothing_is_saved(tmp_path):
    config = replace(QUICK, out=str(tmp_path / "run"))
    with pytest.raises(Stopped, match="before the first step; the same command begins again"):
        train(config, Store(5, 0, after(1)), spec=TINY)
    assert not (tmp_path / "run").exists()


def test_runs_side_by_side_stop_at_the_same_step(tmp_path, monkeypatch):
    configs = [replace(QUICK, out=str(tmp_path / str(seed)), seed=seed) for seed in range(3)]
    at = after(5)  # between the second run's second step and its third's
    monkeypatch.setattr(Run, "advance", interrupting(at, Run.advance))
    with pytest.raises(Stopped, match="step 2 of 4"):
        train_together(configs, Store(5, 0), spec=TINY)
    assert [load_checkpoint(tmp_path / str(k) / "last.pt")["step"] for k in range(3)] == [2, 2, 2]


def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path):
    config = replace(QUICK, out=str(tmp_path))
    first = train(config, Store(5, 0), Store(5, 90), spec=TINY)
    before = load_checkpoint(first.checkpoint)
    again = train(config, Store(5, 0), Store(5, 90), resume=True, spec=TINY)
    assert first.scores is not None
    assert again.scores is not None
    assert again.scores.as_dict() == first.scores.as_dict()
    content = load_checkpoint(again.checkpoint)
    assert content["history"] == before["history"]
    assert content["scores"] == before["scores"]
    assert all(torch.equal(v, content["average"][k]) for k, v in before["average"].items())


def test_a_held_part_ends_before_the_interrupt():
    done: List[str] = []

    def work() -> None:
        with Interrupts() as interrupts:
            with interrupts.held():
                signal.raise_signal(signal.SIGINT)
                done.append("held")
            done.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["held"]


def test_a_second_interrupt_does_not_disturb_the_saving():
    saved = False
    with Interrupts():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            saved = True
    assert saved


def test_an_interrupt_that_a_destructor_swallows_comes_at_the_next_held_part():
    done: List[str] = []

    def work() -> None:
        with Interrupts() as interrupts:
            with contextlib.suppress(KeyboardInterrupt):  # as Python does in a destructor
                signal.raise_signal(signal.SIGINT)
            with interrupts.held():
                done.append("held")
            done.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["held"]


def test_signals_are_left_alone_in_another_thread_and_where_they_are_ignored():
    seen = []

    def enter() -> None:
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_blocked_while_processes_are_started_and_then_comes():
    blocked = []

    def work() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            blocked.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))

    with pytest.raises(KeyboardInterrupt):
        work()
    assert blocked == [True]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_ctrl_c_that_another_thread_takes_waits_as_well():
    """The kernel hands it to any thread that has not blocked it, such as tqdm's."""
    went_on = []

    def take() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.raise_signal(signal.SIGINT)  # this thread's; its handler is run in the main one

    def work() -> None:
        with undisturbed():
            other = threading.Thread(target=take)
            other.start()
            other.join()
            went_on.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert went_on == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_with_minutes_the_time_left_is_that_of_the_minutes(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    clock = loop._Clock(replace(QUICK, steps=1000, minutes=2.0), 1, 50, 60.0)
    assert clock.spent_s == 60.0
    assert clock.expected_steps(50) == 1000  # nothing is known yet
    now[0] += 10.0
    assert clock.expected_steps(70) == 170  # 2 steps a second for the 50 s that are left
    assert clock.progress(70) == pytest.approx(70.0 / 120.0)
    assert not clock.is_over(70)
    now[0] += 50.0
    assert clock.is_over(70)
    free = loop._Clock(replace(QUICK, steps=1000), 1, 50, 60.0)
    assert free.expected_steps(60) == 1000
    assert free.progress(500) == 0.5
