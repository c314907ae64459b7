"""I3D, Inception inflated to three dimensions: the feature network of the Fréchet video distance.

Source: Carreira and Zisserman 2017, "Quo vadis, action recognition?"; Unterthiner et al. 2018,
"Towards accurate generative models of video", take its 400 logits as the features of a clip.

Batch normalisations have no scale here and never learn again: they are folded into the
convolutions when weights are read, so that each unit is relu(convolution + bias).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE_PX = 224
MIN_FRAMES = 9  # fewer leave the average pool no input
NUM_LOGITS = 400
BATCH_NORM_EPSILON = 1e-3

_Triple = tuple[int, int, int]

# Channels of the branches: 1×1; 1×1 → 3×3; 1×1 → 3×3; pool → 1×1.
MODULES: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOL_BEFORE: dict[str, tuple[_Triple, _Triple]] = {  # (window, stride) over time, height, width
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
_LAST_POOL: _Triple = (2, 7, 7)


def same_padding(x: Tensor, kernel: _Triple, stride: _Triple, value: float = 0.0) -> Tensor:
    """Pad x [N, C, T, H, W] so that a window of this stride gives ⌈size / stride⌉ places.

    total = max((⌈n/s⌉ − 1)·s + k − n, 0) from the actual size n of each axis, the odd one on the
    high side: TensorFlow's SAME, which is not symmetric where the total is odd.
    """
    padding: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding, value=value) if any(padding) else x


def max_pool(x: Tensor, window: _Triple, stride: _Triple) -> Tensor:
    """Maximum over windows, padded with −∞ as SAME asks for."""
    return F.max_pool3d(same_padding(x, window, stride, -torch.inf), window, stride)


class Unit(nn.Module):
    """relu(convolution + bias), padded as SAME asks for."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, stride)
        self._kernel: _Triple = (kernel, kernel, kernel)
        self._stride: _Triple = (stride, stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, T, H, W] → [N, out, ⌈T/stride⌉, ⌈H/stride⌉, ⌈W/stride⌉]."""
        return F.relu(self.conv(same_padding(x, self._kernel, self._stride)), inplace=True)


class InceptionModule(nn.Module):
    """Four parallel branches, concatenated along the channels."""

    def __init__(self, in_channels: int, channels: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3 = channels
        self.b0 = Unit(in_channels, c0, 1)
        self.b1a = Unit(in_channels, c1a, 1)
        self.b1b = Unit(c1a, c1b, 3)
        self.b2a = Unit(in_channels, c2a, 1)
        self.b2b = Unit(c2a, c2b, 3)
        self.b3b = Unit(in_channels, c3, 1)
        self.out_channels = c0 + c1b + c2b + c3

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, T, H, W] → [N, out, T, H, W]."""
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1))
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)]
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """The network up to its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        channels = 192
        for name, widths in MODULES.items():
            module = InceptionModule(channels, widths)
            self.add_module(name, module)
            channels = module.out_channels
        self.logits = nn.Conv3d(channels, NUM_LOGITS, 1)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits, averaged over time.

        Args:
            clips: [N, 3, T, 224, 224] in [−1, 1], T ≥ `MIN_FRAMES`.

        Returns:
            [N, 400], no softmax.
        """
        shape = (3, INPUT_SIZE_PX, INPUT_SIZE_PX)
        assert clips.ndim == 5 and (clips.shape[1], *clips.shape[3:]) == shape, (
            f"clips [N, 3, T, {INPUT_SIZE_PX}, {INPUT_SIZE_PX}] expected, got {list(clips.shape)}"
        )
        assert clips.shape[2] >= MIN_FRAMES, f"{clips.shape[2]} frames; at least {MIN_FRAMES}"
        x = self.Conv3d_1a_7x7(clips)
        x = max_pool(x, (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        for name in MODULES:
            if name in _POOL_BEFORE:
                x = max_pool(x, *_POOL_BEFORE[name])
            x = self.get_submodule(name)(x)
        x = F.avg_pool3d(x, _LAST_POOL, stride=1)
        logits: Tensor = self.logits(x).mean(dim=(2, 3, 4))
        return logits


def legacy_bilinear(frames: Tensor, size_px: int = INPUT_SIZE_PX) -> Tensor:
    """Resize as TensorFlow 1 did: source = destination · in / out, no half pixel, no antialias.

    The resize is part of the metric: others move the logits far.

    Args:
        frames: [N, 3, H, W] float.
        size_px: side of the result.

    Returns:
        [N, 3, size_px, size_px].
    """
    for axis in (2, 3):
        size = frames.shape[axis]
        source = torch.arange(size_px, dtype=torch.float32) * (size / size_px)
        low = source.floor().long().clamp(max=size - 1)
        high = (low + 1).clamp(max=size - 1)
        share = (source - low).view(-1, 1) if axis == 2 else source - low
        below, above = frames.index_select(axis, low), frames.index_select(axis, high)
        frames = below + (above - below) * share
    return frames


def preprocess(frames: Tensor) -> Tensor:
    """The network's input [3, T, 224, 224] from frames [T, 3, H, W] with values from 0 to 255."""
    return (legacy_bilinear(frames.float()) / 255 * 2 - 1).permute(1, 0, 2, 3)
