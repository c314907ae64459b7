"""What a run takes of disk and memory, as far as it can be counted before it begins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.common.distributed import num_processes
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.motion_discriminator import (
    ClipDiscriminator,
    PairDiscriminator,
)
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminator
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE, PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import ImageDiscriminator
from stylefacev_cli.training.settings import TrainingConfig

FLOAT_BYTES = 4
HALF_BYTES = 2
TENSOR_BYTES = 400  # of a tensor's name and place in a checkpoint
BESIDE_KEPT = 2  # checkpoints: the best one, and the one that is being written


def check_folder(run: Path) -> None:
    """Check that a folder can be made or written; nothing is changed.

    Raises:
        StyleFaceVError: it cannot.
    """
    place = _existing(run)
    if not place.is_dir():
        raise StyleFaceVError(f"cannot write to {run}: {place} is no folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise StyleFaceVError(f"cannot write to {run}: no right to write in {place}")


def check_disk(run: Path, num_bytes: int) -> None:
    """Check that there is space for the checkpoints, and for data in files.

    Raises:
        StyleFaceVError: there is too little.
    """
    free = shutil.disk_usage(_existing(run)).free
    if num_bytes > free:
        raise StyleFaceVError(
            f"this run needs {in_units(num_bytes)} of space, but {_existing(run)} has "
            f"{in_units(free)} free: lower loop.num_checkpoints, or choose another --out"
        )


def check_memory(num_bytes: int) -> None:
    """Check that the data fits into memory, where the system tells how much there is.

    Raises:
        StyleFaceVError: it does not.
    """
    available = available_memory()
    if available is not None and num_bytes > available:
        raise StyleFaceVError(
            f"reading the data needs {in_units(num_bytes)} of memory, but {in_units(available)} "
            "are available: lower frames_in_memory_gb, and it is mapped from files"
        )


def processes_here() -> int:
    """How many processes read the data on this machine: torchrun says so."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", num_processes())) if num_processes() > 1 else 1


def available_memory() -> int | None:
    """Bytes of memory that can be had without swapping; None where Linux does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def disk_bytes_of(config: TrainingConfig, run: Path, checkpoint_bytes: dict[str, int]) -> int:
    """What all checkpoints of some stages take, less what they take already."""
    total = 0
    for name, size in checkpoint_bytes.items():
        there = sum(path.stat().st_size for path in (run / name / "checkpoints").glob("*.ckpt"))
        total += max((config.loop.num_checkpoints + BESIDE_KEPT) * size - there, 0)
    return total


def bundle_bytes_of(config: TrainingConfig, stages: list[str]) -> int:
    """At most what the networks of some stages take in the model, large weights in two bytes."""
    trained = (network for name in stages for network, _ in networks_of(config, name))
    return sum(HALF_BYTES * p.numel() for network in trained for p in network.parameters())


def checkpoint_bytes_of(config: TrainingConfig, stage: str, num_frames: int) -> int:
    """About the size of a checkpoint: networks, averages, and two numbers a parameter of Adam."""
    numbers = num_tensors = 0
    for network, copies in networks_of(config, stage):
        for tensors, times in ((network.parameters(), copies), (network.buffers(), 1)):
            sizes = [tensor.numel() for tensor in tensors]
            numbers += times * sum(sizes)
            num_tensors += times * len(sizes)
    shares = (
        config.appearance.pair_share,
        config.appearance.frame_share,
        config.appearance.swap_share,
    )
    if stage == "appearance" and any(shares):
        numbers += num_frames * POSE_SIZE**2  # its table of poses
    return numbers * FLOAT_BYTES + num_tensors * TENSOR_BYTES


def networks_of(config: TrainingConfig, stage: str) -> list[tuple[torch.nn.Module, int]]:
    """The networks that a stage trains, on the meta device, and their copies in a checkpoint."""
    section: Any = getattr(config, stage)
    # Of a model to start from, the sizes of the detector are not read here: about the released.
    detector = config.detector.architecture if config.detector else LandmarkDetectorConfig()
    channels = 3 if config.motion.supervise == "images" else 1
    discriminator = replace(config.motion.discriminator, frame_channels=channels)
    with torch.device("meta"):
        make: dict[str, Callable[[], list[tuple[torch.nn.Module, int]]]] = {
            "detector": lambda: [(LandmarkDetector(detector), 3)],
            "pose": lambda: [(PoseExtractor(config.pose.architecture), 3)],
            "appearance": lambda: [(AppearanceRecomposer(config.appearance.architecture), 3)],
            "joint": lambda: [
                (LandmarkDetector(detector), 3),
                (PoseExtractor(config.pose.architecture), 3),
                (AppearanceRecomposer(config.appearance.architecture), 3),
                (PatchDiscriminator(section.discriminator), 3),
            ],
            "motion": lambda: [
                (MotionSampler(section.architecture), 3),
                (PairDiscriminator(discriminator), 3),
                (ClipDiscriminator(discriminator), 3),
            ],
        }
        if stage in make:
            return make[stage]()
        networks: list[tuple[torch.nn.Module, int]] = [(Generator(section.architecture), 4)]
        if section.objective == "adversarial":
            networks.append((ImageDiscriminator(section.discriminator), 3))
        return networks


def in_units(num_bytes: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "KB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def _existing(path: Path) -> Path:
    """The path, or the nearest place above it that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
