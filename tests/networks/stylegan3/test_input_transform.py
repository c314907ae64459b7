"""The camera: what the transforms are, and what the generator's layers make of them."""

from __future__ import annotations

import pytest
import torch
from tiny_generators import TINY_R, TINY_T, make

from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig
from stylefacev_cli.networks.stylegan3.input_transform import (
    camera_transforms,
    eased,
    is_rotation_equivariant,
)


def camera(
    rotate: float = 0.0, shift: tuple[float, float] = (0.0, 0.0), zoom: float = 1.0
) -> torch.Tensor:
    return camera_transforms(torch.tensor([rotate]), torch.tensor([shift]), torch.tensor([zoom]))


def test_where_points_go() -> None:
    def goes_to(where: torch.Tensor, x: float, y: float) -> list[float]:
        point = torch.linalg.solve(where[0], torch.tensor([x, y, 1.0], dtype=torch.float64))
        return [round(float(number), 6) for number in point[:2]]

    assert goes_to(camera(), 0.1, 0.2) == [0.1, 0.2]
    assert goes_to(camera(shift=(0.25, -0.5)), 0.1, 0.2) == [0.35, -0.3]
    assert goes_to(camera(zoom=2.0), 0.1, 0.2) == [0.2, 0.4]
    assert goes_to(camera(rotate=90.0), 0.1, 0.0) == [0.0, -0.1]  # from the right to the top
    assert goes_to(camera(90.0, (0.3, 0.0), 2.0), 0.1, 0.0) == [0.3, -0.2]


@pytest.mark.parametrize("config", [TINY_T, TINY_R], ids=["T", "R"])
def test_shifts_move_the_picture(config: GeneratorConfig) -> None:
    generator = make(config)
    with torch.no_grad():
        ws = generator.mapping(torch.randn(2, config.z_dim))
        plain = generator.synthesis(ws)
        moved = generator.synthesis(ws, transforms=camera(shift=(4 / 32, -8 / 32)))
    inside, was = moved[:, :, 4:16, 12:28], plain[:, :, 12:24, 8:24]
    # The lowest layers sample every 2 px: what is left is aliasing.
    assert float((inside - was).abs().max()) < 0.1 * float(plain.std())


def test_a_quarter_turn_of_configuration_r() -> None:
    """Filters and 1×1 kernels look the same from all four sides: the picture is turned exactly."""
    images = {}
    for name, config in (("R", TINY_R), ("T", TINY_T)):
        generator = make(config)
        with torch.no_grad():
            ws = generator.mapping(torch.randn(1, config.z_dim))
            plain = generator.synthesis(ws)
            turned = generator.synthesis(ws, transforms=camera(rotate=90.0))
        error = (turned - torch.rot90(plain, 1, (2, 3))).abs().max() / plain.std()
        images[name] = float(error)
    assert images["R"] < 1e-3 and images["T"] > 0.5, images
    assert is_rotation_equivariant(TINY_R) and not is_rotation_equivariant(TINY_T)


def test_zooms_of_the_features() -> None:
    """Three times as large: the middle of every third place is a place of the plain grid."""
    layer = make(TINY_T).synthesis.input
    with torch.no_grad():
        w = torch.randn(1, 12)
        plain, zoomed = layer(w), layer(w, camera(zoom=3.0))
    size = plain.shape[2]
    first = (size // 2) - 3 * 2 + 1  # the place of grid point −2 (from the middle)
    torch.testing.assert_close(
        zoomed[:, :, first : first + 12 : 3, first : first + 12 : 3],
        plain[:, :, size // 2 - 2 : size // 2 + 2, size // 2 - 2 : size // 2 + 2],
        rtol=1e-4,
        atol=1e-4,
    )


def test_each_picture_of_a_batch_has_its_own_camera() -> None:
    generator = make(TINY_T)
    cameras = torch.cat([camera(10.0 * i, (0.1 * i, 0.0), 1 + 0.1 * i) for i in range(3)])
    with torch.no_grad():
        ws = generator.mapping(torch.randn(3, 8))
        plain = generator.synthesis(ws)
        together = generator.synthesis(ws, transforms=cameras)
        for i in range(3):
            alone = generator.synthesis(ws[i : i + 1], transforms=cameras[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together[:1], plain[:1], rtol=0, atol=0)
        assert torch.equal(generator.synthesis(ws), plain)  # nothing stays behind
    with pytest.raises(AssertionError, match="2 transforms, 3 images"):
        generator.synthesis(ws, transforms=cameras[:2])


def test_a_course_begins_ends_and_rests_in_its_keys() -> None:
    keys = torch.tensor([[0.0], [1.0], [-1.0]])
    assert [float(eased(keys, share)) for share in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, -1]
    assert abs(float(eased(keys, 0.01))) < 0.01 * 0.5  # a linear one would be at 0.02
    assert float(eased(keys[:1], 0.7)) == 0
