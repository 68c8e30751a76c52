"""Training by several processes: together they do what one does with their clips."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.needs import needs

torch = needs("torch")

from hrd.train.data import BatchStream  # noqa: E402
from tests.ranks_help import BATCH_CLIPS, CONFIG, STEPS, STORE, gradients  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def stream(clips: int, rank: int, ranks: int) -> BatchStream:
    lengths, how = CONFIG.lengths_frames, CONFIG.augmentation
    return BatchStream(STORE, clips, lengths, how, CONFIG.data_seed, rank, ranks)


def test_two_processes_share_the_batch_of_one():
    """To the bit, with all augmentation."""
    whole = stream(BATCH_CLIPS, 0, 1)
    halves = [stream(BATCH_CLIPS // 2, rank, 2) for rank in range(2)]
    for step in range(5):
        one, parts = whole[step], [half[step] for half in halves]
        for name in ("frames", "bvp", "bpm", "has_pulse"):
            together = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(together, getattr(one, name)), name


def test_two_processes_find_the_gradient_of_one(tmp_path):
    """Of reference and teacher alike, so that weights stay together step by step."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    # --standalone, but without the name localhost, which a bare system does not know
    here = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    command = [*launch, *here, "-m", "tests.ranks_help", str(tmp_path / "two")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    two = torch.load(tmp_path / "two")
    one = gradients(str(tmp_path / "one"))
    assert len(one) == len(two) == STEPS
    for step, (mine, theirs) in enumerate(zip(one, two)):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            size = float(value.abs().max())
            assert size > 0.0 or name.endswith("bias"), (step, name)
            apart = float((value - theirs[name]).abs().max())
            assert apart <= 1e-3 * max(size, 1e-3), (step, name, apart, size)
    assert np.isfinite([float(value.abs().max()) for value in one[-1].values()]).all()
