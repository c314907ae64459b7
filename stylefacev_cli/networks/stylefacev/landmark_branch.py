"""What landmarks tell of a face's form: a second way from the picture to the ws, past the poses.

An appearance encoder learns colours, hair and light first, and next to nothing of form: whose brows
are high or whose nose is long the default model's did not know at all, and whoever was given
another's pose got an average face's proportions in it. Landmarks measure form, and the method has a
detector of them. What form does to w is nearly the same in every pose (people's and poses' parts of
w, added, explained 99 % of its variance), so it is added, and poses need not be multiplied with it.
Neither the paper nor the original code has this branch; released networks are without it.
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
_DIRECTIONS = 96  # of how faces differ, of the 196
_HIDDEN = 256
# Fraction of the frame: differences below are noise of the detector, and are not blown up to 1.
_NOISE = 0.001
_SHARPNESS = 4  # power of the heatmaps: 1 would take the haze around a point for a part of it


class LandmarkBranch(nn.Module):
    """Landmarks of a frame, and what else is seen in it → what a face's form adds to its ws.

    The detector does not learn here; the linear layers do.
    """

    def __init__(self, config: LandmarkDetectorConfig, num_features: int, w_dim: int) -> None:
        """Untrained.

        Args:
            config: of the detector.
            num_features: of what else is seen.
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
        """Those that learn."""
        return nn.ModuleList([self.directions, self.hidden1, self.hidden2, self.added])

    def landmarks(self, frames: Tensor) -> Tensor:
        """Where the heatmaps' mass is, without a gradient, in single precision everywhere.

        Steadier than where they are highest, which is told in quarters of a heatmap's pixel.

        Args:
            frames: [N, 3, S, S] in [−1, 1].

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
        """See how faces differ, and add nothing yet.

        Args:
            landmarks: [N, 98, 2] of many people; their principal components, of variance 1, are the
                first layer at the start.
            features: [N, num_features] of the same frames, which the second layer scales likewise.
        """
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
        """What to add to each w [N, w_dim].

        In single precision everywhere: forms differ by less than bfloat16 can tell of a coordinate.

        Args:
            landmarks: [N, 98, 2] fractions of the frame.
            features: [N, num_features] that the encoder sees there.
            dropout: share of the hidden values that is left out, while the layers are fitted.
        """
        with torch.autocast(landmarks.device.type, enabled=False):
            directions = self.directions(landmarks.flatten(1))
            x = torch.cat([directions, features.float()], dim=1)
            x = F.dropout(F.silu(self.hidden1(x)), dropout)
            x = F.dropout(F.silu(self.hidden2(x)), dropout)
            added: Tensor = self.added(x)
        return added
