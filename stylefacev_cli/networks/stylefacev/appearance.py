"""The appearance network: a frame → the appearance that stays; appearance and pose → ws.

Two arrows of one network, since both are trained and published together (StyleFaceV, "decomposing
and recomposing"):

    encode      frame [3, S, S] → appearance [C, 8, 8]         a = E_app(x)
    recompose   appearance, pose [1, 8, 8] → ws [num_ws, w]    w = R(a, p)

The authors never put it into evaluation mode: it trains by the statistics of each batch, and
samples with a batch of one, by those of each image and each pose. `normalisation: per_image` does
the same with any batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.initial_weights import init_normal
from stylefacev_cli.networks.resize import resize_square
from stylefacev_cli.networks.stylefacev.batch_norm import BatchNorm2d, PerImageNorm2d
from stylefacev_cli.networks.stylefacev.landmark_branch import LandmarkBranch
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.normalisation import PER_IMAGE, RUNNING, check_normalisation
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE
from stylefacev_cli.networks.stylefacev.residual import residual_stage

_STAGE_STRIDES = (1, 2, 2, 2)  # of the encoder
_RECOMPOSER_STRIDES = (1, 1, 1, 2)


@dataclass(frozen=True)
class AppearanceConfig:
    """Sizes of the appearance network; the defaults are the released ones (139.6 M parameters).

    Stage i (0 to 3) of the encoder and of the recomposer has base_channels · 2^i · expansion
    channels outside its bottlenecks and base_channels · 2^i · inner_ratio inside.
    """

    input_size: int = 256  # frames are resized to this many pixels at the door
    stem_stride: int = 4  # 4 (convolution and max-pool), 2 or 1; input_size / stem_stride is 64
    base_channels: int = 64  # of the stem
    expansion: int = 4  # of the bottlenecks
    inner_ratio: int = 2  # 2 is the wide residual network
    encoder_blocks: tuple[int, ...] = (3, 4, 6, 3)  # in each stage
    recomposer_blocks: tuple[int, ...] = (3, 3, 3, 3)
    lift_blocks: int = 3  # of the stages that make the appearance and that lift the pose to it
    appearance_channels: int = 64  # a multiple of expansion
    num_ws: int = 16  # of the generator
    w_dim: int = 512
    normalisation: str = RUNNING  # or per_image, as the authors train and sample
    landmarks: LandmarkDetectorConfig | None = None  # of a branch that sees the face's form

    def __post_init__(self) -> None:
        check_normalisation(self.normalisation, "appearance: normalisation")
        if self.stem_stride not in (1, 2, 4):
            raise UsageError(f"appearance: stem_stride {self.stem_stride} is not 1, 2 or 4")
        if self.input_size != self.stem_stride * 8 * POSE_SIZE:
            raise UsageError(
                f"appearance: input_size {self.input_size} is not "
                f"64 · stem_stride = {self.stem_stride * 8 * POSE_SIZE}"
            )
        if not len(self.encoder_blocks) == len(self.recomposer_blocks) == 4:
            raise UsageError("appearance: encoder_blocks and recomposer_blocks have 4 numbers")
        if self.appearance_channels % self.expansion != 0:
            raise UsageError(
                f"appearance: appearance_channels {self.appearance_channels} is not a multiple of "
                f"expansion {self.expansion}"
            )

    @property
    def shape_channels(self) -> int:
        """Channels of the appearance that hold what form adds to each w: w_dim numbers."""
        return 0 if self.landmarks is None else -(-self.w_dim // POSE_SIZE**2)

    @property
    def num_channels(self) -> int:
        """All channels of the appearance."""
        return self.appearance_channels + self.shape_channels

    @property
    def is_per_image(self) -> bool:
        """Whether each image and each pose is normalised by its own statistics at sampling."""
        return self.normalisation == PER_IMAGE


class AppearanceRecomposer(nn.Module):
    """E_app and R. The state dict is that of the released `latest_net_FE.pth`, which holds both.

    conv1, bn1, layer1 … layer5 encode; layer5_b lifts the pose, layer1_a … layer4_a and fc_a
    recompose. A network with a branch for landmarks has that too (`branch`).
    """

    def __init__(self, config: AppearanceConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AppearanceConfig()
        base, stem_stride = config.base_channels, min(config.stem_stride, 2)
        norm = PerImageNorm2d if config.is_per_image else BatchNorm2d

        def stage(in_channels: int, planes: int, num_blocks: int, stride: int) -> nn.Sequential:
            outer, inner = planes * config.expansion, planes * config.inner_ratio
            return residual_stage(in_channels, outer, inner, num_blocks, stride, norm)

        self.conv1 = nn.Conv2d(3, base, 7, stem_stride, padding=3, bias=False)
        self.bn1 = norm(base)
        channels = base
        for i, (num_blocks, stride) in enumerate(
            zip(config.encoder_blocks, _STAGE_STRIDES, strict=True)
        ):
            self.add_module(f"layer{i + 1}", stage(channels, base << i, num_blocks, stride))
            channels = (base << i) * config.expansion
        planes = config.appearance_channels // config.expansion
        self.layer5 = stage(channels, planes, config.lift_blocks, 1)

        channels = config.appearance_channels
        for i, (num_blocks, stride) in enumerate(
            zip(config.recomposer_blocks, _RECOMPOSER_STRIDES, strict=True)
        ):
            self.add_module(f"layer{i + 1}_a", stage(channels, base << i, num_blocks, stride))
            channels = (base << i) * config.expansion
        self.layer5_b = stage(1, planes, config.lift_blocks, 1)
        self.fc_a = nn.Linear(channels, config.num_ws * config.w_dim)
        self.branch: LandmarkBranch | None = None
        if config.landmarks is not None:
            self.branch = LandmarkBranch(config.landmarks, self.num_features, config.w_dim)
        init_normal(self)

    @property
    def num_features(self) -> int:
        """Of what the branch for landmarks sees of the picture beside these."""
        return (self.config.base_channels << 3) * self.config.expansion

    def centre_on(self, mean_w: Tensor) -> None:
        """Start `recompose` around the generator's mean w instead of around 0.

        Args:
            mean_w: [w_dim] or [num_ws, w_dim]; becomes the bias of the last layer.
        """
        config = self.config
        with torch.no_grad():
            self.fc_a.bias.copy_(mean_w.expand(config.num_ws, config.w_dim).flatten())

    def with_landmarks(self, detector: LandmarkDetector) -> AppearanceRecomposer:
        """A copy with a branch for landmarks, which adds nothing to any w before it learns."""
        grown = AppearanceRecomposer(replace(self.config, landmarks=detector.config))
        grown.load_state_dict(self.state_dict(), strict=False)
        assert grown.branch is not None
        grown.branch.finder.load_state_dict(detector.state_dict())
        nn.init.zeros_(grown.branch.added.weight)
        return grown.to(self.fc_a.weight.device).train(self.training)

    def landmark_inputs(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the branch for landmarks learns from: frames [N, 3, S, S] in [−1, 1].

        Returns:
            landmarks [N, 98, 2], features [N, F], and the appearance [N, appearance_channels, 8, 8]
            without what form adds.
        """
        assert self.branch is not None
        features = self._features(frames)
        return self.branch.landmarks(frames), features.mean(dim=(2, 3)), self.layer5(features)

    def encode(self, frames: Tensor) -> Tensor:
        """The appearance of each frame.

        Args:
            frames: [N, 3, S, S] in [−1, 1]; any S, resized at the door.

        Returns:
            appearance [N, num_channels, 8, 8]. The first `appearance_channels` are not negative;
            with a branch for landmarks, the others hold what form adds to each w.
        """
        assert frames.ndim == 4 and frames.shape[1] == 3, (
            f"frames [N, 3, S, S] expected, got {list(frames.shape)}"
        )
        if self.branch is None:
            return self.layer5(self._features(frames))  # type: ignore[no-any-return]
        landmarks, features, appearance = self.landmark_inputs(frames)
        form = self.branch.shape_offsets(landmarks, features)  # [N, w_dim]
        places = self.config.shape_channels * POSE_SIZE**2
        form = F.pad(form, (0, places - form.shape[1])).view(len(form), -1, POSE_SIZE, POSE_SIZE)
        return torch.cat([appearance.float(), form], dim=1)

    def _features(self, frames: Tensor) -> Tensor:
        """[N, C, 8, 8], of which the appearance is made."""
        x = resize_square(frames, self.config.input_size)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.config.stem_stride == 4:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(name)(x)
        return x

    def recompose(self, appearance: Tensor, poses: Tensor) -> Tensor:
        """The ws of a face of this appearance in each of these poses.

        Args:
            appearance: [N, num_channels, 8, 8], or N = 1 for one face in many poses.
            poses: [N, 1, 8, 8].

        Returns:
            ws [N, num_ws, w_dim].
        """
        config = self.config
        wanted = (config.num_channels, POSE_SIZE, POSE_SIZE)
        assert appearance.ndim == 4 and appearance.shape[1:] == wanted, (
            f"appearance [N, {', '.join(map(str, wanted))}] expected, got {list(appearance.shape)}"
        )
        assert poses.ndim == 4 and poses.shape[1:] == (1, POSE_SIZE, POSE_SIZE), (
            f"poses [N, 1, {POSE_SIZE}, {POSE_SIZE}] expected, got {list(poses.shape)}"
        )
        assert len(appearance) in (1, len(poses)), (
            f"{len(appearance)} appearances do not fit {len(poses)} poses"
        )
        x = appearance[:, : config.appearance_channels] * self.layer5_b(poses)
        for name in ("layer1_a", "layer2_a", "layer3_a", "layer4_a"):
            x = self.get_submodule(name)(x)
        ws: Tensor = self.fc_a(x.mean(dim=(2, 3)))
        ws = ws.view(-1, config.num_ws, config.w_dim)
        if not config.shape_channels:
            return ws
        form = appearance[:, config.appearance_channels :].flatten(1)[:, : config.w_dim]
        return ws + form[:, None]

    def forward(self, frames: Tensor, poses: Tensor) -> Tensor:
        """`recompose(encode(frames), poses)`: ws [N, num_ws, w_dim]."""
        return self.recompose(self.encode(frames), poses)
