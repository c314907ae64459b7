"""Every stage of training at sizes that take a tenth of a second a step, behind equal networks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from discs import draw_frames
from tiny import (
    DISC_APPEARANCE,
    DISC_GENERATOR,
    DISC_LANDMARKS,
    DISC_MOTION,
    DISC_MOTION_DISCRIMINATOR,
    DISC_POSE,
)
from torch import nn

from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.features.efficientnet_lite import EfficientNetLite0
from stylefacev_cli.networks.initial_weights import init_residual
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminatorConfig
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import DiscriminatorConfig
from stylefacev_cli.training.batches.clip_frames import ClipWindow, Frames
from stylefacev_cli.training.batches.pose_cache import PoseTracks, extract_poses
from stylefacev_cli.training.batches.pose_features import heatmaps_of
from stylefacev_cli.training.batches.rendering import Renderer
from stylefacev_cli.training.engine.stage import NetworkStage
from stylefacev_cli.training.extensions import eye_mouth_opening
from stylefacev_cli.training.extensions.augmentation import AugmentationConfig
from stylefacev_cli.training.stages.appearance import AppearanceStage, AppearanceStageConfig
from stylefacev_cli.training.stages.detector import DetectorStage, DetectorStageConfig
from stylefacev_cli.training.stages.generator import GeneratorStage
from stylefacev_cli.training.stages.generator_settings import GeneratorStageConfig
from stylefacev_cli.training.stages.joint import JointStage
from stylefacev_cli.training.stages.joint_batches import JointNetworks
from stylefacev_cli.training.stages.joint_settings import JointStageConfig
from stylefacev_cli.training.stages.motion import MotionStage
from stylefacev_cli.training.stages.motion_settings import MotionStageConfig
from stylefacev_cli.training.stages.pose import PoseStage, PoseStageConfig

PER_IMAGE = replace(DISC_APPEARANCE, normalisation="per_image")
AUGMENTATION = AugmentationConfig(  # moves p in every step
    start=0.5, target=0.1, images_to_full=20, every=1
)
NUM_FRAMES = 6  # of a training sequence


@cache
def clips() -> Frames:
    return draw_frames(5, 24)


Networks = tuple[Generator, LandmarkDetector, PoseExtractor, AppearanceRecomposer, PerceptualLoss]


def frozen_networks() -> Networks:
    """Untrained, but with running statistics as after training; all that later stages stand on.

    Copies: with bfloat16 a stage puts their weights into another order, and so rounds otherwise.
    """
    return copy.deepcopy(_frozen_networks())


def per_image_appearance() -> AppearanceRecomposer:
    """As the appearance stage starts it: the smaller weights of others make rounding large here."""
    torch.manual_seed(0)
    network = AppearanceRecomposer(PER_IMAGE)
    init_residual(network)
    return network.eval().requires_grad_(False)


@cache
def _frozen_networks() -> Networks:
    torch.manual_seed(0)
    networks = Generator(DISC_GENERATOR), LandmarkDetector(DISC_LANDMARKS), PoseExtractor(DISC_POSE)
    appearance = AppearanceRecomposer(DISC_APPEARANCE)
    frames = clips().image_batch(np.arange(0, 96, 8))
    with torch.no_grad():
        for _ in range(20):
            heatmaps = heatmaps_of(networks[1], frames)
        for _ in range(20):
            poses = networks[2](heatmaps)
            networks[2].key_points(poses)
            appearance(frames, poses)
    perceptual = PerceptualLoss(EfficientNetLite0(1), "tiny", min_size_px=16)
    for network in (*networks, appearance):
        network.eval().requires_grad_(False)
    return *networks, appearance, perceptual


def generator_stage(name: str, **settings: Any) -> NetworkStage:
    discriminator = DiscriminatorConfig(img_resolution=16, channel_base=64)
    config = GeneratorStageConfig(
        DISC_GENERATOR,
        objective="adversarial" if name == "finish" else "paired",
        discriminator=discriminator,
        muon_lr=0.0 if name == "finish" else 0.6,
        adam_lr=2e-3,
        r1_every=2,
        augmentation=AUGMENTATION if name == "finish" else None,
        video_share=0.5 if name == "finish" else None,
        batch_size=4,
        perceptual_weight=1.0,
        perceptual_from=0.0,
    )
    perceptual = frozen_networks()[4]
    kinds = replace(clips(), moving=np.arange(5) % 2 == 0)  # some are stills
    return GeneratorStage(replace(config, **settings), kinds, 1, perceptual, name=name)


def detector_stage(**settings: Any) -> NetworkStage:
    config = DetectorStageConfig(DISC_LANDMARKS, batch_size=4, lr=3e-3)
    return DetectorStage(replace(config, **settings), clips(), 1, frozen_networks()[0])


def pose_stage(**settings: Any) -> NetworkStage:
    generator, detector, *_ = frozen_networks()
    config = PoseStageConfig(DISC_POSE, batch_size=8, lr=3e-3)
    kinds = replace(clips(), moving=np.arange(5) % 2 == 0)  # some are stills
    frames = clips() if settings.get("video_share") is None else kinds
    return PoseStage(replace(config, **settings), frames, 1, detector, generator)


def appearance_stage(**settings: Any) -> NetworkStage:
    generator, detector, pose, _, perceptual = frozen_networks()
    config = AppearanceStageConfig(
        DISC_APPEARANCE,
        batch_size=8,
        num_pool_images=32,
        pair_share=0.375,  # no even number: parts of a batch need not split, only the batch does
        frame_share=0.25,
        image_loss_share=0.5,
        view_surrogate_weight=1.0,
        key_point_surrogate_weight=10.0,
        perceptual_weight=1.0,
        embedding_weight=1.0,
    )
    return AppearanceStage(
        replace(config, **settings), clips(), 1, generator, detector, pose, perceptual
    )


def joint_stage(per_image: bool = False, **settings: Any) -> NetworkStage:
    config = JointStageConfig(
        PatchDiscriminatorConfig(base_channels=4, num_layers=1),
        num_clips=2,
        num_generated=4,
        window=ClipWindow(num_frames=2, frame_step=3, min_gap=4, max_gap=8),
        perceptual_weight=1.0,
        video_embedding_weight=1.0,
        key_point_surrogate_weight=10.0,
        # Adam's first step is as long for gradients that are but rounding: key points felt it.
        pose_lr_factor=0.1,
        rebalance_from=0.9,
        rebalance_gain=0.99,  # watched: with windows of a step the second is the last before it
        rebalance_images=8,
        adversarial_from=0.0,
    )
    generator, detector, pose, appearance, perceptual = frozen_networks()
    if per_image:
        appearance = per_image_appearance()
    before = JointNetworks(generator, detector, pose, appearance, detector)
    return JointStage(replace(config, **settings), clips(), 1, before, perceptual)


@cache
def tracks() -> PoseTracks:
    """An untrained extractor gives nearly constant poses, of which normalisation makes noise."""
    _, detector, pose, *_ = frozen_networks()
    found = extract_poses(clips(), detector, pose, NUM_FRAMES)
    steps = 0.2 * torch.randn(found.poses.shape, generator=torch.Generator().manual_seed(0))
    return replace(found, poses=found.poses + steps.cumsum(dim=0) % 3)


def motion_stage(supervise: str, **settings: Any) -> NetworkStage:
    generator, detector, pose, appearance, _ = frozen_networks()
    config = MotionStageConfig(
        DISC_MOTION,
        DISC_MOTION_DISCRIMINATOR,
        supervise=supervise,
        num_clips=4,
        num_frames=NUM_FRAMES,
        lr=2e-3,
    )
    renderer = Renderer(generator, appearance, clips().image_batch(np.arange(1)))
    whole = replace(config, **settings)
    stage = MotionStage(whole, tracks(), 1, renderer, clips(), pose, detector)
    if stage._supervision.openings is not None:
        shorten_fit(stage._supervision.openings)
    return stage


def shorten_fit(openings: eye_mouth_opening.OpeningSurrogate) -> None:
    """Let it be fitted in two steps: over many, rounding makes another network."""
    learn = openings._learn

    def learn_a_little(*arguments: Any) -> None:
        with patch.object(eye_mouth_opening, "_STEPS", 2):
            learn(*arguments)

    openings._learn = learn_a_little  # type: ignore[method-assign]


STAGES: dict[str, Callable[..., NetworkStage]] = {
    "paired": lambda **settings: generator_stage("generator", **settings),
    "finish": lambda **settings: generator_stage("finish", **settings),
    "finish-pairs": lambda **settings: generator_stage(
        "finish", relativistic=True, discriminator_muon_lr=0.02, **settings
    ),
    "detector": detector_stage,
    "detector-openings": lambda **settings: detector_stage(openings_weight=1.0, **settings),
    "pose": pose_stage,
    "pose-labels": lambda **settings: pose_stage(
        targets="labels", exact_heatmaps_until=0.5, muon_lr=0.02, **settings
    ),
    "pose-flips": lambda **settings: pose_stage(
        generated_share=0.0, video_share=0.5, flips=True, **settings
    ),
    "appearance": appearance_stage,
    "appearance-seeds": lambda **settings: appearance_stage(
        **{"num_pool_images": 0, "num_latents": 16} | settings
    ),
    "appearance-per-image": lambda **settings: appearance_stage(architecture=PER_IMAGE, **settings),
    "joint": joint_stage,
    "joint-per-image": lambda **settings: joint_stage(per_image=True, **settings),
    "joint-labels": lambda **settings: joint_stage(targets="labels", **settings),
    "joint-separate": lambda **settings: joint_stage(
        separate_updates=True, num_latents=16, **settings
    ),
    "motion-poses": lambda **settings: motion_stage("poses", **settings),
    "motion-fresh": lambda **settings: motion_stage(
        "images", fresh_roll_outs=True, time_reversal=0.5, **settings
    ),
    "motion-shown": lambda **settings: motion_stage(
        "poses", num_opening_people=2, openings_scale=0.5, **settings
    ),
    "motion-batch": lambda **settings: motion_stage("images", batch_statistics=True, **settings),
    "motion-images": lambda **settings: motion_stage("images", **settings),
}


def tensors_of(state: Any) -> list[torch.Tensor]:
    """All tensors and numbers of a state, in its order."""
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, int | float):
        return [torch.tensor(state, dtype=torch.float64)]
    values = state.values() if isinstance(state, dict) else state
    nested = isinstance(state, dict | list | tuple)
    return [tensor for value in values for tensor in tensors_of(value)] if nested else []


def without_pictures(stage: NetworkStage) -> None:
    """Let its validations and sample grids take no time."""
    stage.validate = dict  # type: ignore[method-assign]
    stage.sample_grid = lambda: np.zeros((1, 1, 3), np.uint8)  # type: ignore[method-assign]


def names_of(stage: NetworkStage) -> dict[int, str]:
    """Names of the parameters, by their identity."""
    return {
        id(parameter): f"{key}.{name}"
        for key, network in stage.networks.items()
        for name, parameter in nn.Module.named_parameters(network)
    }
