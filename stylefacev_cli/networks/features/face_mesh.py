"""The three networks of Google's face mesh: where faces are, 478 points of one, its expression.

Sources: Bazarevsky et al. 2019, "BlazeFace" (the detector, short range); Grishchenko et al. 2020,
"Attention Mesh", and MediaPipe's model cards of Face Mesh V2 and Blendshape V2. The weights are
those of `face_landmarker.task`, read by `weights/convert/face_mesh_weights.py`.

Written out rather than run as the file's graph: there are three kinds of blocks, and it is code
that can be read. Parameters are defined in the order in which the file's operators use theirs, so
that they are filled in that order; shapes and strides are compared when they are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.features.efficientnet_lite import same_padding

DETECTOR_SIDE_PX = 128
MESH_SIDE_PX = 256
NUM_POINTS = 478
NUM_BLENDSHAPES = 52
NUM_EYE_POINTS = 6  # the detector's: eyes, tip of the nose, mouth, ears

# Points of the mesh that tell the blendshapes, in the order of the network's input.
BLENDSHAPE_POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65),
    *(66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136),
    *(144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168),
    *(172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276),
    *(282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318),
    *(321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380),
    *(381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466),
    *(468, 469, 470, 471, 472, 473, 474, 475, 476, 477),
)
BLENDSHAPE_NAMES = (
    *("_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft"),
    *("browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft"),
    *("eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight"),
    *("eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft"),
    *("eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen"),
    *("jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft"),
    *("mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight"),
    *("mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower"),
    *("mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight"),
    *("mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight"),
)

_DETECTOR_STEM_CHANNELS = 24
# Channels after each block of the detector, and whether it halves the resolution.
_DETECTOR_BLOCKS = (
    *((24, False), (28, False), (32, True), (36, False), (42, False), (48, True), (56, False)),
    *((64, False), (72, False), (80, False), (88, False), (96, True)),
    *((96, False), (96, False), (96, False), (96, False)),
)
_FINE_ENDS = 11  # blocks, of which the 16×16 features are
_ANCHORS = ((16, 2), (8, 6))  # cells a side, anchors of each cell
_SCORE_LIMIT = 100.0

# Channels of the mesh network's stages and of the narrow part of their blocks.
_MESH_STEM_CHANNELS = 16
_MESH_STAGES = ((32, 16), (64, 32), (128, 64), (128, 64), (128, 64), (128, 64))
_BLOCKS_OF_STAGE = 4

_NUM_TOKENS = 97  # of which the first is learnt and tells the blendshapes
_TOKEN_WIDTH = 64
_EPSILON = 1.0132789611816406e-06  # 1e-6 as the file's half floats have it


class DetectedFaces(NamedTuple):
    """Faces that the detector sees, one for each of its 896 anchors; most of them are none.

    Attributes:
        scores: [N, 896] in [0, 1].
        boxes: [N, 896, 4] left, top, right, bottom in sides of the image.
        eye_points: [N, 896, 6, 2] of eyes (the one on the left of the image first), tip of the
            nose, mouth and ears, in sides of the image.
    """

    scores: Tensor
    boxes: Tensor
    eye_points: Tensor


class FaceMeshPoints(NamedTuple):
    """What the mesh network sees in squares around faces.

    Attributes:
        points: [N, 478, 3] x, y, z in sides of the square.
        presence: [N] in [0, 1]: that there is a face.
    """

    points: Tensor
    presence: Tensor


class FaceBoxNetwork(nn.Module):
    """BlazeFace of short range: faces in a square picture, which they fill by a tenth or more."""

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        self.stem = _SameConv(3, _DETECTOR_STEM_CHANNELS, kernel=5)
        channels, blocks = _DETECTOR_STEM_CHANNELS, []
        for out_channels, halves in _DETECTOR_BLOCKS:
            blocks.append(_BoxBlock(channels, out_channels, halves))
            channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        fine = _DETECTOR_BLOCKS[_FINE_ENDS - 1][0]
        self.fine_scores = nn.Conv2d(fine, _ANCHORS[0][1], 1)
        self.coarse_scores = nn.Conv2d(channels, _ANCHORS[1][1], 1)
        self.fine_boxes = nn.Conv2d(fine, 16 * _ANCHORS[0][1], 1)
        self.coarse_boxes = nn.Conv2d(channels, 16 * _ANCHORS[1][1], 1)

    def forward(self, images: Tensor) -> DetectedFaces:
        """Faces in images [N, 3, 128, 128] in [0, 1]."""
        logits, values = self.raw(images * 2 - 1)
        values = values.reshape(*logits.shape, 8, 2) / DETECTOR_SIDE_PX  # centre, size, six points
        anchors = _anchor_centres(values.device)
        centres, sizes = values[:, :, 0] + anchors, values[:, :, 1]
        boxes = torch.cat([centres - sizes / 2, centres + sizes / 2], 2)
        scores = logits.clamp(-_SCORE_LIMIT, _SCORE_LIMIT).sigmoid()
        return DetectedFaces(scores, boxes, values[:, :, 2:] + anchors[:, None])

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs as the file's network has them: [N, 896] and [N, 896, 16], of images in ±1."""
        assert images.shape[1:] == (3, DETECTOR_SIDE_PX, DETECTOR_SIDE_PX), (
            f"images [N, 3, 128, 128] expected, got {list(images.shape)}"
        )
        x = F.relu(self.stem(images))
        fine = x
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number == _FINE_ENDS:
                fine = x
        scores = [_by_anchor(self.fine_scores(fine), 1), _by_anchor(self.coarse_scores(x), 1)]
        boxes = [_by_anchor(self.fine_boxes(fine), 16), _by_anchor(self.coarse_boxes(x), 16)]
        return torch.cat(scores, 1)[:, :, 0], torch.cat(boxes, 1)


class FaceMeshNetwork(nn.Module):
    """Face Mesh V2: a square around a face → its 478 points."""

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        channels = _MESH_STEM_CHANNELS
        self.stem = _SameConv(3, channels, kernel=3)
        self.stem_slope = nn.PReLU(channels)
        blocks: list[nn.Module] = [
            _MeshBlock(channels, channels // 2) for _ in range(_BLOCKS_OF_STAGE)
        ]
        for out_channels, narrow in _MESH_STAGES:
            blocks.append(_HalvingBlock(channels, narrow, out_channels))
            blocks += [_MeshBlock(out_channels, narrow) for _ in range(_BLOCKS_OF_STAGE)]
            channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.tongue = nn.Conv2d(channels, 1, 2)  # that it is out; in the file, and not asked
        self.presence = nn.Conv2d(channels, 1, 2)
        self.points = nn.Conv2d(channels, 3 * NUM_POINTS, 2)

    def forward(self, images: Tensor) -> FaceMeshPoints:
        """Points in images [N, 3, 256, 256] in [0, 1]."""
        points, presence = self.raw(images)
        return FaceMeshPoints(points.reshape(len(points), -1, 3) / MESH_SIDE_PX, presence.sigmoid())

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs as the file's network has them: pixels [N, 1434] and a logit [N]."""
        assert images.shape[1:] == (3, MESH_SIDE_PX, MESH_SIDE_PX), (
            f"images [N, 3, 256, 256] expected, got {list(images.shape)}"
        )
        x = self.blocks(self.stem_slope(self.stem(images)))
        return self.points(x)[:, :, 0, 0], self.presence(x)[:, 0, 0, 0]


class BlendshapeNetwork(nn.Module):
    """Blendshape V2, an MLP mixer (Tolstikhin et al. 2021): points of the mesh → 52 weights."""

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        self.points_to_tokens = nn.Linear(len(BLENDSHAPE_POINTS), _NUM_TOKENS - 1)
        self.embed = nn.Linear(2, _TOKEN_WIDTH)
        self.first_token = _FirstToken()
        self.blocks = nn.Sequential(*(_MixerBlock() for _ in range(4)))
        self.weights = nn.Linear(_TOKEN_WIDTH, NUM_BLENDSHAPES)

    def forward(self, points: Tensor) -> Tensor:
        """Weights [N, 52] in [0, 1], see `BLENDSHAPE_NAMES`, of points.

        Args:
            points: [N, 146, 2] `BLENDSHAPE_POINTS` of the mesh, of any scale and place.
        """
        centred = points - points.mean(1, keepdim=True)
        x = 0.5 * centred / centred.norm(dim=2, keepdim=True).mean(1, keepdim=True)
        x = self.embed(self.points_to_tokens(x.mT).mT)
        x = self.blocks(self.first_token(x))
        weights: Tensor = self.weights(x[:, 0]).sigmoid()
        return weights


class _SameConv(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding, surplus right and below."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', H / 2, W / 2]."""
        return super().forward(same_padding(x, self.kernel_size[0], 2))


class _BoxBlock(nn.Module):
    """Filter each channel, mix them by 1×1, add the input; channels it lacks are zero."""

    def __init__(self, in_channels: int, out_channels: int, halves: bool) -> None:
        super().__init__()
        self.depthwise = (
            _SameConv(in_channels, in_channels, 3, groups=in_channels)
            if halves
            else nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', H', W']."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return F.relu(y + _widened(F.max_pool2d(x, 2) if self.halves else x, y.shape[1]))


class _MeshBlock(nn.Module):
    """Narrow by 1×1, filter each channel, widen by 1×1, add the input."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, narrow, 1)
        self.squeeze_slope = nn.PReLU(narrow)
        self.depthwise = nn.Conv2d(narrow, narrow, 3, padding=1, groups=narrow)
        self.expand = nn.Conv2d(narrow, channels, 1)
        self.slope = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        y = self.depthwise(self.squeeze_slope(self.squeeze(x)))
        result: Tensor = self.slope(x + self.expand(y))
        return result


class _HalvingBlock(nn.Module):
    """A mesh block that narrows by 2×2 of stride 2; channels that the input lacks are zero."""

    def __init__(self, in_channels: int, narrow: int, out_channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, narrow, 2, stride=2)
        self.squeeze_slope = nn.PReLU(narrow)
        self.depthwise = nn.Conv2d(narrow, narrow, 3, padding=1, groups=narrow)
        self.expand = nn.Conv2d(narrow, out_channels, 1)
        self.slope = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', H / 2, W / 2]."""
        y: Tensor = self.expand(self.depthwise(self.squeeze_slope(self.squeeze(x))))
        result: Tensor = self.slope(y + _widened(F.max_pool2d(x, 2), y.shape[1]))
        return result


class _FirstToken(nn.Module):
    """A learnt token, put before the others."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(_TOKEN_WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 96, 64] to [N, 97, 64]."""
        return torch.cat([self.token.expand(len(x), 1, -1), x], 1)


class _MixerBlock(nn.Module):
    """Mix across tokens, then across their channels, each added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(_TOKEN_WIDTH, eps=_EPSILON, bias=False)
        self.token_mix = _two_layers(_NUM_TOKENS, 384)
        self.channel_norm = nn.LayerNorm(_TOKEN_WIDTH, eps=_EPSILON, bias=False)
        self.channel_mix = _two_layers(_TOKEN_WIDTH, 256)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 97, 64] to the same shape."""
        x = x + self.token_mix(self.token_norm(x).mT).mT
        mixed: Tensor = x + self.channel_mix(self.channel_norm(x))
        return mixed


def _two_layers(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))


def _widened(x: Tensor, channels: int) -> Tensor:
    """X [N, C, H, W] with zeros for the channels that it lacks."""
    return x if x.shape[1] == channels else F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def _by_anchor(x: Tensor, num_values: int) -> Tensor:
    """X [N, anchors · values, H, W] as [N, H · W · anchors, values]."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, num_values)


def _anchor_centres(device: torch.device) -> Tensor:
    """Centres [896, 2] of the anchors in sides of the image: the cells', row by row."""
    centres = []
    for cells, per_cell in _ANCHORS:
        at = (torch.arange(cells, device=device) + 0.5) / cells
        y, x = torch.meshgrid(at, at, indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 2).repeat_interleave(per_cell, 0))
    return torch.cat(centres)
