"""The configs of the paper: sizes of the released networks, and stages that train when shrunken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from discs import draw_frames, enlarged, tiny_architecture, write_discs

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.engine.optim import Schedule
from stylefacev_cli.training.preflight import networks_of
from stylefacev_cli.training.run import reduce_images, train
from stylefacev_cli.training.settings import TrainingConfig, load_settings
from stylefacev_cli.weights.bundle import Networks, load_bundle, save_bundle

EXAMPLES = Path(__file__).parents[2] / "examples"
MILLIONS = {  # of the released networks
    "paper-256": {"generator": 15.780, "pose": 1.588, "appearance": 139.629, "motion": 0.0831},
    "paper-1024": {"generator": 15.093, "pose": 1.588, "appearance": 139.629, "motion": 0.0831},
}
SIZES_PX = {"paper-256": (16, 16), "paper-1024": (128, 32)}  # shrunken: of the model, of the data
STEPS = {"finish": 2, "pose": 4, "appearance": 2, "joint": 2, "motion": 2}
TINY_APPEARANCE = {
    "input_size": 64, "stem_stride": 1, "base_channels": 4, "expansion": 2, "inner_ratio": 1,
    "encoder_blocks": [1] * 4, "recomposer_blocks": [1] * 4, "lift_blocks": 1,
    "appearance_channels": 8, "num_ws": 6, "w_dim": 16,
}  # fmt: skip


def shrunken(name: str, start: Path | None = None) -> TrainingConfig:
    """A config of the paper with tiny networks and a few images a stage; all else is its own."""
    size_px, data_px = SIZES_PX[name]
    generator = {
        "z_dim": 12, "w_dim": 16, "img_resolution": size_px, "num_layers": 4,
        "channel_base": 16 * size_px, "channel_max": 16, "margin_size": 2, "filter_size": 4,
    }  # fmt: skip
    settings = {
        "resolution": size_px,
        "perceptual": "none",
        "held_out_permille": 250,
        "start_from": str(start),
        "pose.architecture": {
            "channels": [8, 8, 1], "inner_channels": [8, 8, 4], "head_channels": 8,
            "head_inner_channels": 8, "blocks_per_stage": 1,
        },
        "pose.num_images": 4,
        "appearance.num_images": 2,
        "joint.num_images": 6,
        "joint.window.min_gap": 4,
        "joint.window.max_gap": 8,
        "joint.discriminator": {"base_channels": 4, "num_layers": 1},
        "motion.discriminator": {"base_channels": 4, "max_channels": 8, "num_layers": 2},
        "motion.num_frames": 8,
        "motion.num_images": 16,
    }  # fmt: skip
    settings |= {f"generator.architecture.{key}": value for key, value in generator.items()}
    settings |= {f"appearance.architecture.{key}": v for key, v in TINY_APPEARANCE.items()}
    if name == "paper-256":
        settings |= {f"finish.architecture.{key}": value for key, value in generator.items()}
        settings |= {
            "finish.discriminator": {"img_resolution": size_px, "channel_base": 128},
            "finish.discriminator_from": None,
            "finish.batch_size": 2,
            "finish.num_images": 4,
        }
    else:
        settings["data_resolution"] = data_px
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return load_settings(EXAMPLES / f"{name}.yaml", overrides)


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
    # Statistics of the batch to the end, of one sample at sampling.
    assert (appearance.architecture.normalisation, appearance.batch_size) == ("per_image", 1)
    assert config.pose.freeze_norms_from == appearance.freeze_norms_from == 1
    assert config.motion.batch_statistics == (config.motion.supervise == "images")
    assert config.pose.key_point_weight == 10 and config.motion.num_frames == 30
    if joint is not None:
        assert (joint.l1_weight, joint.perceptual_weight, joint.key_point_weight) == (10, 100, 1)
        assert (joint.embedding_weight, joint.image_weight, joint.adversarial_weight) == (
            10, 0.1, 0.01,
        )  # fmt: skip
        assert joint.freeze_norms_from == 1 and not joint.freeze_detector_norms
        detector, _ = networks_of(config, "joint")[0]
        assert sum(p.numel() for p in detector.parameters()) == 6_333_603


def rows_of_the_document() -> Iterator[tuple[str, str, object]]:
    """Each setting that docs/training.md names, a config and the value that it has there."""
    columns: list[str] = []
    for line in (EXAMPLES.parent / "docs" / "training.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] == "setting":
            columns = cells
        elif cells and cells[0].startswith("`"):
            for column, cell in zip(columns, cells, strict=True):
                if column.startswith("`"):
                    yield cells[0].strip("`"), column.strip("`"), yaml.safe_load(cell.strip("`"))


def test_configs_hold_the_values_that_the_document_says() -> None:
    configs = {
        name: to_plain(load_settings(EXAMPLES / f"{name}.yaml", []))
        for name in ("paper-256", "paper-1024", "default-128")
    }
    named = set()
    for setting, name, wanted in rows_of_the_document():
        found: Any = configs[name]
        for key in setting.split("."):
            found = found[key]
        if isinstance(wanted, dict):  # of some keys
            found = {key: found[key] for key in wanted}
        assert found == wanted, (setting, name)
        named.add((setting, name))
    raw = yaml.safe_load((EXAMPLES / "paper-256.yaml").read_text())
    for stage in STEPS:
        for key in set(raw[stage]) - {"architecture", "discriminator"}:
            assert (f"{stage}.{key}", "paper-256") in named, (stage, key)
    # Both papers' configs are one recipe.
    for stage in ("pose", "appearance", "joint"):
        assert configs["paper-256"][stage] == configs["paper-1024"][stage]
    motion = configs["paper-256"]["motion"] | {"supervise": "poses", "batch_statistics": False}
    assert motion == configs["paper-1024"]["motion"]


@pytest.mark.parametrize("name", SIZES_PX)
def test_all_stages_end_in_a_model_when_shrunken(name: str, tmp_path: Path) -> None:
    """Of 1024 px: the generator makes images of four times the side that the data has."""
    size_px, data_px = SIZES_PX[name]
    kinds = {"clips": draw_frames(5, 24), "stills": draw_frames(9, 2)}
    data = [
        write_discs(frames if data_px == 16 else enlarged(frames), tmp_path / kind)
        for kind, frames in kinds.items()
    ]
    start = start_model(shrunken(name), tmp_path / "start")
    lines: list[str] = []
    outcome = train(shrunken(name, start), data, tmp_path / "run", report=lines.append)
    assert outcome.reason == "done" and not any("skipped" in line for line in lines)
    bundle = load_bundle(tmp_path / "run" / "bundle")
    wanted = {stage: steps for stage, steps in STEPS.items() if (tmp_path / "run" / stage).exists()}
    assert bundle.manifest.provenance["steps"] == wanted
    assert len(wanted) == (5 if name == "paper-256" else 4)  # stage 0 is NVIDIA's
    assert bundle.manifest.resolution == size_px
    assert bundle.manifest.normalisation == "per_image"
    images = bundle.networks.generator(torch.zeros(1, 12))
    assert images.shape == (1, 3, size_px, size_px)


def test_images_are_brought_down_to_the_mean_over_areas() -> None:
    """With a gradient, whatever else is asked of the generator."""
    torch.manual_seed(0)
    generator = Generator(tiny_architecture())
    z = torch.randn(2, 12)
    whole = generator(z)
    reduce_images(generator, 4)
    images = generator.synthesis(generator.mapping(z), conv_dtype=None)
    torch.testing.assert_close(images, whole.unflatten(3, (4, 4)).unflatten(2, (4, 4)).mean((3, 5)))
    images.square().sum().backward()
    assert all(p.grad is not None for p in generator.synthesis.parameters())


def test_smaller_data_needs_a_generator_that_is_there() -> None:
    assert load_settings(EXAMPLES / "paper-1024.yaml", []).data_px == 256
    assert load_settings(EXAMPLES / "paper-256.yaml", []).data_px == 256
    for override, message in (
        ("data_resolution=1024", "less than resolution"),
        ("start_from=null", "start_from"),
        ("finish={architecture: {img_resolution: 1024}}", "finish: null"),
    ):
        with pytest.raises(UsageError, match=message):
            load_settings(EXAMPLES / "paper-1024.yaml", [override])


def start_model(config: TrainingConfig, folder: Path) -> Path:
    """A model of a generator and a landmark detector, as `weights import` makes one."""
    torch.manual_seed(0)
    networks = Networks(
        generator=Generator(config.generator.architecture),
        detector=LandmarkDetector(LandmarkDetectorConfig(64, 1, 8, 1)),
    )
    save_bundle(folder, networks, name="start", fps=25, licence="CC0-1.0", provenance={})
    return folder
