"""Inception-v3 of 2015-12-05: the feature network of the Fréchet inception distance.

Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision"; Heusel
et al. 2017 take the 2048 pooled features. The frozen graph of that date averages its pools without
the border, and its last module takes the maximum instead. Names of parameters are those of the
PyTorch conversion of its weights (`pt_inception-2015-12-05-6726825d.pth`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE_PX = 299
NUM_FEATURES = 2048
NUM_CLASSES = 1008
BATCH_NORM_EPSILON = 1e-3


class Unit(nn.Module):
    """relu(normalisation(convolution)); a kernel of two numbers is (height, width)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] → [N, out, H', W']."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class ModuleA(nn.Module):
    """1×1, 5×5, double 3×3 and pool."""

    def __init__(self, channels: int, pool_channels: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(channels, 64)
        self.branch5x5_1 = Unit(channels, 48)
        self.branch5x5_2 = Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Unit(channels, 64)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, padding=1)
        self.branch_pool = Unit(channels, pool_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C', H, W]."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        wide = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_average(x))], dim=1)


class ModuleB(nn.Module):
    """Halves the size: 3×3, double 3×3 and pool."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = Unit(channels, 64)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C', H/2, W/2]."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], dim=1)


class ModuleC(nn.Module):
    """1×1, 7×7 and double 7×7 as pairs of one-dimensional filters, and pool."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        across, down = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}

        def unit(inputs: int, outputs: int, form: dict[str, tuple[int, int]]) -> Unit:
            return Unit(inputs, outputs, form["kernel"], padding=form["padding"])

        self.branch1x1 = Unit(channels, 192)
        self.branch7x7_1 = Unit(channels, inner)
        self.branch7x7_2 = unit(inner, inner, across)
        self.branch7x7_3 = unit(inner, 192, down)
        self.branch7x7dbl_1 = Unit(channels, inner)
        self.branch7x7dbl_2 = unit(inner, inner, down)
        self.branch7x7dbl_3 = unit(inner, inner, across)
        self.branch7x7dbl_4 = unit(inner, inner, down)
        self.branch7x7dbl_5 = unit(inner, 192, across)
        self.branch_pool = Unit(channels, 192)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, 768, H, W]."""
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_average(x))], dim=1)


class ModuleD(nn.Module):
    """Halves the size again: 3×3, 7×7 then 3×3, and pool."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(channels, 192)
        self.branch3x3_2 = Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Unit(channels, 192)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C', H/2, W/2]."""
        single = self.branch3x3_2(self.branch3x3_1(x))
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([single, self.branch7x7x3_4(wide), F.max_pool2d(x, 3, stride=2)], dim=1)


class ModuleE(nn.Module):
    """1×1, 3×3 and double 3×3 that end side by side, and a pool: the mean, or the maximum."""

    def __init__(self, channels: int, *, max_pool: bool) -> None:
        super().__init__()
        self._max_pool = max_pool
        self.branch1x1 = Unit(channels, 320)
        self.branch3x3_1 = Unit(channels, 384)
        self.branch3x3_2a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Unit(channels, 448)
        self.branch3x3dbl_2 = Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Unit(channels, 192)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, 2048, H, W]."""
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self._max_pool else _average(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([*parts, self.branch_pool(pooled)], dim=1)


class InceptionV3(nn.Module):
    """The network up to its pooled features; `fc` is unused, but in the weights' file."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b = ModuleA(192, 32)
        self.Mixed_5c = ModuleA(256, 64)
        self.Mixed_5d = ModuleA(288, 64)
        self.Mixed_6a = ModuleB(288)
        self.Mixed_6b = ModuleC(768, 128)
        self.Mixed_6c = ModuleC(768, 160)
        self.Mixed_6d = ModuleC(768, 160)
        self.Mixed_6e = ModuleC(768, 192)
        self.Mixed_7a = ModuleD(768)
        self.Mixed_7b = ModuleE(1280, max_pool=False)
        self.Mixed_7c = ModuleE(2048, max_pool=True)
        self.fc = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features.

        Args:
            images: [N, 3, 299, 299], (x − 128) / 128 of values from 0 to 255.

        Returns:
            [N, 2048].
        """
        assert images.shape[1:] == (3, INPUT_SIZE_PX, INPUT_SIZE_PX), (
            f"images [N, 3, {INPUT_SIZE_PX}, {INPUT_SIZE_PX}] expected, got {list(images.shape)}"
        )
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6a(x)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features: Tensor = x.mean(dim=(2, 3))
        return features
