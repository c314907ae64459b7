"""`eval diversity`, with a cheap distance."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation_fixtures import Evaluate


def test_diversity_of_people_and_of_motions(
    evaluate: Evaluate,
    straw: None,
    frames: Path,
    tiny_model: Path,
) -> None:
    options = ["diversity", "--real", str(frames), "--frames", "3", "--clips", "12"]
    options += ["--pairs", "7", "--detector", str(tiny_model)]
    model = f"model:{tiny_model}?seeds=0-2&motion_seeds=5-8"
    code, out, _ = evaluate(*options, "--fake", model, "--json")
    assert code == 0
    report = json.loads(out)
    fake, real = (report["sides"][side]["diversity"] for side in ("fake", "real"))
    assert all(numbers["num_pairs"] == 7 for numbers in fake.values())
    assert fake["people_first_frames"]["mean"] > 0 and fake["motions_same_index"]["mean"] > 0
    assert real["motions_same_index"] is None and real["people_same_index"]["num_pairs"] == 7
    per_video = report["sides"]["fake"]["per_video"]
    assert per_video[5]["video"] == "seed 1 motion 6" and len(per_video) == 12
    assert any("nobody is there twice" in warning for warning in report["warnings"])
    code, out, _ = evaluate(*options, "--fake", f"model:{tiny_model}?seeds=0-2")
    assert code == 0 and out.startswith("diversity-straw") and "(3)" in out  # two motions of each
