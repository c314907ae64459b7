from __future__ import annotations

import numpy as np
import pytest
from mesh_pictures import golden, portrait

from stylefacev_cli.detection.face_mesh import FaceMesh
from stylefacev_cli.detection.wflw_points import wflw_points

GROUPS = {  # part of the landmarks, and how far it may lie from the truth in eye distances
    "outline": (slice(0, 33), 0.10),
    "brows": (slice(33, 51), 0.06),
    "nose": (slice(51, 60), 0.05),
    "eyes": (slice(60, 76), 0.03),
    "lips": (slice(76, 96), 0.03),
    "pupils": (slice(96, 98), 0.03),
}


@pytest.mark.parametrize("group", GROUPS)
def test_landmarks_of_renders_are_where_they_truly_are(group: str) -> None:
    truth = 3 * golden()["landmarks"].astype(np.float64)
    points = FaceMesh.load()(np.stack([portrait(number, 240) for number in (0, 1)])).points
    landmarks = wflw_points(points)
    eyes = np.linalg.norm(truth[:, 60] - truth[:, 72], axis=1)
    part, most = GROUPS[group]
    errors = np.linalg.norm(landmarks - truth, axis=2)[:, part] / eyes[:, None]
    assert errors.mean() < most


def test_order_and_symmetry() -> None:
    """Outline from the left of the picture over the chin; a mirrored face gives mirrored points."""
    points = golden()["points"][3]
    landmarks = wflw_points(points)
    assert landmarks.shape == (98, 2) and landmarks.dtype == np.float32
    outline = landmarks[:33]
    assert (np.diff(outline[:, 0]) > 0).all()
    np.testing.assert_allclose(outline[16], points[152, :2], rtol=1e-6)
    for half in (outline[:17], outline[16:]):
        steps = np.linalg.norm(np.diff(half, axis=0), axis=1)
        assert steps.max() < 1.1 * steps.min()
    assert (landmarks[60:64, 0] < landmarks[96, 0] + 20).all()
    assert landmarks[96, 0] < landmarks[54, 0] < landmarks[97, 0]
    assert landmarks[79, 1] < landmarks[90, 1] < landmarks[94, 1] < landmarks[85, 1]
    # Of brows the upper edge is above the lower one, of eyes the upper lid above the lower.
    assert landmarks[34:37, 1].mean() < landmarks[39:42, 1].mean()
    assert landmarks[61:64, 1].mean() < landmarks[65:68, 1].mean()
    assert landmarks[69:72, 1].mean() < landmarks[73:76, 1].mean()


def test_units_shapes_and_missing_faces() -> None:
    points = golden()["points"].copy()
    landmarks = wflw_points(points)
    np.testing.assert_allclose(wflw_points(points[..., :2] * 2 + 7), landmarks * 2 + 7, atol=1e-2)
    assert wflw_points(points.reshape(2, 2, 478, 3)).shape == (2, 2, 98, 2)
    points[1] = np.nan
    with_gap = wflw_points(points)
    assert np.isnan(with_gap[1]).all()
    np.testing.assert_array_equal(with_gap[[0, 2, 3]], landmarks[[0, 2, 3]])
    assert wflw_points(np.zeros((478, 3))).tolist() == np.zeros((98, 2)).tolist()
