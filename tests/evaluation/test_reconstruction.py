"""`eval reconstruction`, on people rendered here and on images."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from evaluation_fixtures import Evaluate
from PIL import Image

from stylefacev_cli.errors import UsageError

pytestmark = pytest.mark.render


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the identity network: who has the same mean colour is the same person."""

    def face_network(name: str = "auto") -> Any:
        if name != "auto":
            raise UsageError(f"no identity network {name!r}")
        return SimpleNamespace(
            name="mean colour",
            sha256="0" * 64,
            embed=lambda images: images.mean(axis=(1, 2)).astype(np.float32) - 127.5,
        )

    module = ModuleType("face_networks")
    module.face_network = face_network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stylefacev_cli.metrics.face_networks", module)


@pytest.mark.usefixtures("colours")
def test_similarity_of_reconstruction_on_rendered_people(
    evaluate_renders: Evaluate, tiny_model: Path
) -> None:
    code, out, err = evaluate_renders("reconstruction", "--pairs", "4", "--threads", "1", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    means = {name: number["mean"] for name, number in report["similarities"].items()}
    assert set(means) == {"reconstruction", "kept", "leaked", "strangers", "same_person"}
    assert means["reconstruction"] > means["strangers"] and len(report["per_pair"]) == 4
    assert report["metric"] == "reconstruction-mean colour"
    assert report["network_sha256"] == "0" * 64
    code, out, _ = evaluate_renders("reconstruction", "--pairs", "4", "--threads", "1")
    assert code == 0 and f"{means['kept']:.3f} ±" in out and "mean colour" in out
    code, out, err = evaluate_renders("reconstruction", "--identity", "nobody")
    assert code == 2 and "no identity network" in err and err.count("\n") == 1


@pytest.mark.usefixtures("colours")
def test_similarity_of_reconstruction_on_photographs(
    evaluate_renders: Evaluate, tiny_model: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for i in range(3):
        color = random.integers(0, 256, (1, 1, 3), dtype=np.uint8)
        Image.fromarray(color.repeat(40, 0).repeat(40, 1)).save(tmp_path / f"{i}.png")
    options = ["reconstruction", "--model", str(tiny_model), "--real", str(tmp_path)]
    code, out, err = evaluate_renders(*options, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["num_pairs"] == 3 and report["source"]["used"] == 3
    assert "same_person" not in report["similarities"]
    assert "3 pairs instead of 64" in report["warnings"][0]
    Image.new("RGB", (40, 30)).save(tmp_path / "9.png")
    code, _, err = evaluate_renders(*options)
    assert code == 5 and "40 × 30 px; crop the faces to squares" in err
