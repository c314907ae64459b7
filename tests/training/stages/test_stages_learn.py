"""Each stage learns: a short run on rendered faces lowers its error by a stated factor.

An error before is that after one step with learning rates of 0. Each test says what was measured
with the training seeds 1 and 2, and asserts less. Errors are of held-out people, but for two
stages whose validation is another: appearance (latents that are not drawn in training) and motion
(first poses of training, new noise). Processor time is of one thread (AMD EPYC), without the 47 s
in which the faces are rendered, once for all tests.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylefacev_cli.common.settings import build, to_plain
from stylefacev_cli.faces import dataset
from stylefacev_cli.faces.dataset import render_set
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.render_request import RenderSettings
from stylefacev_cli.metrics.feature_distances import frechet_distance
from stylefacev_cli.metrics.image_quality import psnr
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.reading import load_frames
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.named_configs import find_config
from stylefacev_cli.training.run import train
from stylefacev_cli.training.settings import load_settings
from stylefacev_cli.weights.bundle import load_bundle

pytestmark = [pytest.mark.slow, pytest.mark.render]

CONFIG = find_config("default-64")
HELD_OUT_PERMILLE = 250
SMALL_GENERATOR = {
    "z_dim": 256, "w_dim": 256, "img_resolution": 64, "num_layers": 8, "channel_base": 1024,
    "channel_max": 48, "margin_size": 4, "filter_size": 4,
}  # fmt: skip
COMMON: dict[str, Any] = {
    "seed": 1,
    "held_out_permille": HELD_OUT_PERMILLE,
    "perceptual": "none",
    "loop.validate_every_minutes": 1000,
}
Numbers = dict[str, float]
Learnt = tuple[Path, Numbers, Numbers]  # the run, numbers before and after


@pytest.fixture(scope="module")
def data(studio: LatentRenderer, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Stills of 1,000 people and clips of 24 others; a quarter of either is held out."""
    folder = tmp_path_factory.mktemp("faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "LatentRenderer", lambda *_: studio)  # one GL context per process
        render_set(
            RenderSettings(1000, 1, 64, seed=21, kind="stills", look="procedural"),
            folder / "stills",
        )
        render_set(
            RenderSettings(24, 40, 64, seed=22, fps=12.5, look="procedural"), folder / "clips"
        )
    return [folder / "stills", folder / "clips"]


@pytest.fixture(scope="module")
def people(data: list[Path]) -> Frames:
    return load_frames(data[:1], 64, HELD_OUT_PERMILLE, torch.device("cpu"))


def build_settings(settings: dict[str, Any]) -> Any:
    return load_settings(CONFIG, [f"{k}={json.dumps(v)}" for k, v in (COMMON | settings).items()])


def run_stage(
    stage: str, data: list[Path], run: Path, num_steps: int, settings: dict[str, Any]
) -> Numbers:
    """Train for so many steps; the numbers on held-out people at the end."""
    size = getattr(build_settings(settings), stage).batch_size
    config = build_settings(settings | {f"{stage}.num_images": num_steps * size})
    outcome = train(config, data, run, stage=stage)
    assert (outcome.reason, outcome.step) == ("done", num_steps)
    log = run / stage / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    numbers: list[Numbers] = [line["held_out"] for line in lines if "held_out" in line]
    return numbers[-1] if numbers else {}


def before_and_after(
    stage: str,
    data: list[Path],
    run: Path,
    num_steps: int,
    settings: dict[str, Any],
    rates: tuple[str, ...] = ("lr",),
) -> tuple[Numbers, Numbers]:
    """Numbers untrained (the run is in `run`/untrained-…) and after so many steps (in `run`)."""
    still = settings | {f"{stage}.{rate}": 0 for rate in rates}
    untrained = run / f"untrained-{stage}"
    for earlier in run.glob("*/checkpoints"):
        newest = CheckpointStore(earlier).load_newest()
        assert newest is not None
        store = CheckpointStore(untrained / earlier.parent.name / "checkpoints")
        store.save(0, newest | {"step": 0})
    before = run_stage(stage, data, untrained, 1, still)
    after = run_stage(stage, data, run, num_steps, settings)
    print(f"{stage}: {before} -> {after}")
    return before, after


def plant(run: Path, *names: str) -> None:
    """Put networks of the shipped model where the run's own stages would have left them."""
    networks = load_bundle("default-64").networks
    for stage, name in (("detector", "landmarks"), ("pose", "pose"), ("appearance", "appearance")):
        if name in names:
            network = getattr(networks, name)
            state = {
                "networks": {name: network.state_dict()},
                "architecture": {name: to_plain(network.config)},
            }
            store = CheckpointStore(run / stage / "checkpoints")
            store.save(1, {"step": 1, "used_s": 0.0, "bad_steps": 0, "stage": state})


def square_error(decibels: float) -> float:
    """Mean square error, on a scale of 1, of a PSNR."""
    return 10 ** (-decibels / 10)


# --- generator -------------------------------------------------------------------------------

GENERATOR = {
    "generator.architecture": SMALL_GENERATOR,
    "generator.schedule": {"warmup_steps": 10, "decay_from": 0.5, "final": 0.1},
    "generator.ema_half_life_images": 200,
}
ADVERSARIAL: dict[str, Any] = {
    "objective": "adversarial",
    "dtype": "float32",
    "muon_lr": 0,
    "adam_betas": [0.0, 0.99],
    "schedule": {"warmup_steps": 20, "decay_from": 0.5, "final": 0.05},
    "discriminator": {"img_resolution": 64, "channel_base": 512, "channel_max": 32},
    "discriminator_lr": 2e-3,
    "r1_every": 8,
    "ema_half_life_images": 400,
}
FROM_NOTHING = ADVERSARIAL | {"paired_weight": 0, "num_factors": 0, "adam_lr": 2.5e-3}
FINISH = ADVERSARIAL | {
    "architecture": SMALL_GENERATOR,
    "num_factors": 123,
    "adversarial_weight": 0.1,
    "adam_lr": 2e-3,
}


@pytest.fixture(scope="module")
def paired(data: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    run = tmp_path_factory.mktemp("paired")
    rates = ("muon_lr", "adam_lr")
    return run, *before_and_after("generator", data[:1], run, 500, GENERATOR, rates)


def test_generator_paired(paired: Learnt, people: Frames) -> None:
    """Measured: 2.64 and 3.41 on pictures, 3.18 and 3.36 on faces; 70 s."""
    _, before, after = paired
    assert square_error(after["psnr"]) * 2 < square_error(before["psnr"])
    assert square_error(after["face_psnr"]) * 2.4 < square_error(before["face_psnr"])
    real = people.image_batch(people.rows(held_out=True))
    mean = people.image_batch(people.rows(held_out=False)).mean(dim=0).expand_as(real)
    assert after["psnr"] > float(psnr(mean, real, torch.ones_like(real[:, :1])).mean())


def statistics(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What images look like, without a network.

    Colours of 4 × 4 fields [N, 48], and how strong edges are in each of them [N, 16].
    """
    colours = F.adaptive_avg_pool2d(images, 4).flatten(1)
    grey = images.mean(dim=1, keepdim=True)
    across = (grey[..., :-1, 1:] - grey[..., :-1, :-1]).square()
    down = (grey[..., 1:, :-1] - grey[..., :-1, :-1]).square()
    edges = 4 * F.adaptive_avg_pool2d((across + down).sqrt(), 4).flatten(1)
    return colours.numpy(), edges.numpy()


def distances(run: Path, stage: str, people: Frames) -> Numbers:
    """Fréchet distances of `statistics` between held-out people and images of their factors."""
    saved = CheckpointStore(run / stage / "checkpoints").load_newest()
    assert saved is not None
    state = saved["stage"]
    network = Generator(build(GeneratorConfig, state["architecture"]["generator"], "generator"))
    network.load_state_dict(state["networks"]["ema"])
    rows = people.rows(held_out=True)
    with torch.no_grad():
        images = [network(z).clamp(-1, 1) for z in people.factor_batch(rows).split(32)]
    pairs = zip(statistics(torch.cat(images)), statistics(people.image_batch(rows)), strict=True)
    colours, edges = (frechet_distance(made, real) for made, real in pairs)
    return {"colours": colours, "edges": edges}


def test_generator_adversarial(data: list[Path], people: Frames, tmp_path: Path) -> None:
    """From nothing. Measured: colours 3.25 and 4.12, edges 3.43 and 3.99; 74 s.

    FID-lite0 does not fall in so short a run (1108, then 1105): to it, all of this is no face.
    """
    settings = {f"generator.{key}": value for key, value in FROM_NOTHING.items()}
    rates = ("adam_lr", "discriminator_lr")
    before_and_after("generator", data[:1], tmp_path, 300, GENERATOR | settings, rates)
    before = distances(tmp_path / "untrained-generator", "generator", people)
    after = distances(tmp_path, "generator", people)
    print("adversarial:", before, "->", after)
    assert after["colours"] * 2.2 < before["colours"]
    assert after["edges"] * 2.4 < before["edges"]


def test_generator_finish(paired: Learnt, data: list[Path], people: Frames) -> None:
    """After the paired stage, with its loss. Measured: edges 3.61 (one training seed); 88 s.

    With other people's faces for the adversary, as it was before, 3.41 and 3.01; without adversary
    1.16. Colours: 1.32; before, 1.26 and 1.03, and FID-lite0 did not fall (1108, then 1120).
    """
    run = paired[0]
    before = distances(run, "generator", people)
    run_stage("finish", data[:1], run, 250, GENERATOR | {"finish": FINISH})
    after = distances(run, "finish", people)
    print("finish:", before, "->", after)
    assert after["colours"] < before["colours"]
    assert after["edges"] * 2 < before["edges"]


# --- detector and pose -----------------------------------------------------------------------

DETECTOR: dict[str, Any] = {
    "start_from": "default-64",
    "detector.architecture": {"input_size": 64, "stem_stride": 1, "width": 16, "depth": 3},
    "detector.lr": 4e-3,
    "detector.schedule": {"warmup_steps": 10, "decay_from": 0.5, "final": 0.05},
}
POSE: dict[str, Any] = {
    "start_from": "default-64",
    "pose.lr": 2e-3,
    "pose.schedule": {"warmup_steps": 10, "decay_from": 0.5, "final": 0.05},
}


def test_detector(data: list[Path], tmp_path: Path) -> None:
    """Measured: 7.55 and 7.73 on renders, 6.82 and 6.37 on generated faces; 49 s."""
    before, after = before_and_after("detector", data, tmp_path, 150, DETECTOR)
    assert after["nme"] * 4 < before["nme"]
    assert after["nme_generated"] * 4 < before["nme_generated"]


def test_pose(data: list[Path], tmp_path: Path) -> None:
    """Measured: 8.35 and 8.69; with learning rates of 0 throughout 0.90; 59 s."""
    plant(tmp_path, "landmarks")
    before, after = before_and_after("pose", data, tmp_path, 100, POSE)
    assert after["error_percent"] * 5 < before["error_percent"]


# --- appearance and joint --------------------------------------------------------------------

APPEARANCE: dict[str, Any] = {
    "start_from": "default-64",
    "appearance.batch_size": 16,
    "appearance.num_pool_images": 400,
    "appearance.pair_share": 0.25,
    "appearance.frame_share": 0,
    "appearance.view_surrogate_weight": 0,
    "appearance.key_point_surrogate_weight": 0,
    "appearance.schedule": {"warmup_steps": 20, "decay_from": 0.5, "final": 0.05},
}
JOINT: dict[str, Any] = {
    "start_from": "default-64",
    "joint.lr": 2e-3,
    "joint.pose_lr_factor": 0.1,
    "joint.key_point_weight": 300,
    "joint.key_point_surrogate_weight": 0,
    "joint.schedule": {"warmup_steps": 20, "decay_from": 0.5, "final": 0.05},
}


def test_appearance(data: list[Path], tmp_path: Path) -> None:
    """Measured: 1.79 and 1.83; with learning rates of 0 throughout 1.03; 109 s.

    The distance in w hardly falls in so short a run: 0.718, then 0.709 and 0.710.
    """
    plant(tmp_path, "landmarks", "pose")
    before, after = before_and_after("appearance", data, tmp_path, 250, APPEARANCE)
    assert square_error(after["psnr"]) * 1.4 < square_error(before["psnr"])


def test_joint(data: list[Path], tmp_path: Path) -> None:
    """Both phases, from a new appearance network behind the shipped pose networks; 165 s.

    Measured: 1.78 and 1.93 on pictures, 2.17 and 1.98 on faces; key points, right from the start,
    stay (1.53 % and 1.51 %, then 1.59 % and 1.40 %). With learning rates of 0 throughout 1.00 and
    1.04. After the run of `test_appearance`, joint training gained nothing in 200 steps.
    """
    plant(tmp_path, "landmarks", "pose")
    run_stage("appearance", data, tmp_path, 1, APPEARANCE | {"appearance.lr": 0})
    before, after = before_and_after("joint", data, tmp_path, 160, JOINT)
    assert square_error(after["psnr"]) * 1.4 < square_error(before["psnr"])
    assert square_error(after["face_psnr"]) * 1.6 < square_error(before["face_psnr"])


# --- motion ----------------------------------------------------------------------------------

MOTION: dict[str, Any] = {
    "start_from": "default-64",
    "motion.discriminator": {"base_channels": 16, "max_channels": 64},
    "motion.schedule": {"warmup_steps": 0, "decay_from": 0.5, "final": 0.05},
}
ON_POSES = MOTION | {"motion.lr": 2e-3, "motion.num_clips": 4, "motion.num_frames": 30}
ON_IMAGES = MOTION | {
    "motion.supervise": "images",
    "motion.dtype": "bfloat16",
    "motion.lr": 5e-3,
    "motion.num_clips": 2,
    "motion.num_frames": 12,
}


def mismatch_within(numbers: Numbers) -> float:
    """|ln| of speed and of spread, over as many frames as training sees: 0 at best."""
    return abs(math.log(numbers["speed"])) + abs(math.log(numbers["spread"]))


def test_motion_on_poses(data: list[Path], tmp_path: Path) -> None:
    """Measured: 5.41 and 4.08, and the stage's own mismatch 1.43 and 1.46; 105 s.

    That one also counts late frames of sequences four times as long, which drift: their spread is
    1.2 times that of real poses at first, then 3.8 and 3.1 (shipped model: 1.8).
    """
    plant(tmp_path, "landmarks", "pose", "appearance")
    before, after = before_and_after("motion", data, tmp_path, 1000, ON_POSES)
    assert after["mismatch"] * 1.2 < before["mismatch"]
    assert mismatch_within(after) * 2.5 < mismatch_within(before)


def test_motion_on_images(data: list[Path], tmp_path: Path) -> None:
    """Measured: 3.75 and 1.98; 128 s.

    NOT shown: the stage's own mismatch does not fall in so short a run (0.78, then 0.89 and 0.76),
    as late frames of sequences four times as long drift (spread 1.1, then 7.9 and 3.1).
    """
    plant(tmp_path, "landmarks", "pose", "appearance")
    before, after = before_and_after("motion", data, tmp_path, 60, ON_IMAGES)
    assert mismatch_within(after) * 1.5 < mismatch_within(before)
