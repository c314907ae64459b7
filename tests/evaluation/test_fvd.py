"""`eval fvd`, with a cheap network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_fixtures import Evaluate


def test_fvd_of_a_model_states_protocol_floor_and_warnings(
    evaluate: Evaluate, frames: Path, tiny_model: Path
) -> None:
    options = ["--fake", f"model:{tiny_model}?seeds=0-17", "--real", str(frames)]
    options += ["--clips", "16", "--frames", "9", "--controls"]
    code, out, err = evaluate("fvd", *options, "--json")
    assert code == 0
    report: dict[str, Any] = json.loads(out)
    assert report["protocol"] == "fvd16_9f" and report["metric"] == "fvd"
    assert (report["num_fake"], report["num_real"]) == (16, 16)
    assert report["fvd"] > 0 and report["floor_clips"] == 16
    assert set(report["controls"]) == {"frozen", "shuffled"}
    # Frames are noise, one as good as another: mixed clips are as far off as others, not nearer.
    assert report["controls"]["shuffled"] == pytest.approx(report["floor"], rel=0.2)
    assert report["sides"]["real"]["used"] == 32 and report["sides"]["fake"]["codec"] == "none"
    code, out, err = evaluate("fvd", *options)
    assert code == 0 and out.startswith("FVD") and "16 clips are few" in err
    assert f"{report['fvd']:.2f}" in out  # the same number again
