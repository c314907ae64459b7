"""The landmark detector: an image of a face → heatmaps of its 98 WFLW points.

Source: Bulat & Tzimiropoulos 2017 (FAN hourglass); Wang et al. 2019, "Adaptive Wing Loss"
(coordinate channels, boundary map, WFLW); one hourglass, as StyleFaceV uses it.

Points are x, y (x right, y down). Where a function takes or gives landmarks, the frame is `size`
wide: 1 for fractions of the frame (the unit of the labels in `data`), 256 for the authors' pixels.
The centre of the heatmap pixel in column i of n lies at (i + 0.5) / n of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.resize import resize_square
from stylefacev_cli.networks.stylefacev.batch_norm import BatchNorm2d

NUM_LANDMARKS = 98
NUM_LANDMARKS_68 = 68
NUM_KEY_POINTS = 14

# The WFLW points whose mean is each key point (StyleFaceV's supervision of the pose).
_KEY_POINT_LANDMARKS: tuple[tuple[int, ...], ...] = (
    tuple(range(33, 42)),  # the brow on the left of the picture
    tuple(range(42, 51)),  # the brow on the right
    *((62,), (96,), (66,)),  # left eye: upper lid, pupil, lower lid
    *((70,), (97,), (74,)),  # right eye
    (54,),  # tip of the nose
    *((79,), (85,)),  # outer lips: top, bottom
    *((88,), (92,)),  # inner lips: corners
    (90, 94),  # inner lips: between top and bottom
)

# The same places in the 68 points of 300-W (Sagonas et al. 2013: outline 0–16, brows 17–26, nose
# 27–35, eyes 36–47 from the left corner clockwise, outer lips 48–59, inner lips 60–67). Its lids
# have two points each, of which the middle is taken; it has no pupils: the middle of the eye stands
# for them and does not follow the gaze. Its brows are upper edges, those of WFLW whole outlines.
_KEY_POINT_LANDMARKS_68: tuple[tuple[int, ...], ...] = (
    tuple(range(17, 22)),
    tuple(range(22, 27)),
    *((37, 38), tuple(range(36, 42)), (40, 41)),
    *((43, 44), tuple(range(42, 48)), (46, 47)),
    (30,),
    *((51,), (57,)),
    *((60,), (64,)),
    (62, 66),
)

# The curves that WFLW points draw: first point, last point, closed?
_BOUNDARIES: tuple[tuple[int, int, bool], ...] = (
    (0, 32, False),  # outline of the face
    (33, 41, True),  # brows
    (42, 50, True),
    (51, 54, False),  # bridge of the nose, nostrils
    (55, 59, False),
    (60, 67, True),  # eyes
    (68, 75, True),
    (76, 87, True),  # outer and inner lips
    (88, 95, True),
)


@dataclass(frozen=True)
class LandmarkDetectorConfig:
    """Sizes of the landmark detector; the defaults are the released ones (6.3 M parameters)."""

    input_size: int = 256  # px; frames of other sizes are resized
    stem_stride: int = 4  # 4, 2 or 1: input_size / stem_stride is the heatmaps' side
    width: int = 256  # channels of the hourglass; a multiple of 8
    depth: int = 4  # halvings inside the hourglass

    def __post_init__(self) -> None:
        if self.stem_stride not in (1, 2, 4):
            raise UsageError(f"landmarks: stem_stride {self.stem_stride} is not 1, 2 or 4")
        if self.width % 8 != 0:
            raise UsageError(f"landmarks: width {self.width} is not a multiple of 8")
        if self.input_size % (self.stem_stride << self.depth) != 0:
            raise UsageError(
                f"landmarks: input_size {self.input_size} is not a multiple of "
                f"stem_stride · 2^depth = {self.stem_stride << self.depth}"
            )

    @property
    def heatmap_size(self) -> int:
        """Side of the heatmaps."""
        return self.input_size // self.stem_stride


class CoordConv(nn.Module):
    """A convolution with coordinate channels: row, column (−1 … 1) and radius (0 … 1)."""

    coordinates: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, size: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels + 3, out_channels, kernel, stride, padding=kernel // 2)
        axis = torch.arange(size) / (size - 1) * 2 - 1  # not linspace, which rounds otherwise
        rows, columns = torch.meshgrid(axis, axis, indexing="ij")
        radius = (rows.square() + columns.square()).sqrt()
        coordinates = torch.stack([rows, columns, radius / radius.max()])[None]
        self.register_buffer("coordinates", coordinates, persistent=False)  # [1, 3, size, size]

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, size, size] → [N, out, size / stride, size / stride]."""
        coordinates = self.coordinates.expand(len(x), -1, -1, -1)
        out: Tensor = self.conv(torch.cat([x, coordinates.to(x.dtype)], dim=1))
        return out


class ConvBlock(nn.Module):
    """Three chained 3×3 convolutions whose results stand side by side, plus the shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half, quarter = out_channels // 2, out_channels // 4
        self.bn1 = BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, half, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample: nn.Sequential | None = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                BatchNorm2d(in_channels),
                nn.ReLU(),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] → [N, out, H, W]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        first = self.conv1(F.relu(self.bn1(x), inplace=True))
        second = self.conv2(F.relu(self.bn2(first), inplace=True))
        third = self.conv3(F.relu(self.bn3(second), inplace=True))
        return torch.cat([first, second, third], dim=1) + shortcut


class Hourglass(nn.Module):
    """A symmetric hourglass: blocks at each of `depth` halvings, added on the way up."""

    def __init__(self, width: int, depth: int, size: int) -> None:
        super().__init__()
        self.depth = depth
        self.coordconv = CoordConv(width, width, kernel=1, stride=1, size=size)
        for level in range(depth, 0, -1):
            self.add_module(f"b1_{level}", ConvBlock(width, width))  # beside the halving
            self.add_module(f"b2_{level}", ConvBlock(width, width))  # on the way down
            self.add_module(f"b3_{level}", ConvBlock(width, width))  # on the way up
        self.b2_plus_1 = ConvBlock(width, width)  # at the bottom

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, H, W] → the same shape."""
        return self._level(self.depth, self.coordconv(x))

    def _level(self, level: int, x: Tensor) -> Tensor:
        beside: Tensor = self.get_submodule(f"b1_{level}")(x)
        down: Tensor = self.get_submodule(f"b2_{level}")(F.avg_pool2d(x, 2))
        down = self._level(level - 1, down) if level > 1 else self.b2_plus_1(down)
        up: Tensor = self.get_submodule(f"b3_{level}")(down)
        return beside + F.interpolate(up, scale_factor=2, mode="nearest")


class LandmarkDetector(nn.Module):
    """One hourglass from an image to 98 heatmaps and a boundary map.

    The state dict is that of the released `latest_net_FE_lm.pth`.
    """

    def __init__(self, config: LandmarkDetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LandmarkDetectorConfig()
        width = config.width
        stem_stride = min(config.stem_stride, 2)
        self.conv1 = CoordConv(3, width // 4, kernel=7, stride=stem_stride, size=config.input_size)
        self.bn1 = BatchNorm2d(width // 4)
        self.conv2 = ConvBlock(width // 4, width // 2)
        self.conv3 = ConvBlock(width // 2, width // 2)
        self.conv4 = ConvBlock(width // 2, width)
        self.m0 = Hourglass(width, config.depth, config.heatmap_size)
        self.top_m_0 = ConvBlock(width, width)
        self.conv_last0 = nn.Conv2d(width, width, 1)
        self.bn_end0 = BatchNorm2d(width)
        self.l0 = nn.Conv2d(width, NUM_LANDMARKS + 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Heatmaps of the 98 WFLW points.

        Args:
            images: [N, 3, S, S] in [0, 1] (not [−1, 1]); any S, resized to `input_size`.

        Returns:
            [N, 98, H, H] with H = `config.heatmap_size`; about 1 at a point and 0 elsewhere.
        """
        return self.heatmaps_and_boundary(images)[0]

    def heatmaps_and_boundary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps [N, 98, H, H] and the boundary map [N, 1, H, H] of images as in `forward`."""
        assert images.ndim == 4 and images.shape[1] == 3, (
            f"images [N, 3, S, S] expected, got {list(images.shape)}"
        )
        x = resize_square(images, self.config.input_size)
        x = self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True))
        if self.config.stem_stride == 4:
            x = F.avg_pool2d(x, 2)
        x = self.conv4(self.conv3(x))  # [N, width, H, H]
        x = self.top_m_0(self.m0(x))
        x = F.relu(self.bn_end0(self.conv_last0(x)), inplace=True)
        maps = self.l0(x)  # [N, 98 + 1, H, H]
        return maps[:, :NUM_LANDMARKS], maps[:, NUM_LANDMARKS:]


def landmarks_from_heatmaps(heatmaps: Tensor, size: float = 1.0) -> Tensor:
    """The maximum of each heatmap, moved a quarter pixel towards its higher neighbours.

    Args:
        heatmaps: [N, K, H, H] float.
        size: width of the frame in the unit of the result; 1 gives fractions of the frame.

    Returns:
        [N, K, 2] x and y; without a gradient. At the heatmap's rim there is no quarter pixel.
    """
    assert heatmaps.ndim == 4 and heatmaps.shape[2] == heatmaps.shape[3], (
        f"heatmaps [N, K, H, H] expected, got {list(heatmaps.shape)}"
    )
    maps = heatmaps.detach()
    side = maps.shape[-1]
    flat = maps.flatten(2)
    peak = flat.argmax(dim=2)  # [N, K]
    row, column = peak // side, peak % side

    # Signs of the slope at the peak; rim pixels look at themselves and are masked.
    inside = (row > 0) & (row < side - 1) & (column > 0) & (column < side - 1)

    def slope_sign(step: int) -> Tensor:
        ahead = torch.where(inside, peak + step, peak)[..., None]
        behind = torch.where(inside, peak - step, peak)[..., None]
        return (flat.gather(2, ahead) - flat.gather(2, behind)).sign().squeeze(2)

    corner = torch.stack([column, row], dim=2).to(maps.dtype)
    quarter = 0.25 * torch.stack([slope_sign(1), slope_sign(side)], dim=2)
    return (corner + 0.5 + quarter) * (size / side)


def key_points_from_landmarks(landmarks: Tensor, size: float = 1.0) -> Tensor:
    """The 14 key points: brows, lids, pupils, tip of the nose, mouth.

    Args:
        landmarks: [..., 98, 2] WFLW points, or [..., 68, 2] points of 300-W.
        size: width of the frame in the unit of `landmarks`.

    Returns:
        [..., 14, 2] fractions of the frame.
    """
    assert landmarks.shape[-2:] in ((NUM_LANDMARKS, 2), (NUM_LANDMARKS_68, 2)), (
        f"landmarks [..., {NUM_LANDMARKS}, 2] expected, got {list(landmarks.shape)}"
    )
    of_98 = landmarks.shape[-2] == NUM_LANDMARKS
    groups = _KEY_POINT_LANDMARKS if of_98 else _KEY_POINT_LANDMARKS_68
    points = [landmarks[..., list(group), :].mean(dim=-2) for group in groups]
    return torch.stack(points, dim=-2) / size


def heatmap_targets(landmarks: Tensor, heatmap_size: int, sigma_px: float = 1.0) -> Tensor:
    """Target heatmaps of the detector: Gaussians of height 1 around landmarks.

    Args:
        landmarks: [N, K, 2] fractions of the frame; points outside it leave their map near 0.
        heatmap_size: side of the maps.
        sigma_px: standard deviation in heatmap pixels.

    Returns:
        [N, K, heatmap_size, heatmap_size] in [0, 1].
    """
    centres = torch.arange(heatmap_size, device=landmarks.device, dtype=landmarks.dtype) + 0.5
    offsets_px = landmarks[..., None] * heatmap_size - centres  # [N, K, 2, H]
    gaussians = torch.exp(-0.5 * (offsets_px / sigma_px).square())
    return gaussians[:, :, 1, :, None] * gaussians[:, :, 0, None, :]


def boundary_target(landmarks: Tensor, heatmap_size: int, sigma_px: float = 1.0) -> Tensor:
    """Target boundary map of the detector: exp(−d² / 2σ²) of the distance d to the face's curves.

    The curves are the outline, brows, nose, eyes and lips.

    Args:
        landmarks: [N, 98, 2] fractions of the frame.
        heatmap_size: side of the map.
        sigma_px: standard deviation in heatmap pixels.

    Returns:
        [N, 1, heatmap_size, heatmap_size] in [0, 1].
    """
    assert landmarks.ndim == 3 and landmarks.shape[1:] == (NUM_LANDMARKS, 2), (
        f"landmarks [N, {NUM_LANDMARKS}, 2] expected, got {list(landmarks.shape)}"
    )
    points_px = landmarks * heatmap_size
    axis = torch.arange(heatmap_size, device=landmarks.device, dtype=landmarks.dtype) + 0.5
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1)  # [H, H, 2]
    squares = [
        _squared_distance(pixels, points_px[:, first], points_px[:, second])
        for first, second in _boundary_segments()
    ]
    nearest = reduce(torch.minimum, squares)
    return torch.exp(-0.5 * nearest / sigma_px**2)[:, None]


def _boundary_segments() -> list[tuple[int, int]]:
    segments = [(i, i + 1) for first, last, _ in _BOUNDARIES for i in range(first, last)]
    return segments + [(last, first) for first, last, closed in _BOUNDARIES if closed]


def _squared_distance(pixels: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Squared distances [N, H, H] of pixels [H, H, 2] to segments from start to end [N, 2]."""
    start, along = start[:, None, None], (end - start)[:, None, None]
    to_pixel = pixels - start  # [N, H, H, 2]
    length_squared = along.square().sum(-1).clamp_min(1e-12)
    fraction = ((to_pixel * along).sum(-1) / length_squared).clamp(0, 1)
    return (to_pixel - fraction[..., None] * along).square().sum(-1)
