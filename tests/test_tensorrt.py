"""The TensorRT engine: a real child process, with a stand-in for the GPU (tests/fake_gpu)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator, List, Optional

import numpy as np
import pytest

from hrd.bench.models import ModelTiming
from hrd.bench.report import _model_json
from hrd.bench.timing import percentiles
from hrd.engine.base import EngineError
from hrd.engine.card import model_path
from hrd.engine.interpreters import candidates
from hrd.engine.onnx import OnnxEngine
from hrd.engine.options import TensorRtOptions
from hrd.engine.process import WorkerFailure, WorkerProcess
from hrd.engine.tensorrt import TensorRtEngine
from hrd.engine.tensorrt_check import diagnose
from hrd.engine.tensorrt_open import NotBuiltError, open_tensorrt, relative_difference
from hrd.engine.worker import framing
from hrd.errors import Kind
from tests.gpu_help import FakeGpu, python36, script

FRAMES = np.random.default_rng(0).standard_normal((130, 3, 36, 36)).astype(np.float32)


@pytest.fixture
def gpu(module_gpu: FakeGpu) -> FakeGpu:
    module_gpu.fault("")
    module_gpu.server.fp16_error = 1e-4
    return module_gpu


def settings(
    gpu: FakeGpu, cache: Path, python: Optional[str] = None, precision: str = "auto"
) -> TensorRtOptions:
    """A deadline that a busy machine keeps as well."""
    return TensorRtOptions(python or gpu.python, precision, str(cache), deadline_s=30.0)


@pytest.fixture
def options(gpu: FakeGpu) -> TensorRtOptions:
    """With a cache that all tests of this file share: the engine is built once."""
    return settings(gpu, gpu.folder / "cache")


@pytest.fixture
def engine(options: TensorRtOptions) -> Iterator[TensorRtEngine]:
    engine = open_tensorrt("student", options)
    yield engine
    engine.close()


def worker(python: str) -> WorkerProcess:
    return WorkerProcess(python)


# The whole way, under every interface of TensorRT and the oldest Python.


@pytest.mark.parametrize(
    ("api", "old_python"),
    [("8.2", True), ("8.6", True), ("8.2", False), ("10", False)],
    ids=["8.2-py36", "8.6-py36", "8.2", "10"],
)
def test_it_computes_what_onnx_runtime_computes_in_chunks_of_any_length(
    gpu: FakeGpu, tmp_path: Path, api: str, old_python: bool
) -> None:
    real = python36() if old_python else sys.executable
    if real is None:
        pytest.skip("no Python 3.6 here (JetPack 4.6's)")
    options = settings(gpu, tmp_path, gpu.interpreter(api, real), "fp32")
    said: List[str] = []
    engine = open_tensorrt("student", options, on_progress=lambda s, note: said.append(note))
    try:
        assert engine.facts.device.tensorrt.startswith(api)
        assert engine.facts.device.python_version.startswith("3.6." if old_python else "3.")
        assert engine.facts.precision == "fp32"
        assert engine.facts.parity < 1e-6
        reference = OnnxEngine("student")
        wanted = reference.infer(FRAMES)
        parts = [FRAMES[a:b] for a, b in [(0, 30), (30, 31), (31, 38), (38, 130)]]
        for _ in range(2):  # the second time from zero again
            found = np.concatenate([engine.infer(part) for part in parts])
            np.testing.assert_allclose(found, wanted, atol=1e-5)
            engine.reset()
    finally:
        engine.close()
    assert engine.info.name == "tensorrt"
    assert engine.info.provider == "cuda fp32"
    assert engine.delay_frames == reference.delay_frames


def test_libraries_may_print_on_standard_output(engine: TensorRtEngine) -> None:
    assert len(engine.infer(FRAMES[:30])) == 30  # the stand-in prints when it is imported


def test_fp16_that_is_not_exact_enough_becomes_fp32(
    gpu: FakeGpu, options: TensorRtOptions, tmp_path: Path
) -> None:
    gpu.server.fp16_error = 0.03
    auto = settings(gpu, tmp_path)
    engine = open_tensorrt("student", auto)
    engine.close()
    assert engine.facts.precision == "fp32"
    runs = gpu.server.runs
    engine = open_tensorrt("student", auto, may_build=False)  # FP16 is not tried again
    engine.close()
    assert engine.facts.precision == "fp32"
    assert gpu.server.runs - runs < 20
    with pytest.raises(EngineError, match=r"differs .* by 3\.0e-02"):
        open_tensorrt("student", settings(gpu, tmp_path, precision="fp16"))


def test_a_gpu_without_fast_fp16_gets_fp32(gpu: FakeGpu, tmp_path: Path) -> None:
    python = gpu.interpreter("8.2", FAKE_FP16="no")
    engine = open_tensorrt("student", settings(gpu, tmp_path, python))
    engine.close()
    assert engine.facts.precision == "fp32"


def test_relative_difference() -> None:
    assert relative_difference(np.array([1.0, 2.2]), np.array([1.0, 2.0])) == pytest.approx(0.1)
    assert relative_difference(np.array([np.nan]), np.array([1.0])) == float("inf")
    assert relative_difference(np.zeros(2), np.zeros(3)) == float("inf")
    assert relative_difference(np.zeros(0), np.zeros(0)) == 0.0


# What can go wrong with the child.


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("exit", "exited with code 3 .*fallen off the bus"),
        ("crash", "killed by SIGSEGV"),
        ("nan", "not numbers"),
        ("garbage", "nonsense"),
        ("refuse", "some dimension is not set"),
        ("memory", "out of memory"),
    ],
)
def test_a_fault_is_one_sentence(
    engine: TensorRtEngine, gpu: FakeGpu, fault: str, said: str
) -> None:
    engine.infer(FRAMES[:30])
    gpu.fault(fault)
    with pytest.raises(WorkerFailure, match=said) as caught:
        engine.infer(FRAMES[:30])
    assert "\n" not in str(caught.value)


def test_kill_9(engine: TensorRtEngine) -> None:
    engine.infer(FRAMES[:30])
    os.kill(engine.worker_pid, signal.SIGKILL)
    with pytest.raises(WorkerFailure, match="killed by SIGKILL, perhaps for lack of memory"):
        engine.infer(FRAMES[:30])
    with pytest.raises(WorkerFailure):  # and it stays dead
        engine.infer(FRAMES[:30])


def test_a_hang_ends_at_the_deadline_and_the_worker_with_it(
    gpu: FakeGpu, options: TensorRtOptions
) -> None:
    engine = open_tensorrt("student", options)
    engine.infer(FRAMES[:30])
    engine.deadline_s = 0.3
    gpu.fault("hang")
    with pytest.raises(WorkerFailure, match=r"not answered within 0\.3 s"):
        engine.infer(FRAMES[:30])
    with pytest.raises(ProcessLookupError):
        os.kill(engine.worker_pid, 0)
    engine.close()


def test_a_stopped_worker_that_does_not_even_read(engine: TensorRtEngine) -> None:
    engine.infer(FRAMES[:30])
    engine.deadline_s = 0.3
    os.kill(engine.worker_pid, signal.SIGSTOP)  # the pipe fills: writing must time out as well
    with pytest.raises(WorkerFailure, match="not answered"):
        engine.infer(FRAMES)


def test_an_answer_from_another_version(tmp_path: Path) -> None:
    newer = framing.encode(framing.HELLO, 0, {"python": "3.99", "tensorrt": "99"})
    newer = newer[:4] + bytes([framing.PROTOCOL + 1]) + newer[5:]
    octal = "".join(f"\\{byte:03o}" for byte in newer)
    with pytest.raises(WorkerFailure, match="another version of the protocol"):
        worker(script(tmp_path, f"printf '{octal}'; sleep 60"))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("echo hello; exec sleep 60", "nonsense: b'hello"),
        ("exit 7", "exited with code 7"),
        ("echo no such thing >&2; exit 1", "exited with code 1 .*no such thing"),
        ("head -c 100000 /dev/zero; exec sleep 60", "nonsense"),
    ],
)
def test_an_interpreter_that_is_none(tmp_path: Path, program: str, said: str) -> None:
    with pytest.raises(WorkerFailure, match=said):
        worker(script(tmp_path, program))


def test_an_interpreter_that_is_not_there() -> None:
    with pytest.raises(WorkerFailure, match="cannot be started") as caught:
        worker("/nowhere/python3")
    assert caught.value.kind is Kind.ABSENT


def test_requests_that_make_no_sense_are_answered(gpu: FakeGpu) -> None:
    child = worker(gpu.python)
    try:
        with pytest.raises(WorkerFailure, match="no such request: 77"):
            child.ask(77, {}, b"", framing.RESULT, 10.0, "nothing")
        with pytest.raises(WorkerFailure, match="no engine is loaded"):
            child.ask(framing.RUN, {"frames": 1, "reset": True}, b"", framing.RESULT, 10.0, "")
        with pytest.raises(WorkerFailure, match="Magic tag mismatch") as caught:
            child.ask(framing.LOAD, {"chunk": 30}, b"nonsense", framing.LOADED, 10.0, "")
        assert caught.value.kind is Kind.ENGINE
        # and it still works
        assert child.ask(framing.PROBE, {}, b"", framing.DEVICE, 10.0, "").fields["name"]
    finally:
        child.close()


def test_the_worker_ends_with_its_standard_input() -> None:
    here = Path(framing.__file__).parent
    child = subprocess.Popen(
        [sys.executable, str(here)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(30) == 0
    assert child.stdout is not None
    (hello,) = framing.Decoder().feed(child.stdout.read())
    child.stdout.close()
    assert hello.kind == framing.HELLO


# Looking for TensorRT and a GPU.


def test_without_tensorrt_or_a_gpu_it_is_absent_and_says_so(gpu: FakeGpu, tmp_path: Path) -> None:
    plain = script(tmp_path, f'unset PYTHONPATH; exec {sys.executable} "$@"')
    cases = [
        (plain, r"no Python here has tensorrt \(tried: .*\(Python 3"),
        (gpu.interpreter(FAKE_CUDA="absent"), "no CUDA-capable device"),
    ]
    for python, said in cases:
        with pytest.raises(WorkerFailure, match=said) as caught:
            open_tensorrt("student", TensorRtOptions(python, cache_dir=""))
        assert caught.value.kind is Kind.ABSENT
        (finding,) = diagnose(TensorRtOptions(python, cache_dir=""))
        assert not finding.ok
        assert finding.remedy


def test_cuda_is_tried_before_tensorrt_is_touched(gpu: FakeGpu) -> None:
    # the stand-in's Builder and Runtime crash without CUDA, as TensorRT 8.6 does
    child = worker(gpu.interpreter(FAKE_CUDA="absent"))
    try:
        with pytest.raises(WorkerFailure, match="no CUDA-capable device"):
            child.ask(framing.LOAD, {"chunk": 30}, b"x", framing.LOADED, 10.0, "")
        with pytest.raises(WorkerFailure, match="no CUDA-capable device"):
            child.ask(framing.BUILD, {"timing_bytes": 0}, b"x", framing.BUILT, 10.0, "")
    finally:
        child.close()


def test_a_crash_of_cuda_is_not_ours(gpu: FakeGpu) -> None:
    with pytest.raises(WorkerFailure, match="killed by SIGSEGV"):
        open_tensorrt("student", TensorRtOptions(gpu.interpreter(FAKE_CUDA="crash"), cache_dir=""))


def test_the_interpreters_to_try(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert candidates("/opt/python") == ["/opt/python"]
    assert candidates("bin/python") == [os.path.abspath("bin/python")]  # workers start in /
    assert candidates("sh") == [shutil.which("sh")]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert sys.executable not in candidates()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert candidates()[0] == sys.executable
    assert len(set(candidates())) == len(candidates())
    made = tmp_path / "tensorrt" / "bin" / "python"  # by scripts/install-jetson.sh
    made.parent.mkdir(parents=True)
    made.touch(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert candidates()[1] == str(made)


def test_what_doctor_is_told(gpu: FakeGpu, options: TensorRtOptions, tmp_path: Path) -> None:
    open_tensorrt("student", options).close()
    first, second = diagnose(options)
    assert first.ok
    assert "Fake Tegra X1" in first.text
    assert second.ok
    assert "student: engine read from" in second.text
    empty = TensorRtOptions(gpu.python, cache_dir=str(tmp_path / "none"))
    _, missing = diagnose(empty)
    assert not missing.ok
    assert missing.remedy == "hrd build-engine --model student"


def test_the_bench_has_a_row_of_it(engine: TensorRtEngine) -> None:
    timing = percentiles([0.001, 0.002, 0.003])
    row = ModelTiming("student", "tensorrt", "cuda fp16", 1, 2, 30, timing, timing, engine.facts)
    found = _model_json(row)
    assert found["s_per_frame"] == pytest.approx(0.002 / 30, rel=0.01)
    assert found["chunk_ms"]["p99_ms"] == pytest.approx(2.98)
    assert found["tensorrt"]["gpu"] == "Fake Tegra X1"
    assert found["tensorrt"]["parity"] == pytest.approx(1e-4, rel=0.1)
    assert set(found["tensorrt"]) >= {"version", "precision", "build_s", "gpu_mb"}


# Building.


def test_a_build_that_runs_out_of_memory_or_crashes(gpu: FakeGpu, tmp_path: Path) -> None:
    options = settings(gpu, tmp_path)
    gpu.fault("build_memory")
    with pytest.raises(WorkerFailure, match="out of memory") as caught:
        open_tensorrt("student", options)
    assert caught.value.kind is Kind.MEMORY
    gpu.fault("build_crash")
    with pytest.raises(WorkerFailure, match="killed by SIGSEGV"):
        open_tensorrt("student", options)
    assert not list(tmp_path.glob("*.engine"))


def test_a_model_that_tensorrt_cannot_read(gpu: FakeGpu) -> None:
    child = worker(gpu.python)
    request = {"precision": "fp32", "workspace_mb": 1, "chunk": 30, "timing_bytes": 0}
    try:
        with pytest.raises(WorkerFailure, match="TensorRT cannot read the model"):
            child.ask(framing.BUILD, request, b"no onnx", framing.BUILT, 20.0, "")
    finally:
        child.close()


def test_a_build_tells_its_progress_and_can_be_stopped(gpu: FakeGpu, tmp_path: Path) -> None:
    gpu.fault("build_slow")
    stop = threading.Event()
    said: List[float] = []

    def on_progress(seconds: float, note: str) -> None:
        said.append(seconds)
        stop.set()

    options = settings(gpu, tmp_path)
    with pytest.raises(WorkerFailure, match="told to stop"):
        open_tensorrt("student", options, stop=stop, on_progress=on_progress)
    assert said


def test_without_leave_to_build_it_says_how(gpu: FakeGpu, tmp_path: Path) -> None:
    options = settings(gpu, tmp_path)
    with pytest.raises(NotBuiltError, match="not built yet.*hrd build-engine"):
        open_tensorrt("student", options, may_build=False)


# The cache, with engines that are really loaded (test_tensorrt_cache.py has the file's cases).


def test_a_damaged_engine_is_built_anew(gpu: FakeGpu, tmp_path: Path) -> None:
    mine = settings(gpu, tmp_path)
    open_tensorrt("student", mine).close()
    (path,) = tmp_path.glob("student*.engine")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    for damaged in (b"", whole[:-9], b"x" * 999, flipped):
        path.write_bytes(damaged)
        with pytest.raises(NotBuiltError, match="is not used"):
            open_tensorrt("student", mine, may_build=False)
    engine = open_tensorrt("student", mine)
    engine.close()
    assert engine.facts.origin.startswith("built now")
    engine = open_tensorrt("student", mine, may_build=False)
    engine.close()
    assert engine.facts.origin.startswith("read from")


def test_an_engine_that_crashes_at_load_gets_no_second_chance(gpu: FakeGpu, tmp_path: Path) -> None:
    options = settings(gpu, tmp_path)
    open_tensorrt("student", options).close()
    gpu.fault("load_crash")
    with pytest.raises(NotBuiltError, match="could not be used"):
        open_tensorrt("student", options, may_build=False)
    assert not list(tmp_path.glob("student*.engine"))


def test_another_tensorrt_another_model_and_another_chunk_have_engines_of_their_own(
    gpu: FakeGpu, options: TensorRtOptions, tmp_path: Path
) -> None:
    mine = settings(gpu, tmp_path)
    open_tensorrt("student", mine).close()
    newer = settings(gpu, tmp_path, gpu.interpreter("8.6", FAKE_TRT_VERSION="8.6.2"))
    changed = tmp_path / "student.onnx"
    changed.write_bytes(model_path("student").read_bytes() + b"\x72\x00")  # an empty metadata entry
    for model, options_, chunk in (
        ("student", newer, 30),
        ("student", mine, 15),
        (str(changed), mine, 30),
    ):
        with pytest.raises(NotBuiltError):
            open_tensorrt(model, options_, chunk, may_build=False)
    open_tensorrt("student", mine, may_build=False).close()


def test_a_folder_that_cannot_be_written_is_done_without(
    gpu: FakeGpu, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    options = TensorRtOptions(gpu.python, cache_dir=str(blocked / "cache"))
    engine = open_tensorrt("student", options)
    assert len(engine.infer(FRAMES[:30])) == 30
    engine.close()
    assert "not kept" in engine.facts.origin
    assert "cannot be written" in caplog.text


def test_the_timing_cache_is_kept_and_used(gpu: FakeGpu, tmp_path: Path) -> None:
    options = settings(gpu, tmp_path)
    open_tensorrt("student", options).close()
    (timing,) = tmp_path.glob("*.timing")
    before = timing.stat().st_mtime_ns
    open_tensorrt("student", options, rebuild=True).close()
    assert timing.stat().st_mtime_ns > before
    timing.write_bytes(b"x")  # a broken one is no reason to fail
    open_tensorrt("student", options, rebuild=True).close()
    assert timing.stat().st_size > 100
