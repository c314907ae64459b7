"""Recomposition error on made-up images, with models that are perfect, copy, or know nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from stylefacev_cli.metrics.recomposition import (
    GESTURES,
    ROWS,
    Gestures,
    ImageMeasures,
    Images,
    Pair,
    Points,
    Scores,
    gestures,
    measure_pairs,
    point_errors,
    summary,
)

SIZE_PX = 16


def face(random: np.random.Generator) -> tuple[Images, Points]:
    """A noisy image and 98 points in it, the outer corners of the eyes 0.4 apart."""
    points = random.uniform(0.2, 0.8, (98, 2)).astype(np.float32)
    points[60], points[72] = (0.3, 0.4), (0.7, 0.4)
    return random.integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8), points


@pytest.fixture
def pairs() -> list[Pair]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(5):
        (a, own), (b, _), (truth, wanted) = (face(random) for _ in range(3))
        made.append(Pair(a, b, truth, own, wanted, generated=truth // 2))
    return made


def all_knowing(pairs: list[Pair]) -> ImageMeasures:
    """A detector that knows the labels of true images and nothing of others; L1 for perceptual."""
    known = {pair.truth.tobytes(): pair.truth_landmarks for pair in pairs}
    known |= {pair.a.tobytes(): pair.a_landmarks for pair in pairs}
    lost = np.full((98, 2), 0.5, np.float32)

    def find(images: Images) -> Points:
        return np.stack([known.get(image.tobytes(), lost) for image in images])

    return ImageMeasures(find, lambda x, y: (x - y).abs().mean())


def perfect(pairs: list[Pair]) -> dict[tuple[bytes, bytes], Images]:
    answers = {}
    for pair in pairs:
        for donor, answer in ((pair.b, pair.truth), (pair.truth, pair.truth), (pair.a, pair.a)):
            answers[pair.a.tobytes(), donor.tobytes()] = answer
    return answers


def test_a_perfect_model_has_the_scores_of_the_truth(pairs: list[Pair]) -> None:
    answers = perfect(pairs)

    def recompose(appearance: Images, pose: Images) -> Images:
        both = zip(appearance, pose, strict=True)
        return np.stack([answers[a.tobytes(), b.tobytes()] for a, b in both])

    found = list(measure_pairs(pairs, recompose, all_knowing(pairs), pairs[0].a, batch=2))
    assert len(found) == 5
    for rows in found:
        assert set(rows) == set(ROWS)
        for row in ("recomposed", "same_person", "self", "truth"):
            one = rows[row]
            assert one.psnr == one.face_psnr == pytest.approx(106.02, abs=0.01)
            assert one.ssim == one.face_ssim == pytest.approx(1) and one.perceptual == 0
            errors = {f.name: getattr(one, f.name) for f in fields(Scores)[5:13]}
            assert set(errors.values()) == {0}, errors
        assert rows["recomposed"] == rows["truth"]
        assert rows["generator"].psnr < 20 and rows["donor"].landmarks > 0


def test_copying_is_exactly_the_copy(pairs: list[Pair]) -> None:
    found = list(measure_pairs(pairs, lambda a, b: a, all_knowing(pairs), pairs[0].a))
    for rows, pair in zip(found, pairs, strict=True):
        assert rows["recomposed"] == rows["same_person"] == rows["copy"]
        error = (pair.a.astype(float) - pair.truth) / 255
        wanted = -10 * np.log10((error**2).mean())
        assert rows["copy"].psnr == pytest.approx(wanted, rel=1e-5)
    assert found[0]["constant"] == found[0]["copy"]  # the constant is the first A


def test_pairs_are_taken_as_they_are_needed(pairs: list[Pair]) -> None:
    drawn = 0

    def stream() -> Iterator[Pair]:
        nonlocal drawn
        for pair in pairs:
            drawn += 1
            yield replace(pair, generated=None)

    instruments = ImageMeasures(all_knowing(pairs).find_landmarks)
    found = measure_pairs(stream(), lambda a, b: b, instruments, pairs[0].a, batch=2)
    rows = next(found)
    assert drawn == 2 and "generator" not in rows and rows["truth"].perceptual is None
    assert len(list(found)) == 4


def test_errors_of_points_are_in_distances_between_the_outer_eye_corners() -> None:
    _, true = face(np.random.default_rng(1))
    moved = true + np.array([0.02, 0], np.float32)  # 0.02 of the frame, eyes 0.4 apart
    errors = point_errors(moved, true)
    for name in ("landmarks", "outline", "points", "position"):
        assert errors[name] == pytest.approx(0.05, rel=1e-4)
    for name in GESTURES:
        assert errors[name] == pytest.approx(0, abs=1e-6)
    opened = true.copy()
    opened[[62, 70]] += (0, 0.3)  # upper lids
    opened[79] = opened[85]  # the lips closed
    errors = point_errors(opened, true)
    assert errors["mouth"] == pytest.approx(np.linalg.norm(true[79] - true[85]) / 0.4, rel=1e-5)
    assert errors["eyes"] > 0.1 and errors["turn"] == errors["brows"] == 0


def test_gestures_of_a_face_drawn_by_hand() -> None:
    points = np.zeros((14, 2))
    points[:2] = (-0.3, -0.25), (0.3, -0.15)  # brows
    points[2:5] = (-0.3, -0.05), (-0.3, 0), (-0.3, 0.05)  # an eye: 0.1 open
    points[5:8] = (0.3, -0.1), (0.3, 0), (0.3, 0.1)  # the other: 0.2 open
    points[8] = (0.07, 0.3)  # the nose points aside
    points[9:11] = (0, 0.5), (0, 0.75)
    found = gestures(points)
    assert asdict(found) == pytest.approx({"turn": 0.07, "eyes": 0.15, "mouth": 0.25, "brows": 0.2})


def test_summary_has_means_spreads_and_correlations(pairs: list[Pair]) -> None:
    (rows,) = measure_pairs(pairs[:1], lambda a, b: a, all_knowing(pairs), pairs[0].a)
    one, true = rows["copy"], Gestures(0, 0, 0, 0)
    made = [
        replace(
            one,
            psnr=float(i),
            made=replace(true, mouth=2.0 * i, eyes=-i),
            true=Gestures(i, i, i, i),
        )
        for i in range(9)
    ]
    found = summary(made)
    assert found["psnr"] == {"mean": 4, "sd": pytest.approx(np.std(range(9), ddof=1))}
    assert found["correlation"]["mouth"] == pytest.approx(1)
    assert found["correlation"]["eyes"] == pytest.approx(-1)
    assert found["correlation"]["turn"] is None  # always 0
    assert set(summary(made[:7])["correlation"].values()) == {None}
    assert summary(made[:1])["psnr"] == {"mean": 0, "sd": 0}
    assert "perceptual" not in summary([replace(one, perceptual=None)])
    json.dumps(found, allow_nan=False)
