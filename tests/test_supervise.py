"""An engine that fails in the middle of a stream, and what goes on without it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

import numpy as np
import pytest

from hrd.cli.main import main
from hrd.engine.base import Engine, EngineError, EngineInfo
from hrd.engine.network import NetworkEngine
from hrd.engine.onnx import OnnxEngine
from hrd.engine.options import TensorRtOptions
from hrd.engine.pos import PosEngine
from hrd.engine.process import WorkerFailure
from hrd.engine.select import open_engine
from hrd.engine.supervise import Level, SupervisedEngine
from hrd.engine.tensorrt import TensorRtEngine
from hrd.engine.tensorrt_open import open_tensorrt
from hrd.errors import Kind
from hrd.pipeline import Pipeline, PipelineConfig
from hrd.pulse import PulseConfig
from hrd.types import PulseChunk, RoiChunk, State
from tests.fakes import SKIN_FACE, always, skin_frame
from tests.gpu_help import FakeGpu
from tests.test_daemon import running
from tests.test_engine import chunk, part
from tests.waiting import eventually

WHOLE = chunk(450, bpm=78.0)
CHUNKS = [part(WHOLE, start, start + 30) for start in range(0, 450, 30)]


class Breakable(NetworkEngine):
    """The student on ONNX Runtime, until told otherwise. ``gain``: how wrong it is."""

    def __init__(self, gain: float = 1.0) -> None:
        self._inner = OnnxEngine("student")
        self.info = EngineInfo("tensorrt", "student", "cuda fp16")
        self.delay_frames = self._inner.delay_frames
        self.history_frames = self._inner.history_frames
        self.broken = ""
        self.gain = gain
        self.closed = threading.Event()
        self.reset()

    def infer(self, frames: np.ndarray) -> np.ndarray:
        if self.broken == "nan":
            return np.full(len(frames), np.nan, np.float32)
        if self.broken == "short":
            return np.zeros(len(frames) - 1, np.float32)
        if self.broken:
            raise WorkerFailure(self.broken)
        return self._inner.infer(frames) * np.float32(self.gain)

    def forget(self) -> None:
        self._inner.forget()

    def close(self) -> None:
        self.closed.set()


def never(stop: threading.Event) -> Engine:
    raise WorkerFailure("not again")


def levels(open_best: Callable[[threading.Event], Engine] = never) -> List[Level]:
    return [
        Level("TensorRT", open_best),
        Level("ONNX Runtime on CUDA", never),
        Level("ONNX Runtime on the CPU", lambda stop: OnnxEngine("student")),
        Level("POS", lambda stop: PosEngine()),
    ]


def supervised(
    best: Engine,
    open_best: Callable[[threading.Event], Engine] = never,
    retry_s: tuple = (3600.0,),
    standby: Optional[Dict[int, Engine]] = None,
) -> SupervisedEngine:
    ready: Dict[int, Engine] = {2: OnnxEngine("student")} if standby is None else standby
    return SupervisedEngine(
        levels(open_best), 0, best, ready, {1: "no CUDA"}, set(), retry_s=retry_s
    )


@pytest.mark.parametrize("broken", ["the worker was killed", "nan", "short"])
@pytest.mark.parametrize("at", [0, 1, 7])
def test_the_signal_goes_on_as_if_nothing_had_happened(broken: str, at: int) -> None:
    wanted = OnnxEngine("student").process(WHOLE).bvp
    best = Breakable()
    engine = supervised(best)
    pulses = []
    for i, piece in enumerate(CHUNKS):
        if i == at:
            best.broken = broken
        pulses.append(engine.process(piece))
    np.testing.assert_allclose(np.concatenate([p.bvp for p in pulses]), wanted, atol=1e-4)
    steps = np.diff([p.start_s for p in pulses])
    np.testing.assert_allclose(steps, 1.0, atol=1e-6)
    assert engine.info.name == "onnx"
    assert engine.fallbacks == 1
    assert engine.why.startswith("ONNX Runtime on the CPU; TensorRT: ")
    assert "next try in" in engine.why
    assert best.closed.wait(10)
    engine.close()


def on_the_cpu(*engines: Engine, last: int = 2) -> SupervisedEngine:
    """The first of ``engines`` runs; each time the level is opened, the next one is there."""
    following = iter(engines[1:])
    quick = [
        Level("ONNX Runtime on the CPU", lambda stop: next(following), quick=True),
        Level("POS", lambda stop: PosEngine()),
    ]
    return SupervisedEngine(quick[:last], 0, engines[0], {}, {}, set(), retry_s=(3600.0,))


def test_what_is_quick_to_open_is_opened_anew_and_the_signal_goes_on() -> None:
    wanted = OnnxEngine("student").process(WHOLE).bvp
    first, second = Breakable(), Breakable()
    engine = on_the_cpu(first, second)
    out = []
    for i, piece in enumerate(CHUNKS):
        first.broken = "nan" if i == 4 else ""
        out.append(engine.process(piece).bvp)
    np.testing.assert_allclose(np.concatenate(out), wanted, atol=1e-4)
    assert engine.current is second
    assert engine.why == "ONNX Runtime on the CPU (the first choice); 1 failure so far"
    engine.close()


def test_what_fails_again_at_once_is_left_for_the_next() -> None:
    first, second = Breakable(), Breakable()
    engine = on_the_cpu(first, second)
    engine.process(CHUNKS[0])
    first.broken = second.broken = "nan"
    engine.process(CHUNKS[1])
    assert engine.info.name == "pos"
    assert engine.fallbacks == 2
    engine.close()


def test_without_a_next_level_the_second_failure_is_an_error() -> None:
    first, second = Breakable(), Breakable()
    engine = on_the_cpu(first, second, last=1)
    engine.process(CHUNKS[0])
    first.broken = second.broken = "it is broken"
    with pytest.raises(EngineError, match="it is broken"):
        engine.process(CHUNKS[1])
    engine.close()


def test_what_comes_back_takes_over_without_a_seam() -> None:
    wanted = OnnxEngine("student").process(WHOLE).bvp
    best, second = Breakable(), Breakable()
    may_open = threading.Event()

    def open_best(stop: threading.Event) -> Engine:
        may_open.wait(30)
        return second

    engine = supervised(best, open_best, retry_s=(0.0,))
    out, names = [], []
    for i, piece in enumerate(CHUNKS):
        if i == 3:
            best.broken = "the worker was killed"
        if i == 8:
            may_open.set()
            wait_until(lambda: engine.taking_over)
        out.append(engine.process(piece).bvp)
        names.append(engine.info.name)
    assert names == ["tensorrt"] * 3 + ["onnx"] * 5 + ["tensorrt"] * 7
    np.testing.assert_allclose(np.concatenate(out), wanted, atol=1e-4)
    assert engine.why == "TensorRT (the first choice); 1 failure so far"
    engine.close()


def test_what_comes_back_wrong_is_refused() -> None:
    best, wrong = Breakable(), Breakable(gain=1.5)
    opened = [wrong]

    def open_best(stop: threading.Event) -> Engine:
        if not opened:
            stop.wait(30)
            raise EngineError("stopped")
        return opened.pop()

    engine = supervised(best, open_best, retry_s=(0.0,))
    for piece in CHUNKS[:4]:
        engine.process(piece)
    best.broken = "gone"
    engine.process(CHUNKS[4])
    wait_until(lambda: engine.taking_over)
    engine.process(CHUNKS[5])
    assert engine.info.name == "onnx"
    assert "differs by 0.50 from the engine before it" in engine.why
    assert wrong.closed.wait(10)
    engine.close()


def test_it_waits_longer_and_longer_and_stops_for_what_is_absent() -> None:
    tries: List[float] = []
    done = threading.Event()

    def open_best(stop: threading.Event) -> Engine:
        tries.append(time.monotonic())
        if len(tries) == 4:
            done.set()
            raise WorkerFailure("no GPU any more", Kind.ABSENT)
        raise WorkerFailure("not yet")

    best = Breakable()
    engine = supervised(best, open_best, retry_s=(0.01, 0.1, 0.4))
    engine.process(CHUNKS[0])
    best.broken = "gone"
    engine.process(CHUNKS[1])
    assert done.wait(30)
    waits = np.diff(tries)
    assert waits[0] >= 0.1 - 0.01
    assert waits[1] >= 0.4 - 0.01
    wait_until(lambda: "try" not in engine.why)
    assert "no GPU any more" in engine.why
    assert "next try" not in engine.why
    engine.close()


def test_pos_is_the_last_resort_and_after_it_there_is_none() -> None:
    class BrokenPos(PosEngine):
        def process(self, chunk: RoiChunk) -> PulseChunk:
            raise EngineError("even POS")

    broken = Breakable()
    other = Breakable()
    engine = supervised(broken, standby={2: other})
    engine.process(CHUNKS[0])
    broken.broken = other.broken = "gone"
    pulse = engine.process(CHUNKS[1])
    assert engine.info.name == "pos"
    assert engine.delay_frames == PosEngine().delay_frames
    assert pulse.start_s == pytest.approx(1.0 - engine.delay_frames / 30)
    assert len(pulse.bvp) == 30
    engine.close()
    alone = SupervisedEngine(levels()[3:], 0, BrokenPos(), {}, {}, set())
    with pytest.raises(EngineError, match="even POS"):
        alone.process(CHUNKS[0])


def test_close_ends_what_is_being_opened() -> None:
    begun, ended = threading.Event(), threading.Event()

    def open_best(stop: threading.Event) -> Engine:
        begun.set()
        stop.wait(60)
        ended.set()
        raise EngineError("stopped")

    onnx = OnnxEngine("student")
    engine = SupervisedEngine(levels(open_best), 2, onnx, {}, {0: "later"}, {0}, at_once=True)
    assert begun.wait(10)
    assert "trying now" in engine.why
    engine.close()
    assert ended.is_set()


def test_the_pipeline_reads_on_with_another_engine() -> None:
    best, onnx = Breakable(), Breakable()
    engine = supervised(best, standby={2: onnx})
    pipeline = Pipeline(
        always(SKIN_FACE), engine, PipelineConfig(pulse=PulseConfig(min_confidence=0.0))
    )
    readings = []
    for i in range(30 * 32):
        if i == 30 * 13:
            best.broken = "gone"  # to the other network: nothing is to be seen of it
        if i == 30 * 17:
            onnx.broken = "gone"  # to POS: another wave, another calibration
        reading = pipeline.push(skin_frame(i, i / 30.0, bpm=72.0))
        if reading is not None:
            readings.append(reading)
    before = [r for r in readings if 10 < r.time_s < 13]
    network = [r for r in readings if 13 < r.time_s < 17]
    assert all(r.state is State.TRACKING for r in before + network)
    assert [r.bpm for r in network] == pytest.approx([72.0] * len(network), abs=1.5)
    after = [r for r in readings if r.time_s > 17]
    assert after[0].state is State.WARMING_UP  # the signal begins again
    last = [r.bpm for r in after[-5:]]
    assert last == pytest.approx([72.0] * 5, abs=2.5)
    assert engine.info.name == "pos"


# With a real worker process.


@pytest.fixture
def gpu(module_gpu: FakeGpu) -> FakeGpu:
    module_gpu.fault("")
    return module_gpu


def settings(gpu: FakeGpu) -> TensorRtOptions:
    return TensorRtOptions(gpu.python, cache_dir=str(gpu.folder / "cache"), deadline_s=30.0)


def tensorrt_of(engine: Engine) -> TensorRtEngine:
    assert isinstance(engine, SupervisedEngine)
    assert isinstance(engine.current, TensorRtEngine)
    return engine.current


@pytest.mark.parametrize("how", ["kill", "hang", "nan", "garbage", "memory"])
def test_a_worker_that_fails_costs_no_sample(gpu: FakeGpu, how: str) -> None:
    wanted = OnnxEngine("student").process(WHOLE).bvp
    selection = open_engine("tensorrt", tensorrt=settings(gpu))
    engine = selection.engine
    out = []
    for i, piece in enumerate(CHUNKS):
        if i == 4:
            worker = tensorrt_of(engine)
            if how == "kill":
                os.kill(worker.worker_pid, signal.SIGKILL)
            else:
                worker.deadline_s = 1.0 if how == "hang" else 30.0
                gpu.fault(how)
        out.append(engine.process(piece).bvp)
    assert engine.info.name == "onnx"
    said = {"kill": "SIGKILL", "hang": "not answered", "nan": "not numbers"}.get(how, how)
    assert {"garbage": "nonsense", "memory": "out of memory"}.get(how, said) in selection.why
    np.testing.assert_allclose(np.concatenate(out), wanted, atol=1e-3 * np.abs(wanted).max())
    engine.close()


def test_auto_uses_tensorrt_only_if_it_is_built_or_the_daemon_waits(
    gpu: FakeGpu, tmp_path: Path
) -> None:
    empty = TensorRtOptions(gpu.python, cache_dir=str(tmp_path), deadline_s=30.0)
    selection = open_engine("auto", tensorrt=empty)
    assert selection.engine.info.name == "onnx"
    assert "hrd build-engine" in selection.why
    selection = open_engine("auto", tensorrt=empty, live=True)
    assert selection.engine.info.name == "onnx"  # at once
    assert "TensorRT: being made ready" in selection.why
    names: List[str] = []

    def tensorrt_has_taken_over() -> bool:
        selection.engine.process(CHUNKS[len(names) % len(CHUNKS)])
        names.append(selection.engine.info.name)
        return names[-1] == "tensorrt"

    wait_until(tensorrt_has_taken_over)
    assert names[0] == "onnx"
    selection.engine.close()
    selection = open_engine("auto", tensorrt=empty)
    assert selection.engine.info.name == "tensorrt"
    assert selection.why == "TensorRT (the first choice)"
    selection.engine.close()


def test_a_caller_that_cannot_wait_is_told_to_build(gpu: FakeGpu, tmp_path: Path) -> None:
    empty = TensorRtOptions(gpu.python, cache_dir=str(tmp_path), deadline_s=30.0)
    with pytest.raises(EngineError, match="make it with: hrd build-engine"):
        open_engine("tensorrt", tensorrt=empty, live=True, may_build=False)
    assert list(tmp_path.rglob("*")) == []
    for may_build in (True, False):
        selection = open_engine("tensorrt", tensorrt=empty, live=True, may_build=may_build)
        assert selection.engine.info.name == "tensorrt"
        selection.engine.close()


def test_a_named_tensorrt_that_cannot_run_is_an_error(gpu: FakeGpu) -> None:
    absent = TensorRtOptions(gpu.interpreter(FAKE_CUDA="absent"), cache_dir="")
    with pytest.raises(EngineError, match="no CUDA-capable device"):
        open_engine("tensorrt", tensorrt=absent)
    selection = open_engine("auto", tensorrt=absent)
    assert selection.engine.info.name == "onnx"
    assert "no CUDA-capable device" in selection.why


def toml(gpu: FakeGpu, folder: Path) -> str:
    path = folder / "hrd.toml"
    path.write_text(
        f"[engine.tensorrt]\npython = '{gpu.python}'\ncache_dir = '{gpu.folder / 'cache'}'\n"
        "deadline_s = 1.5\n"
    )
    return str(path)


@pytest.mark.slow
def test_the_daemon_loses_its_worker_and_gets_it_back(gpu: FakeGpu, tmp_path: Path) -> None:
    source = "sim:bpm=72,seed=5,size=320x240"
    argv = ["--source", source, "--config", toml(gpu, tmp_path), "--engine", "tensorrt"]
    for daemon in running(tmp_path, *argv):
        with daemon.client() as client:

            def engine() -> Dict[str, object]:
                status: Dict[str, Dict[str, object]] = client.status()
                return status["engine"]

            wait_until(lambda: engine()["name"] == "tensorrt")
            assert engine()["provider"] == "cuda fp16"
            gpu.fault("crash")  # and it goes on crashing
            wait_until(lambda: engine()["name"] == "onnx")
            assert "SIGSEGV" in str(engine()["reason"])
            assert int(str(engine()["fallbacks"])) >= 1
            gpu.fault("")
            wait_until(lambda: engine()["name"] == "tensorrt")
        assert daemon.stop() == 0


def wait_until(done: Callable[[], bool], limit_s: float = 60.0) -> None:
    eventually(done, "what was waited for", limit_s)


# The commands.


def test_build_engine_and_measure_as_a_user(
    gpu: FakeGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", toml(gpu, tmp_path), "--cache-dir", str(tmp_path / "cache")]
    assert main(["build-engine", *config, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["model"] == "student"
    assert row["precision"] == "fp16"
    assert row["parity"] < 1e-2
    assert row["origin"].startswith("built now, kept in")
    assert main(["build-engine", *config]) == 0
    out = capsys.readouterr().out
    assert "read from" in out
    assert "Fake Tegra X1" in out
    assert main(["build-engine", "--config", toml(gpu, tmp_path), "--python", "/nowhere"]) == 1
    assert "cannot be started" in capsys.readouterr().err


def test_measure_names_the_engine(
    gpu: FakeGpu, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_tensorrt("student", settings(gpu)).close()
    argv = ["measure", "sim:bpm=72,seconds=9,size=320x240,seed=3", "--json"]
    assert main([*argv, "--engine", "tensorrt", "--config", toml(gpu, tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["engine"] == "tensorrt"
    assert result["model"] == "student"
