"""`stylefacev eval identity`, `diversity` and `kid` at the shell's door, with networks of straw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_fixtures import Evaluate
from PIL import Image

from stylefacev_cli.cli.charts import curve_line


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


def test_kid_comes_first_and_is_that_of_fid(
    evaluate: Evaluate,
    straw: None,
    frames: Path,
    tiny_model: Path,
) -> None:
    options = ["--fake", f"model:{tiny_model}?seeds=0-15&frames=9", "--real", str(frames)]
    options += ["--images", "16", "--json"]
    reports = [json.loads(evaluate(name, *options)[1]) for name in ("kid", "fid")]
    assert [report["metric"] for report in reports] == ["kid", "fid"]
    assert reports[0]["kid"] == reports[1]["kid"] and reports[0]["fid"] == reports[1]["fid"]
    assert abs(reports[0]["kid_floor"]["mean"]) < reports[0]["kid"]["mean"]
    code, out, _ = evaluate("kid", *options[:-1])
    assert code == 0 and out.startswith("KID")


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


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["identity", "--fake", "model:", "--features", "eyes"], 2, "no face network 'eyes'"),
        (["identity", "--fake", "model:", "--features", "dlib-face"], 3, "by hand"),
        (["identity", "--fake", "no"], 5, "no such folder: no"),
        (["diversity", "--fake", "model:?motion_seeds=3-1"], 2, "motion_seeds: 3-1 runs back"),
        (["diversity", "--fake", "model:?frames=4"], 2, "4 frames a video, but 16 are needed"),
        (["diversity", "--fake", "model:", "--features", "eyes"], 2, "no distance of pictures"),
        (["kid", "--fake", "no", "--real", "no"], 3, "inception"),
    ],
)
def test_bad_input_gets_one_line(
    evaluate: Evaluate,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    found, out, err = evaluate(*arguments)
    assert (found, out) == (code, "")
    assert message in err and err.count("\n") == 1


def test_a_curve_in_a_line() -> None:
    assert curve_line([0, 0.5, 1], 0, 1) == "▁▅█"
    assert curve_line([-1, 2], 0, 1) == "▁█"
    assert curve_line([1] * 50 + [0] + [1] * 50, 0, 1, width=10).count("▁") == 1
    assert len(curve_line([1.0] * 7, 1, 1)) == 7
