"""`eval identity`, with a cheap network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_fixtures import Evaluate
from PIL import Image


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """Two still videos of 24 frames; in `b` the person is another one from the middle on."""
    people = np.random.default_rng(0).integers(0, 256, size=(2, 16, 16, 3), dtype=np.uint8)
    for name, swap in (("a", 24), ("b", 12)):
        folder = tmp_path / "swapped" / name
        folder.mkdir(parents=True)
        for k in range(24):
            Image.fromarray(people[int(k >= swap)]).save(folder / f"{k:02}.png")
    return tmp_path / "swapped"


def test_identity_names_the_video_that_changes(
    evaluate: Evaluate,
    straw: None,
    swapped: Path,
    frames: Path,
) -> None:
    options = ["identity", "--fake", str(swapped), "--real", str(frames), "--frames", "12"]
    code, out, _ = evaluate(*options, "--clips", "5", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["sides"]["fake"]["identity"]["acd"]["mean"] == pytest.approx(0, abs=1e-6)
    assert report["ratio"]["mean_to_first"] > 1 and report["sides"]["real"]["used"] == 5
    assert any("not known" in warning for warning in report["warnings"])
    options = ["identity", "--fake", str(swapped), "--frames", "24"]
    code, out, _ = evaluate(*options, "--json")
    report = json.loads(out)
    assert code == 0 and report["metric"] == "identity-straw" and "ratio" not in report
    side = report["sides"]["fake"]
    assert [Path(one["video"]).name for one in side["worst"]] == ["b", "a"]
    assert [Path(one["video"]).name for one in side["best"]] == ["a", "b"]
    (_, changing) = side["per_video"]
    assert np.argmin(changing["to_previous"]) == 11 and len(side["curve"]["to_first"]) == 23
    assert side["identity"]["mean_to_first"]["sd"] > 0
    code, out, err = evaluate(*options)
    assert code == 0 and "█" in out and "▁" in out and "worst" in out
    assert "not known" in err
