"""Settings of the generator stages."""

from __future__ import annotations

from dataclasses import dataclass, field

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import DiscriminatorConfig
from stylefacev_cli.training.batches.pose_features import check_dtype
from stylefacev_cli.training.engine.optim import Schedule
from stylefacev_cli.training.extensions.augmentation import AugmentationConfig


@dataclass(frozen=True)
class GeneratorStageConfig:
    """Settings of the generator stage."""

    architecture: GeneratorConfig
    objective: str = "paired"  # or adversarial
    num_images: int = 400_000  # the stage is done after this many images …
    minutes: float | None = None  # … or this many minutes of training
    batch_size: int = 8  # of all processes together
    accumulate: int = 1  # parts of a process's share of the batch, one after the other
    dtype: str = "float32"  # or bfloat16: products of the convolutions, sums stay float32
    grow_from: str | None = None  # model or run whose first layers are taken over
    num_grow_images: int = 1600  # of its images, that the added layers learn from first
    num_factors: int = 0  # leading numbers of z that mean something; the others start and stay at 0
    # optimisers
    muon_lr: float = 0.6  # of convolutions and styles; 0 gives them to Adam
    adam_lr: float = 1.5e-2  # of the others
    mapping_lr_factor: float = 50.0  # weights of the mapping are 100 times larger than others
    placement_lr_factor: float = 0.1  # of the input layer's affine, which moves the whole image
    adam_betas: tuple[float, float] = (0.9, 0.99)
    schedule: Schedule = field(default_factory=Schedule)
    ema_half_life_images: float = 10_000.0
    # paired loss
    paired_weight: float = 1.0  # of all that follows, against the adversarial loss
    face_weight: float = 4.0  # on the face, the background has 1
    feature_weight: float = 8.0  # on eyes, brows, nose and mouth
    hair_weight: float = 1.0  # on hair, where the data says where it is; 1: as the background
    num_scales: int = 3  # of the L1, halved each time
    perceptual_weight: float = 0.0
    perceptual_from: float = 0.3  # progress from which on the perceptual loss counts
    # adversarial loss
    discriminator: DiscriminatorConfig | None = None
    discriminator_from: str | None = None  # StyleGAN3 pickle, or the name of a fetched one
    augmentation: AugmentationConfig | None = None  # of what the discriminator sees
    video_share: float | None = None  # of the real images: frames of clips; null: as in the data
    adversarial_weight: float = 1.0
    relativistic: bool = False  # with paired images: is the render more real than its own copy?
    discriminator_detail_px: int = 0  # it sees images less all that is coarser; 0: whole ones
    discriminator_lr: float = 2e-3
    discriminator_muon_lr: float = 0.0  # of its convolutions; 0 gives them to Adam too
    r1_gamma: float = 0.5
    r1_every: int = 16  # steps between lazy R1 penalties

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.objective not in ("paired", "adversarial"):
            raise UsageError(f"objective {self.objective!r} is not paired or adversarial")
        if self.objective == "adversarial" and self.discriminator is None:
            raise UsageError("the adversarial objective needs a section discriminator")
        if self.objective != "adversarial" and (self.discriminator_from or self.augmentation):
            raise UsageError("discriminator_from and augmentation are of the adversarial objective")
        if self.video_share is not None and not 0 <= self.video_share <= 1:
            raise UsageError("video_share is not between 0 and 1")
        if self.relativistic and (self.objective != "adversarial" or not self.paired_weight):
            raise UsageError("relativistic needs the adversarial objective and a paired_weight")
        if not 0 <= self.num_factors <= self.architecture.z_dim:
            raise UsageError("num_factors is not between 0 and z_dim")
        if self.num_grow_images < 0:
            raise UsageError("num_grow_images is not 0 or more")
        check_dtype(self.dtype)

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        return {"batch_size": self.batch_size}
