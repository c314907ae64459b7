"""The configs of the paper: sizes of the released networks, and stages that train when shrunken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylefacev_cli.networks.generator import Generator
from stylefacev_cli.networks.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.training.checks import networks_of
from stylefacev_cli.training.dry_run import dry_run
from stylefacev_cli.training.optim import Schedule
from stylefacev_cli.training.settings import TrainingConfig, load_settings
from stylefacev_cli.weights.bundle import Networks, save_bundle

EXAMPLES = Path(__file__).parents[2] / "examples"
MILLIONS = {  # of the released networks
    "paper-256": {"finish": 15.780, "pose": 1.588, "appearance": 139.629, "motion": 0.0831},
    "paper-1024": {"finish": 15.093, "pose": 1.588, "appearance": 139.629, "motion": 0.0831},
}
TINY_GENERATOR = (
    "{z_dim: 12, w_dim: 16, img_resolution: 16, num_layers: 4, channel_base: 256, "
    "channel_max: 16, margin_size: 2, filter_size: 4, conv_kernel: 1, use_radial_filters: true}"
)
TINY_APPEARANCE = (
    "{input_size: 64, stem_stride: 1, base_channels: 4, expansion: 2, inner_ratio: 1, "
    "encoder_blocks: [1, 1, 1, 1], recomposer_blocks: [1, 1, 1, 1], lift_blocks: 1, "
    "appearance_channels: 8, num_ws: 6, w_dim: 16, normalisation: per_image}"
)
SHRUNKEN = [
    "resolution=16",
    "perceptual=none",
    "held_out_permille=250",
    f"generator.architecture={TINY_GENERATOR}",
    f"finish.architecture={TINY_GENERATOR}",
    "finish.discriminator={img_resolution: 16, channel_base: 128}",
    "finish.discriminator_from=null",
    "finish.video_share=null",  # the discs are clips alone
    "finish.batch_size=2",
    f"appearance.architecture={TINY_APPEARANCE}",
    "pose.architecture={channels: [8, 8, 1], inner_channels: [8, 8, 4], head_channels: 8, "
    "head_inner_channels: 8, blocks_per_stage: 1}",
    "motion.discriminator={base_channels: 4, max_channels: 8, num_layers: 2}",
    "motion.num_frames=8",
    "motion.num_clips=2",
]


@pytest.mark.parametrize("name", ["paper-256", "paper-1024"])
def test_sizes_and_schedule_are_those_of_the_paper(name: str) -> None:
    config = load_settings(EXAMPLES / f"{name}.yaml", [])
    for stage, millions in MILLIONS[name].items():
        network, _ = networks_of(config, stage)[0]
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count / 1e6 == pytest.approx(millions, rel=1e-3), stage
        assert all(parameter.is_meta for parameter in network.parameters())
    assert config.generator.architecture.num_layers + 2 == 16
    sections = [config.pose, config.appearance, config.motion, config.joint]
    for section in filter(None, sections):
        assert (section.lr, section.betas) == (2e-4, (0.5, 0.999))
        assert section.schedule == Schedule(shape="linear", decay_from=0.5, final=0.0)
    appearance, joint = config.appearance, config.joint
    assert (appearance.l1_weight, appearance.perceptual_weight, appearance.embedding_weight) == (
        1, 100, 100,
    )  # fmt: skip
    assert (appearance.max_rotation_deg, appearance.max_translation) == (45, 0.25)
    assert appearance.architecture.input_size == 256
    # Batch statistics of one sample, in training as at sampling.
    assert (appearance.architecture.normalisation, appearance.batch_size) == ("per_image", 1)
    assert config.pose.key_point_weight == 10 and config.motion.num_frames == 30
    if joint is not None:
        assert (joint.l1_weight, joint.perceptual_weight, joint.key_point_weight) == (10, 100, 1)
        assert (joint.embedding_weight, joint.image_weight, joint.adversarial_weight) == (
            10, 0.1, 0.01,
        )  # fmt: skip
        assert (joint.freeze_norms_from, joint.num_clips, joint.num_drawn) == (0, 1, 1)
        detector, _ = networks_of(config, "joint")[0]
        assert sum(p.numel() for p in detector.parameters()) == 6_333_603


# That of 1024 px has no stage that the other one has not.
@pytest.mark.parametrize("name", ["paper-256", pytest.param("paper-1024", marks=pytest.mark.slow)])
def test_every_stage_takes_steps_when_shrunken(
    name: str, clip_folder: Path, tmp_path: Path
) -> None:
    config = load_settings(EXAMPLES / f"{name}.yaml", SHRUNKEN)
    start = start_model(config, tmp_path / "start")
    overrides = [*SHRUNKEN, f"start_from={start}"]
    if config.joint is not None:
        overrides += [
            "joint.window={num_frames: 2, frame_step: 3, min_gap: 4, max_gap: 8}",
            "joint.discriminator={base_channels: 4, num_layers: 1}",
        ]
    config = load_settings(EXAMPLES / f"{name}.yaml", overrides)
    costs = dry_run(config, [clip_folder], tmp_path / "run", report=lambda line: None)
    wanted = ["finish", "pose", "appearance", "joint", "motion"]
    if config.joint is None:
        wanted.remove("joint")
    assert [cost.name for cost in costs] == wanted
    assert all(cost.step_s > 0 and cost.peak_bytes > 2**24 for cost in costs)
    assert not (tmp_path / "run").exists()


def start_model(config: TrainingConfig, folder: Path) -> Path:
    """A model of a generator and a landmark detector, as `weights import` makes one."""
    torch.manual_seed(0)
    networks = Networks(
        generator=Generator(config.generator.architecture),
        detector=LandmarkDetector(LandmarkDetectorConfig(64, 1, 8, 1)),
    )
    save_bundle(folder, networks, name="start", fps=25, licence="CC0-1.0", provenance={})
    return folder
