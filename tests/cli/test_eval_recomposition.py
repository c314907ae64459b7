"""`stylefacev eval recomposition` and `eval reconstruction`, on people rendered here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny import TINY_RESOLUTION_PX

from stylefacev_cli.cli import rendered
from stylefacev_cli.cli.app import run
from stylefacev_cli.cli.eval_recomposition import worst_and_best
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.faces.assets import LOOK_ENTRY
from stylefacev_cli.faces.dataset import RECIPE, RenderSettings, sample_latents
from stylefacev_cli.faces.factors import FaceFactors
from stylefacev_cli.metrics.recomposition import ImageMeasures, Images, measure_pairs, summary
from stylefacev_cli.pipeline import load_model
from stylefacev_cli.weights.locate import MANIFEST_NAME
from stylefacev_cli.weights.manifest import Manifest, read_manifest

pytestmark = pytest.mark.render
RULE = rendered.PairRule(num_pairs=3, seed=5, look="procedural")
Evaluate = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def people() -> rendered.RenderedPairs:
    pytest.importorskip("moderngl")
    try:
        return rendered.RenderedPairs(RULE, 32)
    except StyleFaceVError as error:
        pytest.skip(f"no rendering here: {error}")


@pytest.fixture
def evaluate(people: rendered.RenderedPairs, capfd: pytest.CaptureFixture[str]) -> Evaluate:
    def evaluation(*arguments: str) -> tuple[int, str, str]:
        code = run(["eval", *arguments])
        return (code, *capfd.readouterr())

    return evaluation


def test_pairs_are_fixed_by_seed_and_number_and_in_no_rendered_set(
    people: rendered.RenderedPairs,
) -> None:
    a, b = people.latents(1)
    truth = people.truth(1)
    factors = people._studio.factors
    np.testing.assert_array_equal(truth[factors.identity], a[factors.identity])
    np.testing.assert_array_equal(truth[factors.scene], a[factors.scene])
    np.testing.assert_array_equal(truth[factors.pose], b[factors.pose])
    more = rendered.RenderedPairs(replace(RULE, num_pairs=9), 32)
    np.testing.assert_array_equal(people.pair(1).truth, more.pair(1).truth)
    drawn = sample_latents(RenderSettings(3, 1, 32, seed=5, look="procedural"), 1)[0]
    assert not np.isclose(drawn, a).any() and not np.isclose(drawn, b).any()


def test_perfect_and_copying_models_on_rendered_people(people: rendered.RenderedPairs) -> None:
    pairs = list(people.pairs())
    labels = {pair.truth.tobytes(): pair.truth_landmarks for pair in pairs}
    labels |= {pair.a.tobytes(): pair.a_landmarks for pair in pairs}
    answers = {(pair.a.tobytes(), pair.b.tobytes()): pair.truth for pair in pairs}

    def perfect(appearance: Images, pose: Images) -> Images:
        both = zip(appearance, pose, strict=True)
        return np.stack([answers.get((a.tobytes(), b.tobytes()), b) for a, b in both])

    nowhere = np.full((98, 2), 0.5, np.float32)
    instruments = ImageMeasures(
        lambda images: np.stack([labels.get(image.tobytes(), nowhere) for image in images])
    )
    constant = people.mean_truth()
    wanted = np.mean([pair.truth for pair in pairs], axis=0)
    assert np.abs(constant - wanted).max() <= 0.5
    for rows in measure_pairs(people.pairs(), perfect, instruments, constant):
        assert rows["recomposed"] == rows["same_person"] == rows["truth"]
        assert rows["self"].psnr > 106 and rows["recomposed"].landmarks == 0
        assert rows["constant"].psnr > rows["donor"].psnr
    for rows in measure_pairs(people.pairs(), lambda a, b: a, instruments, constant):
        assert rows["recomposed"] == rows["copy"] and 5 < rows["copy"].psnr < 40
    assert summary([rows["truth"]])["points"] == {"mean": 0, "sd": 0}


def test_the_default_model_through_the_door(evaluate: Evaluate) -> None:
    options = ["recomposition", "--pairs", "4", "--perceptual", "none", "--threads", "1"]
    code, out, err = evaluate(*options, "--json")
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

    code, out, err = evaluate(*options)
    assert code == 0 and out.startswith("RECOMPOSITION   default-128") and "4 pairs are few" in err
    assert f"{report['rows']['recomposed']['psnr']['mean']:.2f} ±" in out  # the same number again


def test_a_generator_of_earlier_faces_is_not_asked(evaluate: Evaluate) -> None:
    code, out, _ = evaluate(
        "recomposition", "--model", "default-64", "--pairs", "2", "--perceptual", "none", "--json"
    )
    report = json.loads(out)
    reason = report["left_out"]["generator"]
    assert code == 0 and "earlier renderer" in reason and reason in report["warnings"]
    assert "generator" not in report["rows"]


def copy_telling(bundle: Path, folder: Path, provenance: dict[str, Any]) -> Path:
    """A copy of a bundle that tells another origin."""
    shutil.copytree(bundle, folder)
    told = yaml.safe_load((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).write_text(yaml.safe_dump(told | {"provenance": provenance}))
    return folder


def test_a_generator_of_these_faces_is_asked(evaluate: Evaluate, tmp_path: Path) -> None:
    original, provenance = read_manifest("default-128"), dict(of_these_faces().provenance)
    model = copy_telling(original.folder, tmp_path / "model", provenance | {"recipe": RECIPE})
    code, out, _ = evaluate(
        "recomposition", "--model", str(model), "--pairs", "2", "--perceptual", "none", "--json"
    )
    report = json.loads(out)
    assert code == 0 and report["left_out"] == {}
    assert report["protocol"].startswith(f"recomposition_canonical_faces{RECIPE}_procedural_")
    found = [pair["generator"]["psnr"] for pair in report["per_pair"]]
    assert np.mean(found) == report["rows"]["generator"]["psnr"]["mean"]
    people = rendered.RenderedPairs(rendered.PairRule(2), report["resolution"])
    pair = people.pair(0, load_model(model, device="cpu"))
    assert pair.generated is not None
    error = np.square((pair.generated.astype(float) - pair.truth) / 255).mean()
    assert found[0] == pytest.approx(-10 * np.log10(error), abs=0.01)


def test_a_generator_of_other_latents_has_no_ceiling(evaluate: Evaluate, tiny_model: Path) -> None:
    code, out, _ = evaluate(
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


def made_of(manifest: Manifest, **told: Any) -> Manifest:
    """A bundle of the same networks that tells another origin."""
    return replace(manifest, provenance=told)


def of_these_faces() -> Manifest:
    """A bundle that says that its generator learnt today's factors."""
    settings = {"objective": "paired", "num_factors": len(FaceFactors.names)}
    told = {"config": {"generator": settings}, "steps": {"generator": 1}}
    return made_of(read_manifest("default-128"), **told)


def test_why_a_generator_has_no_ceiling() -> None:
    manifest = of_these_faces()
    assert rendered.why_no_ceiling(manifest) is None
    for name, num_factors in (("default-64", 77), ("default-128", 105)):
        reason = str(rendered.why_no_ceiling(read_manifest(name)))
        assert "earlier renderer" in reason and str(num_factors) in reason
    settings: dict[str, Any] = {"objective": "adversarial", "paired_weight": 0.0}
    config = manifest.provenance["config"] | {"finish": settings}
    other = made_of(manifest, config=config, steps={"generator": 1, "finish": 1})
    assert "without the factors" in str(rendered.why_no_ceiling(other))
    settings["paired_weight"] = 1.0
    assert rendered.why_no_ceiling(other) is None
    settings["num_factors"] = len(FaceFactors.names)
    assert rendered.why_no_ceiling(other) is None
    imported = made_of(manifest, imported_from="a file")
    assert "does not say" in str(rendered.why_no_ceiling(imported))


def test_a_generator_of_another_recipe_has_no_ceiling() -> None:
    manifest = of_these_faces()
    told = manifest.provenance
    assert rendered.why_no_ceiling(made_of(manifest, **told, recipe=RECIPE)) is None
    earlier = made_of(manifest, **told, recipe=RECIPE - 1)  # of as many factors
    reason = f"its generator learnt faces of recipe {RECIPE - 1}, these are of recipe {RECIPE}"
    assert rendered.why_no_ceiling(earlier) == reason
    # What a later run without a generator learnt from says nothing of the generator.
    moved = {"config": {}, "steps": {"motion": 3}}
    for start, expected in ((earlier, reason), (manifest, None)):
        for recipe in (RECIPE - 1, RECIPE):
            begun = {"start_from": {"provenance": start.provenance}, "recipe": recipe}
            assert rendered.why_no_ceiling(made_of(manifest, **moved, **begun)) == expected


def test_the_model_that_another_started_from_knows_of_its_generator() -> None:
    earlier, manifest = read_manifest("default-64"), of_these_faces()

    def started_from(start: Manifest) -> Manifest:
        begun = {"provenance": start.provenance}
        return made_of(manifest, start_from=begun, steps={"motion": 3}, config={})

    assert rendered.why_no_ceiling(started_from(manifest)) is None
    assert rendered.why_no_ceiling(started_from(started_from(manifest))) is None
    assert "earlier renderer" in str(rendered.why_no_ceiling(started_from(earlier)))


def test_faces_are_placed_as_the_bundle_says() -> None:
    manifest = read_manifest("default-128")
    for told, wanted in (("wide", "wide"), ("sideways", "canonical"), (None, "canonical")):
        assert rendered.framing_of(made_of(manifest, framing=told)) == wanted


def test_people_look_as_the_bundle_says() -> None:
    manifest = read_manifest("default-128")
    for told, expected in (
        ("photographic", "photographic"),
        ("procedural", "procedural"),
        ("painted", "procedural"),
        (["photographic"], "procedural"),
        (None, "procedural"),
    ):
        assert rendered.look_of(made_of(manifest, look=told)) == expected


def test_a_photographic_model_is_measured_on_photographic_faces(
    evaluate: Evaluate, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    model = copy_telling(tiny_model, tmp_path / "model", {"look": "photographic"})
    options = ["--model", str(model), "--pairs", "2", "--perceptual", "none"]
    code, out, err = evaluate("recomposition", *options)
    assert (code, out) == (3, "") and LOOK_ENTRY in err


@pytest.mark.parametrize(
    ("model", "framing"), [("default-128", "unaligned"), ("default-64", "canonical")]
)
def test_the_shipped_models_are_measured_on_what_they_learnt(model: str, framing: str) -> None:
    assert rendered.rule_for(model, 4, 2) == rendered.PairRule(4, 2, framing, "procedural")
    asked = rendered.rule_for(model, 4, 2, "wide", "photographic")
    assert asked == rendered.PairRule(4, 2, "wide", "photographic")


def test_pictures_of_a_pair(people: rendered.RenderedPairs, tiny_model: Path) -> None:
    model = load_model(tiny_model, device="cpu")
    small = rendered.RenderedPairs(RULE, TINY_RESOLUTION_PX)
    recompose = rendered.recomposer(model)
    found = rendered.pair_pictures(small, 2, recompose)
    shape = (TINY_RESOLUTION_PX, TINY_RESOLUTION_PX, 3)
    for picture in vars(found).values():
        assert picture.shape == shape and picture.dtype == np.uint8
    pair = small.pair(2)
    np.testing.assert_array_equal(found.truth, pair.truth)
    both = recompose(np.stack([pair.b, pair.a]), np.stack([pair.a, pair.b]))  # in a batch
    assert np.abs(both[1].astype(int) - found.made).max() <= 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--pairs", "1"], 2, "give 2 or more"),
        (["--seed", "-1"], 2, "from 0 to"),
        (["--framing", "narrow"], 2, "canonical, unaligned, wide"),
        (["--framing", ""], 2, "canonical, unaligned, wide"),
        (["--look", "painted"], 2, "photographic or procedural"),
        (["--look", ""], 2, "photographic or procedural"),
        (["--model", "nobody"], 3, "unknown model"),
        (["--perceptual", "lpips"], 2, "not one of"),
    ],
)
def test_bad_input_gets_one_line(
    evaluate: Evaluate, options: list[str], code: int, message: str
) -> None:
    found, out, err = evaluate("recomposition", *options)
    assert (found, out) == (code, "") and message in err and err.count("\n") == 1


def test_torch_may_import_triton_after_rendering(people: rendered.RenderedPairs) -> None:
    pytest.importorskip("triton")
    script = (
        "import numpy as np\n"
        "from stylefacev_cli.cli.rendered import PairRule, RenderedPairs\n"
        "RenderedPairs(PairRule(2, look='procedural'), 16).pair(0)\n"
        "import triton, torch.optim\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


# --- identity --------------------------------------------------------------------------------


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
    evaluate: Evaluate, tiny_model: Path
) -> None:
    code, out, err = evaluate("reconstruction", "--pairs", "4", "--threads", "1", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    means = {name: number["mean"] for name, number in report["similarities"].items()}
    assert set(means) == {"reconstruction", "kept", "leaked", "strangers", "same_person"}
    assert means["reconstruction"] > means["strangers"] and len(report["per_pair"]) == 4
    assert report["metric"] == "reconstruction-mean colour"
    assert report["network_sha256"] == "0" * 64
    code, out, _ = evaluate("reconstruction", "--pairs", "4", "--threads", "1")
    assert code == 0 and f"{means['kept']:.3f} ±" in out and "mean colour" in out
    code, out, err = evaluate("reconstruction", "--identity", "nobody")
    assert code == 2 and "no identity network" in err and err.count("\n") == 1


@pytest.mark.usefixtures("colours")
def test_similarity_of_reconstruction_on_photographs(
    evaluate: Evaluate, tiny_model: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for i in range(3):
        color = random.integers(0, 256, (1, 1, 3), dtype=np.uint8)
        Image.fromarray(color.repeat(40, 0).repeat(40, 1)).save(tmp_path / f"{i}.png")
    options = ["reconstruction", "--model", str(tiny_model), "--real", str(tmp_path)]
    code, out, err = evaluate(*options, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["num_pairs"] == 3 and report["source"]["used"] == 3
    assert "same_person" not in report["similarities"]
    assert "3 pairs instead of 64" in report["warnings"][0]
    Image.new("RGB", (40, 30)).save(tmp_path / "9.png")
    code, _, err = evaluate(*options)
    assert code == 5 and "40 × 30 px; crop the faces to squares" in err
