"""Settings of the joint stage, see `joint_stage`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminatorConfig
from stylefacev_cli.training.batches.clip_frames import ClipWindow
from stylefacev_cli.training.batches.pose_features import check_dtype, check_swaps, check_targets
from stylefacev_cli.training.batches.recomposition_pairs import PoseFactors
from stylefacev_cli.training.engine.optim import Schedule
from stylefacev_cli.training.stages.appearance import evenly


@dataclass(frozen=True)
class JointStageConfig:
    """Settings of the joint stage."""

    discriminator: PatchDiscriminatorConfig = field(default_factory=PatchDiscriminatorConfig)
    num_images: int = 200_000
    minutes: float | None = None
    num_clips: int = 2  # in a batch, of all processes together
    num_drawn: int = 2  # generated images in a batch
    num_latents: int = 0  # different faces drawn, those of the seeds from 0; 0: new ones every time
    separate_updates: bool = False  # of the video part, then of the image part, each with its own
    # batch statistics (the authors' way); else one of both
    num_swaps: int = 0  # in a batch: somebody in the pose of somebody else, by their factors
    further_swaps: int = (
        0  # other poses of the batch that each appearance gets besides, as ws alone
    )
    pose_factors: PoseFactors | None = None  # where those are that swaps swap
    accumulate: int = 1  # parts of a process's share of the batch, one after the other
    dtype: str = "float32"  # or bfloat16: products, weights and sums stay float32
    lr: float = 2e-4
    muon_lr: float = 0.0  # of the appearance network's convolutions; 0 gives them to Adam too
    pose_lr_factor: float = 1.0  # on lr, for landmark copy and pose extractor; 0: poses stay, and
    # those of the data's frames are extracted once
    pose_muon_lr: float = 0.0  # of the pose extractor's convolutions; 0 gives them to Adam too
    detector_lr_factor: float = 1.0  # on the poses' lr, for the landmark copy; 0: it stays
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = field(default_factory=Schedule)
    window: ClipWindow = field(default_factory=ClipWindow)
    max_rotation_deg: float = 45.0  # of the image part's self-augmentation
    max_translation: float = 0.25  # in image widths
    l1_weight: float = 10.0
    face_weight: float = 1.0  # of the L1 on the face, where the background has 1
    feature_weight: float = 1.0  # of the L1 on eyes and mouth
    perceptual_weight: float = 100.0
    key_point_weight: float = 1.0
    landmark_branch: bool = False  # an appearance encoder that has none gets one for landmarks
    same_poses_weight: float = 0.0  # poses stay near those at the start, which a sampler has learnt
    targets: str = "detected"  # key points, as in the paper; or labels, which know small movements
    openings_weight: float = 0.0  # of eyes and mouth, beside 1 for the key points
    embedding_weight: float = 10.0  # image part
    video_embedding_weight: float = 0.0  # video part, where the factors of frames are known
    places_weight: float = 0.0  # video part: guessed difference of where key points are; labels
    image_share: float = 1.0  # of a batch: those made as images; of the others, ws and key points
    image_weight: float = 0.1  # of the whole image part, after the first phase
    rebalance: bool = True  # false: there is no second phase (an ablation of the paper)
    rebalance_from: float = 0.3  # progress at which the second phase begins, or earlier …
    rebalance_gain: float = 0.0  # … if the video L1 falls by less than this share …
    rebalance_images: int = 20_000  # … from so many images to the next; gain 0: by progress alone
    adversarial_weight: float = 0.01
    adversarial_from: float = 0.8  # progress from which on the discriminator plays
    discriminator_lr_factor: float = 0.2
    freeze_norms_from: float = 0.5  # progress from which on batch statistics stay; from then on an
    # appearance network that is per_image uses each sample's own
    freeze_detector_norms: bool = True  # those of the landmark copy always do

    def __post_init__(self) -> None:
        """Check the values once."""
        check_dtype(self.dtype)
        check_targets(self.targets)
        check_swaps(self.num_swaps, self.pose_factors, "joint.num_swaps")
        check_swaps(self.further_swaps, self.pose_factors, "joint.further_swaps")
        if self.further_swaps and not (self.video_embedding_weight or self.places_weight):
            raise UsageError("further_swaps have no loss: give video_embedding_weight a weight")
        if self.separate_updates and (self.num_swaps or self.further_swaps):
            raise UsageError("joint.separate_updates is of a video and an image part: no swaps")
        if self.separate_updates and not (self.num_clips and self.num_drawn):
            raise UsageError("joint.separate_updates needs both parts: num_clips and num_drawn")
        if not self.pose_lr_factor and (self.pose_muon_lr or self.same_poses_weight):
            raise UsageError("pose_lr_factor is 0: poses stay, whatever else is said of them")
        if self.landmark_branch and not (self.places_weight and self.pose_factors):
            raise UsageError("landmark_branch needs places_weight and pose_factors to learn from")
        if self.rebalance_gain and not self.l1_weight:
            raise UsageError("rebalance_gain watches the video L1: l1_weight must not be 0")

    @property
    def keeps_poses(self) -> bool:
        """Whether poses mean afterwards what they meant before, to a motion sampler too."""
        return not self.pose_lr_factor or self.same_poses_weight > 0

    @property
    def num_video(self) -> int:
        """Frames of clips in a batch; the drawn images come after them, then the swaps."""
        return self.num_clips * self.window.num_frames

    @property
    def kinds(self) -> dict[str, np.ndarray]:
        """Samples of a batch, of each of its parts: made as images (`image_share`) or not."""
        batch = np.arange(self.batch_size)
        parts = np.split(batch, [self.num_video, self.num_video + self.num_drawn])
        names = ("the video frames", "num_drawn", "num_swaps")
        made, others = evenly(batch, self.image_share)
        return {
            f"{which} of {name}": np.intersect1d(samples, part)
            for which, samples in (("image_share", made), ("the rest", others))
            for name, part in zip(names, parts, strict=True)
        }

    @property
    def updates(self) -> tuple[tuple[np.ndarray, ...], ...]:
        """The kinds of samples that each update of a step is about."""
        kinds = tuple(self.kinds.values())
        video, drawn = kinds[0::3], kinds[1::3]
        return (video, drawn) if self.separate_updates else (kinds,)

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        return {name: len(samples) for name, samples in self.kinds.items()}

    @property
    def batch_size(self) -> int:
        """Images that one step reconstructs."""
        return self.num_video + self.num_drawn + self.num_swaps
