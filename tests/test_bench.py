from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from hrd.bench.clip import write_clip
from hrd.bench.live import ALL_STAGES
from hrd.bench.timing import percentiles, significant
from hrd.cli.main import main


def test_percentiles_and_rounding() -> None:
    result = percentiles([i / 1000 for i in range(1, 101)])
    assert result.p50_ms == pytest.approx(50.5)
    assert result.p99_ms == pytest.approx(99.01)
    assert percentiles([]).count == 0
    assert significant(0.00012345) == 0.000123
    assert significant(0.0) == 0.0


def test_the_json_holds_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    source = "sim:seconds=3,size=320x240,seed=2"
    assert main(["bench", "--json", "--seconds", "0.1", "--source", source]) == 0
    result = json.loads(capsys.readouterr().out)
    models = {model["name"]: model for model in result["models"] if model["provider"] != "cuda"}
    assert set(models) == {"student", "teacher", "pos"}
    for model in models.values():
        assert model["s_per_frame"] == pytest.approx(
            model["s_per_chunk"] / model["chunk_frames"], rel=0.02
        )
    assert models["student"]["params"] == 24_769
    assert models["student"]["macs_per_frame"] > 100_000
    assert "params" not in models["pos"]
    assert result["ratio_teacher_student"] == pytest.approx(
        models["teacher"]["s_per_frame"] / models["student"]["s_per_frame"], rel=0.02
    )
    assert result["paper"]["teacher"] == {"params": 795_811, "s_per_frame": 0.5}
    pipeline = result["pipeline"]
    assert pipeline["frames"] == 90
    assert pipeline["fps_sustained"] == pytest.approx(1 / pipeline["s_per_frame"], rel=0.02)
    assert {"cpu_cores_at_30fps", "rss_mb", "peak_rss_mb"} <= set(pipeline)
    assert [stage["name"] for stage in pipeline["stages"]] == list(ALL_STAGES)
    for stage in pipeline["stages"]:
        assert 0 < stage["p50_ms"] <= stage["p95_ms"] <= stage["p99_ms"]
    assert result["device"]["cores"] >= 1


def test_the_drawn_clip_is_what_a_webcam_delivers(tmp_path: Path) -> None:
    path = tmp_path / "face.avi"
    write_clip(str(path), 0.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "mjpeg"
        assert (stream.codec_context.width, stream.codec_context.height) == (640, 480)
        assert sum(1 for _ in container.decode(video=0)) == 15
