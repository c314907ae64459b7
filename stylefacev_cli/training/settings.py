"""All settings of a training run, one section a stage; the files in `configs/` map onto it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stylefacev_cli.common.files import write_atomic
from stylefacev_cli.common.settings import build, read_yaml, to_plain
from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE
from stylefacev_cli.training.engine.best import WHICH
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.loop import LoopConfig
from stylefacev_cli.training.named_configs import find_config
from stylefacev_cli.training.overrides import with_overrides
from stylefacev_cli.training.renamed_keys import refuse_old_keys
from stylefacev_cli.training.stages.appearance import AppearanceStageConfig
from stylefacev_cli.training.stages.detector import DetectorStageConfig
from stylefacev_cli.training.stages.generator_settings import GeneratorStageConfig
from stylefacev_cli.training.stages.joint_settings import JointStageConfig
from stylefacev_cli.training.stages.motion_settings import MotionStageConfig
from stylefacev_cli.training.stages.pose import PoseStageConfig
from stylefacev_cli.weights.locate import is_model_name

STAGES = ("generator", "finish", "detector", "pose", "appearance", "joint", "motion")


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run."""

    name: str  # of the model and its bundle
    resolution: int  # px, of the model's images
    generator: GeneratorStageConfig
    detector: DetectorStageConfig | None  # null: the detector of `start_from`
    pose: PoseStageConfig
    appearance: AppearanceStageConfig
    joint: JointStageConfig | None  # null: there are no clips
    motion: MotionStageConfig
    finish: GeneratorStageConfig | None = None  # a second, adversarial pass over the generator
    start_from: str | None = None  # model whose networks stand in for those not trained here
    fine_tune: bool = False  # its networks are what stages begin with, too
    use_checkpoints: str = "newest"  # or best, by validation: what later stages and the bundle take
    stages: tuple[str, ...] = ()  # those that are trained; none named: all that have a section
    seed: int = 1
    data: tuple[str, ...] = ()  # folders, beside those of --data
    data_resolution: int | None = None  # px, of their frames; null: resolution. Where it is less,
    # all stages behind the generator see its images at that size, and take their losses there
    resize_data: bool = False  # bring frames of another size to that one; else they are refused
    held_out_permille: int = 20  # persons in a thousand kept for validation
    frames_in_memory_gb: float = 4.0  # larger data is mapped from files in the run's folder
    perceptual: str = "auto"  # vgg16, efficientnet-lite0, none; auto: vgg16 if it is there
    licence: str = "Apache-2.0"  # of the trained weights
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        """Check that the parts go together."""
        if not is_model_name(self.name):
            raise UsageError(f"name {self.name[:80]!r}: give letters, digits, dots and dashes")
        if not self.licence.isprintable():
            raise UsageError("licence has control characters: give its SPDX name")
        if not self.frames_in_memory_gb >= 0:
            raise UsageError(f"frames_in_memory_gb {self.frames_in_memory_gb} is not 0 or more")
        if self.use_checkpoints not in WHICH:
            raise UsageError(
                f"use_checkpoints {self.use_checkpoints!r} is not {' or '.join(WHICH)}"
            )
        for stage in self.stages:
            if stage not in STAGES or getattr(self, stage) is None:
                raise UsageError(f"stages: the config has no section {stage!r}")
        self._check_counts()
        self._check_start()
        self._check_sizes()

    def _check_counts(self) -> None:
        """Check numbers that must be at least 1, and the seed."""
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed {self.seed} is not a number from 0 to 2^63 - 1")
        for stage in STAGES:
            section = getattr(self, stage)
            for name in ("batch_size", "num_clips", "accumulate", "num_frames"):
                value = vars(section).get(name) if section is not None else None
                if isinstance(value, int) and value < 1:
                    raise UsageError(f"{stage}.{name} is {value}: give at least 1")

    def _check_start(self) -> None:
        """Check what is said of the model to start from."""
        if self.fine_tune and self.start_from is None:
            raise UsageError("fine_tune needs start_from: the model to go on from")
        if self.appearance.architecture.landmarks is not None and not self.fine_tune:
            raise UsageError(
                "appearance.architecture.landmarks is for going on from a model that has that "
                "branch (fine_tune); in others joint.landmark_branch adds it"
            )
        if self.detector is None and self.start_from is None:
            raise UsageError("without a section detector, start_from must name a model with one")
        if self.data_resolution is None:
            return
        if not 0 < self.data_resolution < self.resolution:
            raise UsageError("data_resolution is less than resolution, or null for the same")
        if self.start_from is None or self.finish is not None:
            raise UsageError(
                "data_resolution is for stages behind a generator that is there: name it with "
                "start_from, and give finish: null"
            )

    def _check_sizes(self) -> None:
        """Check that the networks fit each other."""
        for part in (self.generator, self.finish):
            if part is None:
                continue
            if part.architecture.img_resolution != self.resolution:
                raise UsageError("img_resolution of the generators must be the resolution")
            critic = part.discriminator
            if critic is not None and critic.img_resolution != self.resolution:
                raise UsageError("discriminator.img_resolution must be the resolution")
        if self.motion.architecture.pose_dim != POSE_SIZE**2:
            raise UsageError(f"motion.architecture.pose_dim must be {POSE_SIZE**2}")
        ours, theirs = self.appearance.architecture, self.generator.architecture
        if (ours.num_ws, ours.w_dim) != (theirs.num_layers + 2, theirs.w_dim):
            raise UsageError(
                f"appearance.architecture must have num_ws {theirs.num_layers + 2} and w_dim "
                f"{theirs.w_dim}, as the generator has"
            )
        if self.finish is not None and self.finish.architecture != theirs:
            raise UsageError("finish.architecture must be generator.architecture")

    @property
    def data_px(self) -> int:
        """Side of the data's frames."""
        return self.data_resolution or self.resolution

    @property
    def mapped_from_bytes(self) -> int:
        """Data that takes so much or more is mapped from files."""
        return round(1e9 * self.frames_in_memory_gb)


def load_settings(config: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read the settings of a config; of one with several rounds, those of the first.

    Args:
        config: the name of a shipped config, or a YAML file.
        overrides: `section.key=value` settings that take precedence.

    Raises:
        UsageError: there is no such config, or a key or value is wrong.
    """
    settings, _ = read_config(config)
    return settings_from(settings, overrides, find_config(config).name)


def read_config(config: str | Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The settings of a config as YAML has them, and what each later round changes, by its name.

    Raises:
        UsageError: there is no such config, or it holds something else.
    """
    path = find_config(config)
    settings = read_yaml(path, aliases=True)
    rounds = settings.pop("rounds", None) or {}
    if "phases" in settings:
        raise UsageError(
            f"{path.name} is a plan of renders: give it to examples/rolling_training.py"
        )
    if not isinstance(rounds, dict) or not all(isinstance(one, dict) for one in rounds.values()):
        raise UsageError(f"{path.name}: rounds must be sections of settings, by names")
    return settings, rounds


def settings_from(settings: dict[str, Any], overrides: Sequence[str], where: str) -> TrainingConfig:
    """Settings from plain values, `section.key=value` overrides laid over them.

    Raises:
        UsageError: a key or value is wrong; `where` is what the message calls the settings.
    """
    settings = with_overrides(settings, list(overrides))
    refuse_old_keys(settings, where)
    return build(TrainingConfig, settings, where)


def save_settings(config: TrainingConfig, path: Path) -> None:
    """Write the effective settings, defaults included, as YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, yaml.safe_dump(to_plain(config), sort_keys=False).encode())


def budget_of(
    section: Any, run_minutes: float | None = None, until_images: int | None = None
) -> Budget:
    """The budget of a stage's section."""
    return Budget(section.num_images, section.minutes, run_minutes, until_images)
