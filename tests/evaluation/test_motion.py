"""`eval motion`, with the tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_fixtures import Evaluate


def test_motion_of_a_model(evaluate: Evaluate, frames: Path, tiny_model: Path) -> None:
    command = (
        "motion", "--fake", f"model:{tiny_model}?seeds=0-1", "--real", str(frames), "--json",
        "--frames", "9", "--clips", "2", "--fps", "16", "--detector", str(tiny_model),
    )  # fmt: skip
    code, _, err = evaluate(*command)
    assert code == 2 and "fake has 12 frames a second, real has 16" in err and "--resample" in err
    code, out, _ = evaluate(*command, "--resample")
    assert code == 0
    report = json.loads(out)
    assert report["protocol"] == "motion2_9f_12fps" and report["resampled_fps"] == 12
    sides = report["sides"]
    assert sides["fake"]["fps"] == 12
    assert sides["fake"]["used"] == sides["real"]["used"] == 2 and sides["real"]["fps"] == 12
    assert set(sides["fake"]["motion"]) == {"speed", "jitter", "range", "mouth", "blinks", "drift"}


def test_motion_tells_of_each_video(evaluate: Evaluate, tiny_model: Path) -> None:
    code, out, _ = evaluate(
        "motion", "--fake", f"model:{tiny_model}?seeds=3,5&motion_seeds=1", "--frames", "9",
        "--detector", str(tiny_model), "--json",
    )  # fmt: skip
    report = json.loads(out)
    assert code == 0 and len(report["network_sha256"]) == 64
    side = report["sides"]["fake"]
    assert [one["video"] for one in side["per_video"]] == ["seed 3 motion 1", "seed 5 motion 1"]
    mean = np.mean([one["speed"] for one in side["per_video"]])
    assert side["motion"]["speed"] == pytest.approx(mean)


def test_a_source_without_a_rate_needs_one(
    evaluate: Evaluate, frames: Path, tiny_model: Path
) -> None:
    code, _, err = evaluate(
        "motion", "--fake", str(frames), "--frames", "9", "--detector", str(tiny_model)
    )
    assert code == 2 and "--fps" in err
