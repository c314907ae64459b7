"""The layers of DIGAN do what their equations say."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from stylefacev_cli.networks.baselines.digan_layers import CoordFuser, FactorisedLayer, doubled

DOUBLE = torch.float64


def test_features_are_waves_of_the_coordinates() -> None:
    """sin and cos of W (x, y) + β + m, pixel by pixel, with no trick."""
    torch.manual_seed(0)
    fuser = CoordFuser(6, 3).double()
    w, z_motion = torch.randn(2, 6, dtype=DOUBLE), torch.randn(2, 6, dtype=DOUBLE)
    t = torch.tensor([[0.0, 0.5], [0.25, 2.0]], dtype=DOUBLE)
    size = 5
    found = fuser(w, z_motion, t, size).view(2, 2, 6, size, size)
    predicted = fuser.xyaffine(w)
    for video in range(2):
        for frame in range(2):
            moved = 0.25 * t[video, frame] * fuser.affine(torch.cat([w, z_motion], dim=1))
            motion = fuser.motion_mlp(F.leaky_relu(moved, 0.01))[video]
            for row in range(size):
                for column in range(size):
                    x, y = 2 * column / size - 1, 2 * (size - 1 - row) / size - 1
                    freqs = predicted[video, :6].view(3, 2) * math.sqrt(10)
                    raw = freqs @ torch.tensor([x, y], dtype=DOUBLE) + predicted[video, 6:] + motion
                    torch.testing.assert_close(
                        found[video, frame, :, row, column], torch.cat([raw.sin(), raw.cos()])
                    )


def test_doubling_may_come_after_a_pointwise_convolution() -> None:
    torch.manual_seed(0)
    layer = FactorisedLayer(7, 4, 5, 2).double()
    w = torch.randn(2, 5, dtype=DOUBLE)
    x, beside = torch.randn(6, 3, 4, 4, dtype=DOUBLE), torch.randn(6, 4, 8, 8, dtype=DOUBLE)
    together = layer(torch.cat([doubled(x), beside], dim=1), w)
    torch.testing.assert_close(layer(x, w, beside), together)


def test_rows_of_weights_have_norm_one() -> None:
    torch.manual_seed(0)
    layer = FactorisedLayer(7, 4, 5, 2)
    norms = layer.modulated(torch.randn(3, 5)).norm(dim=2) / math.sqrt(2)
    torch.testing.assert_close(norms, torch.ones(3, 4))


def test_layers_have_gradients() -> None:
    torch.manual_seed(0)
    layer, w = FactorisedLayer(3, 2, 4, 2).double(), torch.randn(1, 4, dtype=DOUBLE)
    x = torch.randn(2, 3, 2, 2, dtype=DOUBLE)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(), w.requires_grad_()))
