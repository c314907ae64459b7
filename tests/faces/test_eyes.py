"""Eyes: openings, lids on the eyeball, the picture of iris and white."""

from __future__ import annotations

import numpy as np
import pytest

from stylefacev_cli.faces.eyes import eye_picture
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.parameters import Pose
from stylefacev_cli.faces.posed_head import PosedHead, pose_head

UPPER_LIDS, LOWER_LIDS = [61, 62, 63, 69, 70, 71], [67, 66, 65, 75, 74, 73]


def posed(studio: LatentRenderer, pose: Pose, seed: int = 0) -> PosedHead:
    head = studio.head(studio.factors.sample(np.random.default_rng(seed)))
    return pose_head(load_mesh(), head, pose)


@pytest.mark.render
def test_openings_shrink_with_the_blink(studio: LatentRenderer) -> None:
    for seed in range(4):
        openings = []
        for blink in np.linspace(0, 1, 9):
            points = posed(studio, Pose(blink=float(blink)), seed).landmarks().points[:, 1]
            openings.append(points[LOWER_LIDS] - points[UPPER_LIDS])
        steps = np.diff(np.array(openings)[:, [1, 4]], axis=0)
        assert (steps <= 1e-9).all()
        np.testing.assert_allclose(openings[-1], 0, atol=1e-3)


@pytest.mark.render
def test_eyes_at_rest_are_open_as_peoples_are(studio: LatentRenderer) -> None:
    for seed in range(4):
        points = posed(studio, Pose(), seed).landmarks().points
        width = np.linalg.norm(points[60] - points[64])
        assert 0.22 < (points[66, 1] - points[62, 1]) / width < 0.42


@pytest.mark.render
def test_lid_curves_run_through_the_landmarks(studio: LatentRenderer) -> None:
    for pose in (Pose(), Pose(blink=0.5), Pose(blink=1.0), Pose(squint=0.7), Pose(gaze_x_rad=0.4)):
        curves = posed(studio, pose, 1).lid_curves()
        assert curves.shape == (2, 2, 4) and np.isfinite(curves).all()
        assert (curves[:, 0, 2] > curves[:, 0, 0]).all()
        assert (curves[:, 1, 0] >= curves[:, 1, 2] - 1e-6).all()  # the upper lid is above
    opened, shut = (posed(studio, Pose(blink=blink), 1).lid_curves() for blink in (0.0, 1.0))
    assert (opened[:, 1, 0] - opened[:, 1, 2] > 0.3).all()
    assert (shut[:, 1, 0] - shut[:, 1, 2] < 0.03).all()


def test_drawn_iris_is_neutral() -> None:
    check(eye_picture(photographic=False))


@pytest.mark.usefixtures("look")
def test_photographed_iris_is_neutral() -> None:
    check(eye_picture(photographic=True))


def check(picture: np.ndarray) -> None:
    size = len(picture)
    at = (np.arange(size) + 0.5) / size * 4 - 2
    radius = np.hypot(*np.meshgrid(at, at))
    relative = picture[..., :3] / 127.5
    iris, pupil = (radius > 0.45) & (radius < 0.8), radius < 0.25
    assert relative[iris].mean() == pytest.approx(1.0, abs=0.15)
    assert relative[iris].std() > 0.08
    np.testing.assert_allclose(relative[pupil], 1.0, atol=0.02)
    assert relative[radius > 1.3].mean() == pytest.approx(1.0, abs=0.08)
