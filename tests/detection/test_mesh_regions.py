from __future__ import annotations

import numpy as np
import pytest
import torch

from stylefacev_cli.detection.mesh_regions import (
    cut_region,
    points_in_picture,
    region_of_box,
    region_of_points,
)

CPU = torch.device("cpu")


def ramp(width: int, height: int) -> np.ndarray:
    """A picture whose red is the place along x, green along y, of 255."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width).round()
    picture[..., 1] = np.linspace(0, 255, height).round()[:, None]
    return picture


@pytest.mark.parametrize(
    "region",
    [
        [128.0, 128.0, 100.0, 0.0],
        [100.0, 140.0, 90.0, 0.5],
        [128.0, 120.0, 60.0, -1.2],
        [128.0, 128.0, 160.0, 0.3],
    ],
)
@pytest.mark.parametrize("size_px", [64, 256])
def test_a_place_of_the_cut_is_the_place_of_the_picture(region: list[float], size_px: int) -> None:
    """What is seen at a place of the cut lies where `points_in_picture` says."""
    picture, square = ramp(256, 256), np.array(region)
    cut = cut_region(picture, square, size_px, CPU)
    assert cut.shape == (3, size_px, size_px)
    rows, columns = np.meshgrid(np.arange(4, size_px, 9), np.arange(4, size_px, 9), indexing="ij")
    places = np.stack([columns, rows, 0 * rows], -1).reshape(-1, 3).astype(np.float32)
    places[:, :2] = (places[:, :2] + 0.5) / size_px
    expected = points_in_picture(places, square)[:, :2] - 0.5
    seen = cut[:2, rows.ravel(), columns.ravel()].T.numpy() * 255
    np.testing.assert_allclose(seen, expected, atol=1.1)


def test_large_regions_are_shrunk_without_aliasing() -> None:
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    for angle in (0.0, 0.4):
        cut = cut_region(stripes, np.array([512.0, 512.0, 900.0, angle]), 128, CPU)
        assert float((cut - 0.5).abs().max()) < 0.1


def test_beyond_the_picture_its_edge_goes_on() -> None:
    picture = ramp(200, 100)
    cut = cut_region(picture, np.array([0.0, 0.0, 80.0, 0.0]), 40, CPU)
    assert float(cut[0, :, :19].max()) < 0.003 and float(cut[0, 0, -1]) > 0.15
    outside = cut_region(picture, np.array([500.0, -300.0, 60.0, 0.2]), 32, CPU)
    torch.testing.assert_close(outside[0], torch.ones(32, 32))
    one = cut_region(np.full((1, 1, 3), 51, np.uint8), np.array([0.5, 0.5, 90.0, 0.0]), 16, CPU)
    torch.testing.assert_close(one, torch.full((3, 16, 16), 0.2))


def test_points_and_their_region() -> None:
    """The region is upright to the eyes, and one and a half times the box of the points."""
    points = np.zeros((478, 3), np.float32)
    points[:] = [300, 200, 5]
    points[0], points[1] = [300, 160, 0], [300, 260, 0]
    points[33], points[263] = [280, 190, 0], [320, 200, 0]
    x, y, side, angle = region_of_points(points)
    assert (x, y, side) == (300, 210, 150) and angle == pytest.approx(np.arctan2(10, 40))
    inside = np.array([[0.5, 0.5, 0.1], [1, 0.5, 0]], np.float32)
    middle, right = points_in_picture(inside, np.array([x, y, side, angle]))
    np.testing.assert_allclose(middle, [300, 210, 15], atol=1e-3)
    np.testing.assert_allclose(
        right[:2] - middle[:2], 75 * np.array([np.cos(angle), np.sin(angle)]), rtol=1e-4
    )
    box = np.array([10.0, 20.0, 50.0, 60.0])
    eyes = np.array([[20.0, 30.0], [40.0, 30.0], *[[30.0, 40.0]] * 4])
    np.testing.assert_allclose(region_of_box(box, eyes), [30, 40, 60, 0])
