"""`eval recomposition`, on people rendered here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_fixtures import Evaluate
from model_provenance import copy_with_provenance, trained_on_these_faces
from tiny import TINY_RESOLUTION_PX

from stylefacev_cli.evaluation import rendered_pairs
from stylefacev_cli.evaluation.recomposition import worst_and_best
from stylefacev_cli.faces.assets import LOOK_ENTRY
from stylefacev_cli.faces.dataset import RECIPE
from stylefacev_cli.pipeline import load_model
from stylefacev_cli.weights.manifest import read_manifest

pytestmark = pytest.mark.render


def test_the_default_model_through_the_door(evaluate_renders: Evaluate) -> None:
    options = ["recomposition", "--pairs", "4", "--perceptual", "none", "--threads", "1"]
    code, out, err = evaluate_renders(*options, "--json")
    assert (code, err) == (0, "")
    report: dict[str, Any] = json.loads(out)
    assert report["metric"] == "recomposition" and report["num_pairs"] == 4
    assert report["protocol"] == f"recomposition_unaligned_faces{RECIPE}_procedural_128px_4_seed0"
    manifest = read_manifest("default-128")
    assert report["model"] == {"name": "default-128", "sha256": manifest.sha256}
    assert report["networks"]["detector"]["sha256"] == manifest.files["detector"].sha256
    assert report["networks"]["perceptual"] is None
    assert (report["framing"], report["look"]) == ("unaligned", "procedural")  # as it learnt them
    assert "earlier renderer" in report["left_out"]["generator"]
    rows = {name: row["face_psnr"]["mean"] for name, row in report["rows"].items()}
    assert rows["truth"] > 100 > rows["recomposed"] > rows["copy"] + 2
    assert rows["recomposed"] > rows["constant"] + 2
    points = {name: row["points"]["mean"] for name, row in report["rows"].items()}
    assert points["truth"] < points["recomposed"] < points["copy"] / 2
    assert report["points_to_detector"] == points["recomposed"] / points["truth"]

    assert [pair["pair"] for pair in report["per_pair"]] == [0, 1, 2, 3]
    mean = np.mean([pair["recomposed"]["psnr"] for pair in report["per_pair"]])
    assert mean == pytest.approx(report["rows"]["recomposed"]["psnr"]["mean"])
    worst, best = worst_and_best(report, 4)
    assert worst == best[::-1] and sorted(worst) == [0, 1, 2, 3]
    by_points = worst_and_best(report, 1, by="points")[0][0]
    assert report["per_pair"][by_points]["recomposed"]["points"] >= points["recomposed"]

    code, out, err = evaluate_renders(*options)
    assert code == 0 and out.startswith("RECOMPOSITION   default-128") and "4 pairs are few" in err
    assert f"{report['rows']['recomposed']['psnr']['mean']:.2f} ±" in out  # the same number again


def test_a_generator_of_earlier_faces_is_not_asked(evaluate_renders: Evaluate) -> None:
    code, out, _ = evaluate_renders(
        "recomposition", "--model", "default-64", "--pairs", "2", "--perceptual", "none", "--json"
    )
    report = json.loads(out)
    reason = report["left_out"]["generator"]
    assert code == 0 and "earlier renderer" in reason and reason in report["warnings"]
    assert "generator" not in report["rows"]


def test_a_generator_trained_on_these_faces_is_asked(
    evaluate_renders: Evaluate, tmp_path: Path
) -> None:
    original, provenance = read_manifest("default-128"), dict(trained_on_these_faces().provenance)
    model = copy_with_provenance(
        original.folder, tmp_path / "model", provenance | {"recipe": RECIPE}
    )
    code, out, _ = evaluate_renders(
        "recomposition", "--model", str(model), "--pairs", "2", "--perceptual", "none", "--json"
    )
    report = json.loads(out)
    assert code == 0 and report["left_out"] == {}
    assert report["protocol"].startswith(f"recomposition_canonical_faces{RECIPE}_procedural_")
    psnr = [pair["generator"]["psnr"] for pair in report["per_pair"]]
    assert np.mean(psnr) == report["rows"]["generator"]["psnr"]["mean"]
    people = rendered_pairs.RenderedPairs(rendered_pairs.PairRule(2), report["resolution"])
    pair = people.pair(0, load_model(model, device="cpu"))
    assert pair.generated is not None
    error = np.square((pair.generated.astype(float) - pair.truth) / 255).mean()
    assert psnr[0] == pytest.approx(-10 * np.log10(error), abs=0.01)


def test_a_generator_of_other_latents_has_no_ceiling(
    evaluate_renders: Evaluate, tiny_model: Path
) -> None:
    code, out, _ = evaluate_renders(
        "recomposition", "--model", str(tiny_model), "--pairs", "2", "--perceptual", "none",
        "--json", "--seed", "3", "--framing", "wide",
    )  # fmt: skip
    assert code == 0
    report = json.loads(out)
    assert "generator" not in report["rows"] and "24 latents" in report["left_out"]["generator"]
    assert (
        report["protocol"]
        == f"recomposition_wide_faces{RECIPE}_procedural_{TINY_RESOLUTION_PX}px_2_seed3"
    )


def test_a_photographic_model_is_measured_on_photographic_faces(
    evaluate_renders: Evaluate, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    model = copy_with_provenance(tiny_model, tmp_path / "model", {"look": "photographic"})
    options = ["--model", str(model), "--pairs", "2", "--perceptual", "none"]
    code, out, err = evaluate_renders("recomposition", *options)
    assert (code, out) == (3, "") and LOOK_ENTRY in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--pairs", "1"], 2, "greater than or equal to 2"),
        (["--seed", "-1"], 2, "greater than or equal to 0"),
        (["--framing", "narrow"], 2, "canonical, unaligned, wide"),
        (["--framing", ""], 2, "canonical, unaligned, wide"),
        (["--look", "painted"], 2, "photographic or procedural"),
        (["--look", ""], 2, "photographic or procedural"),
        (["--model", "nobody"], 3, "unknown model"),
        (["--perceptual", "lpips"], 2, "not one of"),
    ],
)
def test_bad_input_gets_one_line(
    evaluate_renders: Evaluate, options: list[str], code: int, message: str
) -> None:
    returned, out, err = evaluate_renders("recomposition", *options)
    assert (returned, out) == (code, "") and message in err and err.count("\n") == 1
