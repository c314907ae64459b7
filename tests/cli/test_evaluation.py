"""`stylefacev eval` at the shell's door, with the tiny model and networks of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_fixtures import Evaluate

from stylefacev_cli.metrics import feature_networks
from stylefacev_cli.metrics.fid import FeatureNetwork


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


def test_motion_of_a_model(evaluate: Evaluate, frames: Path, tiny_model: Path) -> None:
    code, out, _ = evaluate(
        "motion", "--fake", f"model:{tiny_model}?seeds=0-1", "--real", str(frames), "--json",
        "--frames", "9", "--clips", "2", "--fps", "20", "--detector", str(tiny_model),
    )  # fmt: skip
    assert code == 0
    sides = json.loads(out)["sides"]
    assert sides["fake"]["used"] == sides["real"]["used"] == 2 and sides["real"]["fps"] == 20
    assert set(sides["fake"]["motion"]) == {"speed", "jitter", "range", "mouth", "blinks", "drift"}


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


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fvd", "--fake", "no", "--real", "no"], 5, "no such folder: no"),
        (["fvd", "--fake", "no", "--real", "no", "--protocol", "fvd"], 2, "fvd2048_16f"),
        (["fvd", "--fake", "no", "--real", "no", "--frames", "4"], 2, "at least 9"),
        (["fvd", "--fake", "model:?steps=3", "--real", "no"], 2, "no setting 'steps'"),
        (["fvd", "--fake", "model:nobody", "--real", "no"], 3, "unknown model 'nobody'"),
        (["fid", "--fake", "no", "--real", "no", "--resize", "near"], 2, "no resize rule"),
        (["fid", "--fake", "no", "--real", "no", "--features", "vgg"], 2, "no feature network"),
        (["fid", "--fake", "no", "--real", "no"], 3, "inception"),
        (["motion", "--fake", "model:?seeds=9-1"], 2, "backwards"),
    ],
)
def test_bad_input_gets_one_line(
    evaluate: Evaluate, arguments: list[str], code: int, message: str
) -> None:
    found, out, err = evaluate(*arguments)
    assert (found, out) == (code, "")
    assert message in err and err.count("\n") == 1


def test_a_source_without_a_rate_needs_one(
    evaluate: Evaluate, frames: Path, tiny_model: Path
) -> None:
    code, _, err = evaluate(
        "motion", "--fake", str(frames), "--frames", "9", "--detector", str(tiny_model)
    )
    assert code == 2 and "--fps" in err
