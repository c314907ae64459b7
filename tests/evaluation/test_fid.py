"""`eval fid`, with cheap networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation_fixtures import Evaluate
from stylefacev_cli.weights.download.cache import path_of
from stylefacev_cli.weights.download.registry import find_entry

from stylefacev_cli.metrics import feature_networks
from stylefacev_cli.metrics.fid import FeatureNetwork


def test_fid_of_an_even_mix(
    evaluate: Evaluate, frames: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = FeatureNetwork("means", "", 8, lambda images: images.mean(dim=(2, 3)))
    monkeypatch.setattr(feature_networks, "image_network", lambda name: network)
    code, out, _ = evaluate(
        "fid", "--fake", str(frames), "--real", str(frames), "--real",
        f"model:{tiny_model}?seeds=0-19", "--images", "20", "--json",
    )  # fmt: skip
    assert code == 0
    report = json.loads(out)
    assert [part["used"] for part in report["sides"]["real"]] == [20, 20]
    assert report["fid"] > 0 and report["kid"]["mean"] and report["protocol"].endswith("clean_20")


def test_kid_has_its_floor(evaluate: Evaluate, straw: None, frames: Path, tiny_model: Path) -> None:
    options = ["--fake", f"model:{tiny_model}?seeds=0-15&frames=9", "--real", str(frames)]
    options += ["--images", "16"]
    report = json.loads(evaluate("fid", *options, "--json")[1])
    assert abs(report["kid_floor"]["mean"]) < report["kid"]["mean"]
    code, out, _ = evaluate("fid", *options)
    assert code == 0 and f"{report['kid_floor']['mean']:.5f} ±" in out


@pytest.mark.parametrize("is_here", [False, True])
def test_features_are_chosen_by_what_is_here(
    evaluate: Evaluate, straw: None, frames: Path, is_here: bool
) -> None:
    (file,) = find_entry("inception-2015").files
    if is_here:
        path_of(file).parent.mkdir(parents=True)
        path_of(file).touch()
    options = ["fid", "--fake", str(frames), "--real", str(frames), "--images", "16", "--json"]
    code, out, err = evaluate(*options)
    name = "inception-2015" if is_here else "efficientnet-lite0"
    assert code == 0 and json.loads(out)["protocol"] == f"{name}_clean_16"
    assert err.count("\n") == 1 and f"features are those of {name}" in err


def test_without_any_network_it_says_what_is_missing(evaluate: Evaluate, frames: Path) -> None:
    code, out, err = evaluate("fid", "--fake", str(frames), "--real", str(frames))
    assert (code, out) == (3, "") and "efficientnet" in err.splitlines()[-1]
