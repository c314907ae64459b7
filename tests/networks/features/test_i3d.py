from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylefacev_cli.networks.features.i3d import (
    I3D,
    MIN_FRAMES,
    legacy_bilinear,
    max_pool,
    preprocess,
    same_padding,
)


def test_legacy_bilinear_takes_corners_as_they_are() -> None:
    """Against the rule itself, place by place."""
    random = np.random.default_rng(0)
    image = random.uniform(0, 255, size=(5, 7)).astype(np.float32)
    size = 12
    wanted = np.zeros((size, size))
    for y in range(size):
        for x in range(size):
            sy, sx = y * 5 / size, x * 7 / size
            y0, x0 = int(sy), int(sx)
            y1, x1 = min(y0 + 1, 4), min(x0 + 1, 6)
            fy, fx = sy - y0, sx - x0
            top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
            low = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
            wanted[y, x] = top * (1 - fy) + low * fy
    found = legacy_bilinear(torch.from_numpy(image).expand(1, 3, 5, 7), size)
    np.testing.assert_allclose(found[0, 1], wanted, rtol=1e-5, atol=1e-3)
    same = torch.rand(1, 3, 12, 12)
    assert torch.equal(legacy_bilinear(same, 12), same)


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_same_padding_gives_as_many_places_as_the_stride_says(n: int, k: int, s: int) -> None:
    padded = same_padding(torch.ones(1, 1, n, n, n), (k, k, k), (s, s, s), value=9)
    size = padded.shape[2]
    assert (size - k) // s + 1 == -(-n // s)
    inside = padded.ne(9).nonzero()[:, 2]
    low, high = int(inside.min()), size - 1 - int(inside.max())
    assert high - low in (0, 1) and low + n + high == size  # the odd one on the high side


def test_pools_do_not_see_their_padding() -> None:
    x = -torch.ones(1, 1, 3, 4, 5)
    assert max_pool(x, (3, 3, 3), (1, 1, 1)).eq(-1).all()
    assert max_pool(x, (1, 3, 3), (1, 2, 2)).shape == (1, 1, 3, 2, 3)


def test_values_reach_from_minus_one_to_one() -> None:
    clip = preprocess(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4))
    assert clip.shape == (3, 2, 224, 224)
    assert clip[:, 0].eq(-1).all() and clip[:, 1].eq(1).all()


def test_logits_and_the_door() -> None:
    network = I3D().eval()
    assert sum(p.numel() for p in network.parameters()) > 12_000_000
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, MIN_FRAMES, 224, 224)).shape == (1, 400)
        with pytest.raises(AssertionError, match="at least 9"):
            network(torch.zeros(1, 3, MIN_FRAMES - 1, 224, 224))
        with pytest.raises(AssertionError, match="224"):
            network(torch.zeros(1, 3, MIN_FRAMES, 112, 112))
