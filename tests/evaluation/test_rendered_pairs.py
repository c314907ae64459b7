"""Rendered pairs: who they are, how they are placed, and which generators can render them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_provenance import trained_on_these_faces, with_provenance
from tiny import TINY_RESOLUTION_PX

from stylefacev_cli.evaluation import rendered_pairs
from stylefacev_cli.faces.dataset import RECIPE, RenderSettings, sample_latents
from stylefacev_cli.faces.factors import FaceFactors
from stylefacev_cli.metrics.recomposition import ImageMeasures, Images, measure_pairs, summary
from stylefacev_cli.pipeline import load_model
from stylefacev_cli.weights.manifest import Manifest, read_manifest

pytestmark = pytest.mark.render


def test_pairs_are_fixed_by_seed_and_number_and_in_no_rendered_set(
    people: rendered_pairs.RenderedPairs,
) -> None:
    a, b = people.latents(1)
    truth = people.truth(1)
    factors = people._renderer.factors
    np.testing.assert_array_equal(truth[factors.identity], a[factors.identity])
    np.testing.assert_array_equal(truth[factors.scene], a[factors.scene])
    np.testing.assert_array_equal(truth[factors.pose], b[factors.pose])
    more = rendered_pairs.RenderedPairs(replace(people.rule, num_pairs=9), 32)
    np.testing.assert_array_equal(people.pair(1).truth, more.pair(1).truth)
    drawn = sample_latents(RenderSettings(3, 1, 32, seed=5, look="procedural"), 1)[0]
    assert not np.isclose(drawn, a).any() and not np.isclose(drawn, b).any()


def test_perfect_and_copying_models_on_rendered_people(
    people: rendered_pairs.RenderedPairs,
) -> None:
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
    mean = np.mean([pair.truth for pair in pairs], axis=0)
    assert np.abs(constant - mean).max() <= 0.5
    for rows in measure_pairs(people.pairs(), perfect, instruments, constant):
        assert rows["recomposed"] == rows["same_person"] == rows["truth"]
        assert rows["self"].psnr > 106 and rows["recomposed"].landmarks == 0
        assert rows["constant"].psnr > rows["donor"].psnr
    for rows in measure_pairs(people.pairs(), lambda a, b: a, instruments, constant):
        assert rows["recomposed"] == rows["copy"] and 5 < rows["copy"].psnr < 40
    assert summary([rows["truth"]])["points"] == {"mean": 0, "sd": 0}


def test_why_a_generator_has_no_ceiling() -> None:
    manifest = trained_on_these_faces()
    assert rendered_pairs.why_no_generator_row(manifest) is None
    for name, num_factors in (("default-64", 77), ("default-128", 105)):
        reason = str(rendered_pairs.why_no_generator_row(read_manifest(name)))
        assert "earlier renderer" in reason and str(num_factors) in reason
    settings: dict[str, Any] = {"objective": "adversarial", "paired_weight": 0.0}
    config = manifest.provenance["config"] | {"finish": settings}
    other = with_provenance(manifest, config=config, steps={"generator": 1, "finish": 1})
    assert "without the factors" in str(rendered_pairs.why_no_generator_row(other))
    settings["paired_weight"] = 1.0
    assert rendered_pairs.why_no_generator_row(other) is None
    settings["num_factors"] = len(FaceFactors.names)
    assert rendered_pairs.why_no_generator_row(other) is None
    imported = with_provenance(manifest, imported_from="a file")
    assert "does not say" in str(rendered_pairs.why_no_generator_row(imported))


def test_a_generator_of_another_recipe_has_no_ceiling() -> None:
    manifest = trained_on_these_faces()
    provenance = manifest.provenance
    assert (
        rendered_pairs.why_no_generator_row(with_provenance(manifest, **provenance, recipe=RECIPE))
        is None
    )
    earlier = with_provenance(manifest, **provenance, recipe=RECIPE - 1)  # of as many factors
    reason = (
        f"its generator was trained on faces of recipe {RECIPE - 1}, these are of recipe {RECIPE}"
    )
    assert rendered_pairs.why_no_generator_row(earlier) == reason
    # What a later run without a generator learnt from says nothing of the generator.
    moved = {"config": {}, "steps": {"motion": 3}}
    for start, expected in ((earlier, reason), (manifest, None)):
        for recipe in (RECIPE - 1, RECIPE):
            begun = {"start_from": {"provenance": start.provenance}, "recipe": recipe}
            assert (
                rendered_pairs.why_no_generator_row(with_provenance(manifest, **moved, **begun))
                == expected
            )


def test_the_model_that_another_started_from_knows_of_its_generator() -> None:
    earlier, manifest = read_manifest("default-64"), trained_on_these_faces()

    def started_from(start: Manifest) -> Manifest:
        begun = {"provenance": start.provenance}
        return with_provenance(manifest, start_from=begun, steps={"motion": 3}, config={})

    assert rendered_pairs.why_no_generator_row(started_from(manifest)) is None
    assert rendered_pairs.why_no_generator_row(started_from(started_from(manifest))) is None
    assert "earlier renderer" in str(rendered_pairs.why_no_generator_row(started_from(earlier)))


def test_faces_are_placed_as_the_bundle_says() -> None:
    manifest = read_manifest("default-128")
    for framing, expected in (("wide", "wide"), ("sideways", "canonical"), (None, "canonical")):
        assert rendered_pairs.framing_of(with_provenance(manifest, framing=framing)) == expected


def test_people_look_as_the_bundle_says() -> None:
    manifest = read_manifest("default-128")
    for look, expected in (
        ("photographic", "photographic"),
        ("procedural", "procedural"),
        ("painted", "procedural"),
        (["photographic"], "procedural"),
        (None, "procedural"),
    ):
        assert rendered_pairs.look_of(with_provenance(manifest, look=look)) == expected


@pytest.mark.parametrize(
    ("model", "framing"), [("default-128", "unaligned"), ("default-64", "canonical")]
)
def test_the_shipped_models_are_measured_on_what_they_were_trained_on(
    model: str, framing: str
) -> None:
    assert rendered_pairs.rule_for(model, 4, 2) == rendered_pairs.PairRule(
        4, 2, framing, "procedural"
    )
    asked = rendered_pairs.rule_for(model, 4, 2, "wide", "photographic")
    assert asked == rendered_pairs.PairRule(4, 2, "wide", "photographic")


def test_pictures_of_a_pair(people: rendered_pairs.RenderedPairs, tiny_model: Path) -> None:
    model = load_model(tiny_model, device="cpu")
    small = rendered_pairs.RenderedPairs(people.rule, TINY_RESOLUTION_PX)
    recompose = rendered_pairs.recomposer(model)
    shown = rendered_pairs.pair_pictures(small, 2, recompose)
    shape = (TINY_RESOLUTION_PX, TINY_RESOLUTION_PX, 3)
    for picture in vars(shown).values():
        assert picture.shape == shape and picture.dtype == np.uint8
    pair = small.pair(2)
    np.testing.assert_array_equal(shown.truth, pair.truth)
    both = recompose(np.stack([pair.b, pair.a]), np.stack([pair.a, pair.b]))  # in a batch
    assert np.abs(both[1].astype(int) - shown.recomposed).max() <= 1


def test_torch_may_import_triton_after_rendering(people: rendered_pairs.RenderedPairs) -> None:
    pytest.importorskip("triton")
    script = (
        "import numpy as np\n"
        "from stylefacev_cli.evaluation.rendered_pairs import PairRule, RenderedPairs\n"
        "RenderedPairs(PairRule(2, look='procedural'), 16).pair(0)\n"
        "import triton, torch.optim\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
