"""The landmark branch: landmarks of a frame → an offset of its ws for the shape of the face.

The appearance encoder learns colour, hair and light first and little of a face's proportions, which
landmarks measure directly. The shape of a face moves w by nearly the same offset in every pose, so
the branch's output is added to the ws and not multiplied with poses. Neither the paper nor the
original code has this branch; released networks are without it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.stylefacev.landmarks import (
    NUM_LANDMARKS,
    LandmarkDetector,
    LandmarkDetectorConfig,
)

_NUM_COORDINATES = 2 * NUM_LANDMARKS
_DIRECTIONS = 96  # principal components of the 196 coordinates
_HIDDEN = 256
_NOISE = 0.001  # of the frame: the detector's noise, which whitening must not amplify
_SHARPNESS = 4  # power of the heatmaps: 1 would count the background around a point


class LandmarkBranch(nn.Module):
    """Landmarks and encoder features of a frame → the offset of its ws for the face's shape.

    The detector (`finder`) is frozen; the linear layers are trained.
    """

    def __init__(self, config: LandmarkDetectorConfig, num_features: int, w_dim: int) -> None:
        """Build an untrained branch.

        Args:
            config: of the detector.
            num_features: channels of the encoder's features.
            w_dim: of the generator.
        """
        super().__init__()
        self.finder = LandmarkDetector(config).requires_grad_(False)
        self.directions = nn.Linear(_NUM_COORDINATES, _DIRECTIONS)
        self.hidden1 = nn.Linear(_DIRECTIONS + num_features, _HIDDEN)
        self.hidden2 = nn.Linear(_HIDDEN, _HIDDEN)
        self.added = nn.Linear(_HIDDEN, w_dim)

    @property
    def layers(self) -> nn.ModuleList:
        """The layers that are trained."""
        return nn.ModuleList([self.directions, self.hidden1, self.hidden2, self.added])

    def landmarks(self, frames: Tensor) -> Tensor:
        """Centres of mass of the heatmaps, without a gradient, always in float32.

        Steadier than the positions of the maxima, which have steps of a quarter of a heatmap pixel.

        Args:
            frames: [N, 3, S, S] in [−1, 1]; any S, resized to the detector's input size.

        Returns:
            [N, 98, 2] x and y, fractions of the frame.
        """
        self.finder.eval()
        with torch.no_grad():
            heatmaps = self.finder((frames + 1) / 2).float()
        with torch.no_grad(), torch.autocast(frames.device.type, enabled=False):
            mass = heatmaps.clamp(min=0) ** _SHARPNESS
            mass = mass / mass.sum(dim=(2, 3), keepdim=True).clamp(min=1e-12)
            axis = (torch.arange(mass.shape[-1], device=mass.device) + 0.5) / mass.shape[-1]
            return torch.stack([mass.sum(dim=2) @ axis, mass.sum(dim=3) @ axis], dim=2)

    @torch.no_grad()
    def init_from(self, landmarks: Tensor, features: Tensor) -> None:
        """Initialise the first two layers by whitening the data; the output layer is zero.

        Args:
            landmarks: [N, 98, 2] of many people, fractions of the frame; the first layer gives
                their principal components at variance 1.
            features: [N, num_features] of the same frames, normalised by the second layer.
        """
        self._check(landmarks, features)
        points = landmarks.flatten(1)
        mean = points.mean(dim=0)
        _, spread, components = torch.linalg.svd(points - mean, full_matrices=False)
        kept = min(_DIRECTIONS, len(components))
        deviations = spread[:kept] / max(len(points) - 1, 1) ** 0.5
        weight = torch.zeros_like(self.directions.weight)
        weight[:kept] = components[:kept] / (deviations.square() + _NOISE**2).sqrt()[:, None]
        self.directions.weight.copy_(weight)
        self.directions.bias.copy_(-weight @ mean)

        for layer in (self.hidden1, self.hidden2):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        of_features = self.hidden1.weight[:, _DIRECTIONS:]
        of_features /= features.std(dim=0).clamp(min=1e-3 * float(features.std()) + 1e-12)
        self.hidden1.bias.sub_(of_features @ features.mean(dim=0))
        nn.init.zeros_(self.added.weight)
        nn.init.zeros_(self.added.bias)

    def shape_offsets(self, landmarks: Tensor, features: Tensor, dropout: float = 0.0) -> Tensor:
        """The offset of every w of a face.

        Always in float32: shapes differ by less than bfloat16 resolves of a coordinate.

        Args:
            landmarks: [N, 98, 2] fractions of the frame.
            features: [N, num_features] of the encoder, averaged over the frame.
            dropout: share of hidden values that is dropped, for training.

        Returns:
            [N, w_dim] float32.
        """
        self._check(landmarks, features)
        with torch.autocast(landmarks.device.type, enabled=False):
            directions = self.directions(landmarks.flatten(1))
            x = torch.cat([directions, features.float()], dim=1)
            x = F.dropout(F.silu(self.hidden1(x)), dropout)
            x = F.dropout(F.silu(self.hidden2(x)), dropout)
            added: Tensor = self.added(x)
        return added

    def _check(self, landmarks: Tensor, features: Tensor) -> None:
        num_features = self.hidden1.in_features - _DIRECTIONS
        assert landmarks.ndim == 3 and landmarks.shape[1:] == (NUM_LANDMARKS, 2), (
            f"landmarks [N, {NUM_LANDMARKS}, 2] expected, got {list(landmarks.shape)}"
        )
        assert features.shape == (len(landmarks), num_features), (
            f"features [{len(landmarks)}, {num_features}] expected, got {list(features.shape)}"
        )
