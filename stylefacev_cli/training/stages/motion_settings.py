"""Settings of the motion stage, see `motion`; what is not the paper's, in `motion_supervision`."""

from __future__ import annotations

from dataclasses import dataclass, field

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.motion import MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.motion_discriminator import MotionDiscriminatorConfig
from stylefacev_cli.training.batches.pose_features import check_dtype
from stylefacev_cli.training.engine.optim import Schedule


@dataclass(frozen=True)
class MotionStageConfig:
    """Settings of the motion stage."""

    architecture: MotionSamplerConfig = field(default_factory=MotionSamplerConfig)
    discriminator: MotionDiscriminatorConfig = field(default_factory=MotionDiscriminatorConfig)
    num_images: int = 1_000_000  # frames of real sequences seen
    minutes: float | None = None
    supervise: str = "poses"  # or images: what the discriminators see
    batch_statistics: bool = False  # with images: E_app and R normalise by all of a step together
    num_clips: int = 8  # sequences in a batch, of all processes together
    accumulate: int = 1  # parts of a process's share of the batch, one after the other
    dtype: str = "float32"  # or bfloat16: products of discriminators and rendering
    num_frames: int = 30  # of a training sequence
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = field(default_factory=Schedule)
    gradient_penalty: float = 10.0
    time_reversal: float = 0.0  # probability that the 3D discriminator sees a sequence backwards
    fresh_roll_outs: bool = False  # the sampler's update draws noise, frame and reversal anew
    diversity_weight: float = 1.0
    # ours
    num_statistics_clips: int = 0  # in a batch; the discriminators see num_clips; 0: as many
    discriminators_every: int = 1  # steps; in those between, our losses alone train the sampler
    structure_function_weight: float = 0.0  # movement is of the data's size at every lag
    marginals_weight: float = 0.0  # motion statistics are distributed as in the data
    increments_weight: float = 0.0  # so are their changes in 1 to 16 frames
    pose_prior_weight: float = 0.0  # poses are such as faces have
    openings_scale: float = 0.0  # of maps of eye and mouth opening, beside the poses
    num_opening_people: int = 0  # whose pictures tell the opening; 0: the pose's key points do

    def __post_init__(self) -> None:
        """Check the values once."""
        check_dtype(self.dtype)
        if self.supervise not in ("poses", "images"):
            raise UsageError(f"motion.supervise {self.supervise!r} is not poses or images")
        if self.batch_statistics and self.supervise != "images":
            raise UsageError("motion.batch_statistics is for supervise: images")
        if not 0 <= self.time_reversal <= 1:
            raise UsageError("motion.time_reversal is a probability, from 0 to 1")
        if self.num_statistics_clips and self.num_statistics_clips < self.num_clips:
            raise UsageError("motion.num_statistics_clips is at least num_clips, or 0 for as many")
        if self.discriminators_every < 1:
            raise UsageError("motion.discriminators_every is at least 1")
        self._check_supervision()

    def _check_supervision(self) -> None:
        """Check what is not the paper's."""
        if self.openings_scale and self.supervise != "poses":
            raise UsageError("motion.openings_scale is for discriminators of poses")
        if self.has_statistics_losses and (self.supervise != "poses" or self.num_frames < 2):
            raise UsageError(
                f"{', '.join(_LOSSES)} and pose_prior_weight are for sequences of poses"
            )
        if self.num_opening_people and not (self.reads_statistics or self.openings_scale):
            raise UsageError(
                f"motion.num_opening_people is for openings_scale, {', '.join(_LOSSES)}"
            )
        has_more = self.num_statistics_clips or self.discriminators_every != 1
        if has_more and not self.has_statistics_losses:
            raise UsageError(
                "motion.num_statistics_clips and discriminators_every are for "
                f"{', '.join(_LOSSES)} or pose_prior_weight"
            )

    @property
    def reads_statistics(self) -> bool:
        """Whether a loss on `MotionStatistics` has a weight."""
        return any(getattr(self, weight) for weight in _LOSSES)

    @property
    def has_statistics_losses(self) -> bool:
        """Whether a loss has a weight that is not the discriminators'."""
        return self.reads_statistics or self.pose_prior_weight != 0

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        return {"num_clips": self.num_clips, "num_statistics_clips": self.num_statistics_clips}

    @property
    def num_sequences(self) -> int:
        """In a batch: `num_clips` of them, the first, are for the discriminators too."""
        return max(self.num_clips, self.num_statistics_clips)

    @property
    def batch_size(self) -> int:
        """Real frames that one step sees."""
        return self.num_sequences * self.num_frames


_LOSSES = "structure_function_weight", "marginals_weight", "increments_weight"
