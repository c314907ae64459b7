"""What can be known to go wrong before hours of training.

Batches, networks to begin with, data, folder, space, memory. Of data only indices and one label
file a set are read, so this takes seconds for any set.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.common.distributed import num_processes
from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.datasets.clips import ClipEntry, ClipSet
from stylefacev_cli.errors import DataError, StyleFaceVError, UsageError
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
from stylefacev_cli.training.artifacts import network_of
from stylefacev_cli.training.batches.reading import for_validation, num_bytes_of, says_hair
from stylefacev_cli.training.engine.batch_split import own_shares
from stylefacev_cli.training.settings import TrainingConfig

FLOAT_BYTES = 4
TENSOR_BYTES = 400  # of a tensor's name and place in a save
SAVES_BESIDE_KEPT = 2  # the best one, and the one that is being written
NETWORKS_OF = {  # that stages leave for those after them
    "generator": ("generator",),
    "finish": ("generator",),
    "detector": ("landmarks",),
    "pose": ("pose",),
    "appearance": ("appearance",),
    "joint": ("landmarks", "pose", "appearance"),
    "motion": ("motion",),
}
FINE_TUNED = ("detector", "pose", "appearance", "motion")  # else they begin with random weights


@dataclass(frozen=True)
class Needs:
    """What a run will need, as far as it can be counted beforehand.

    Attributes:
        num_frames: in the data.
        data_bytes: of the frames and their labels.
        is_mapped: whether those lie in files; else each process has them in memory.
        save_bytes: one save of each stage.
        disk_bytes: data in files, and all saves that will lie on the disk at once, less those that
            are there.
    """

    num_frames: int
    data_bytes: int
    is_mapped: bool
    save_bytes: dict[str, int]
    disk_bytes: int


def check_run(config: TrainingConfig, data: list[Path], run: Path, stages: list[str]) -> Needs:
    """Check batches, networks, data, folder, space and memory for some stages; each process does.

    Args:
        config: all settings; wrong ones were told when it was made.
        data: folders of clips.
        run: folder of the run; is not made.
        stages: those that are to be trained.

    Raises:
        UsageError: a batch does not split over the processes, or a network is to begin with the
            weights of one of another architecture.
        MissingWeightsError: the model to begin with is not there, or lacks a network.
        IntegrityError: it is damaged.
        DataError: a set is missing, empty, of another size, or lacks what a stage needs.
        StyleFaceVError: the folder cannot be written, or there is too little space or memory.
    """
    for name in stages:  # now, not hours later when it is that stage's turn
        own_shares(name, getattr(config, name))
    check_beginnings(config, stages)
    sets = check_data(config, data, stages)
    check_folder(run)
    num_frames = sum(entry.num_frames for one in sets for entry in one.entries)
    z_dim = config.generator.architecture.z_dim
    has_hair = any(says_hair(one) for one in sets)
    data_bytes = num_bytes_of(num_frames, config.data_px, z_dim, has_hair)
    is_mapped = data_bytes >= config.mapped_from_bytes
    needs = Needs(
        num_frames,
        data_bytes,
        is_mapped,
        save_bytes := {name: save_bytes_of(config, name, num_frames) for name in stages},
        disk_bytes_of(config, run, save_bytes) + data_bytes * is_mapped,
    )
    check_disk(run, needs.disk_bytes)
    if not is_mapped:
        check_memory(data_bytes * _processes_here())
    return needs


def check_beginnings(config: TrainingConfig, stages: list[str]) -> None:
    """Check that networks which are fine-tuned are as large as those that they begin with.

    Raises:
        UsageError: one is not; the message says how large it is to be.
        MissingWeightsError: there is no such model, or it lacks the network.
        IntegrityError: the model is damaged.
    """
    if not config.fine_tune or config.start_from is None:
        return
    for name in (name for name in stages if name in FINE_TUNED):
        (left,) = NETWORKS_OF[name]
        network: Any = network_of(config.start_from, left)
        if network.config != getattr(config, name).architecture:
            raise UsageError(
                f"{name}.architecture is not that of {config.start_from}, which it is to go on "
                f"from: give it {to_plain(network.config)}"
            )


def check_data(config: TrainingConfig, data: list[Path], stages: list[str]) -> list[ClipSet]:
    """Check that the sets have what each stage asks for.

    Raises:
        DataError: they do not; the message names the set or the stage.
    """
    if not data:
        raise DataError("no data: name folders with --data, made by `stylefacev data render`")
    sets = [ClipSet(folder) for folder in data]
    trained: list[ClipEntry] = []
    for clips in sets:
        for entry in clips.entries:
            if entry.size_px != config.data_px:
                raise DataError(
                    f"{clips.folder}: clip {entry.id} is {entry.size_px} px, "
                    f"the config says {config.data_px}"
                )
            if not (clips.folder / entry.file).is_file():
                raise DataError(f"{clips.folder} lacks {entry.file}: make the set again")
            if not for_validation(clips.folder, entry, config.held_out_permille):
                trained.append(entry)
        _check_labels(config, clips, stages)
        _check_factors(config, clips, stages)
    if not trained:
        raise DataError(
            f"all persons are held out (held_out_permille {config.held_out_permille}): nobody is "
            "left to train on"
        )
    longest = max((entry.num_frames for entry in trained if entry.kind == "clip"), default=0)
    for stage, num_frames, why in _wanted_lengths(config):
        if stage in stages and longest < num_frames:
            raise DataError(
                f"the stage {stage} needs clips of {num_frames} frames ({why}), but the longest "
                f"one to train on has {longest}: give longer clips with --data"
            )
    for stage in ("generator", "finish", "pose"):
        section = getattr(config, stage)
        share = section.video_share if section is not None else None
        if stage in stages and share not in (None, 1):
            if all(entry.kind == "clip" for entry in trained):
                raise DataError(
                    f"the stage {stage} wants images beside videos ({stage}.video_share {share:g}),"
                    " but the data has clips alone: give stills with --data"
                )
    return sets


def _wanted_lengths(config: TrainingConfig) -> list[tuple[str, int, str]]:
    """Stage, frames that a clip must have, and the setting that says so."""
    wanted = [("motion", config.motion.num_frames, "motion.num_frames")]
    if config.joint is not None:
        wanted.append(("joint", config.joint.window.span, "joint.window"))
    if round(config.appearance.pair_share * config.appearance.batch_size):
        wanted.append(("appearance", 2, "appearance.pair_share"))
    for name in ("generator", "finish", "pose"):
        section = getattr(config, name)
        if section is not None and section.video_share:
            wanted.append((name, 1, f"{name}.video_share"))
    return wanted


def _check_labels(config: TrainingConfig, clips: ClipSet, stages: list[str]) -> None:
    labels = clips.clip(0).labels()
    z_dim = config.generator.architecture.z_dim
    found = labels["factors"].shape[1] if "factors" in labels else 0
    for stage, label, setting in _wanted_labels(config):
        if stage not in stages:
            continue
        if label == "factors" and found != z_dim:
            raise DataError(
                f"{clips.folder} has {found} factors a frame, the stage {stage} takes {z_dim}: "
                f"train on rendered faces, set z_dim, or do without ({setting})"
            )
        if label == "landmarks" and label not in labels:
            raise DataError(
                f"{clips.folder} has no landmarks for the stage {stage}: take rendered faces, "
                f"prepare the set with --detector MODEL, or do without ({setting})"
            )
        if label == "key_points" and not {"landmarks", "key_points"} & set(labels):
            raise DataError(
                f"{clips.folder} has no key points for the stage {stage}: make it with `stylefacev "
                f"data render` or `data prepare`, or do without ({setting})"
            )


def _check_factors(config: TrainingConfig, clips: ClipSet, stages: list[str]) -> None:
    """Compare where factors are with what a rendered set says; older sets say less."""
    manifest = clips.manifest()
    columns, blocks = manifest.get("columns"), manifest.get("factor_blocks")
    names = columns.get("factors") if isinstance(columns, dict) else None
    pose = blocks.get("pose") if isinstance(blocks, dict) else None
    for stage in stages:
        section = getattr(config, stage)
        number, place = (getattr(section, key, None) for key in ("num_factors", "pose_factors"))
        if number and isinstance(names, list) and number != len(names):
            raise DataError(
                f"{clips.folder} names {len(names)} factors, {stage}.num_factors is {number}: give "
                f"it {len(names)}, or train on another set"
            )
        if place and pose and [place.first, place.stop] != list(pose):
            raise DataError(
                f"the poses of {clips.folder} are in the factors {pose[0]} to {pose[1]}, but "
                f"{stage}.pose_factors says {place.first} to {place.stop}: give it "
                f"{{first: {pose[0]}, stop: {pose[1]}}}, or train on another set"
            )


def _wanted_labels(config: TrainingConfig) -> list[tuple[str, str, str]]:
    """Stage, label that each set must have, and the settings under which it need not."""
    wanted = [("detector", "landmarks", "start_from a model with one, detector: null")]
    for name in ("generator", "finish"):
        section = getattr(config, name)
        if section and (section.objective == "paired" or section.paired_weight > 0):
            setting = "objective: adversarial, paired_weight: 0"
            wanted += [(name, "factors", setting), (name, "landmarks", setting)]
    for name, keys in (
        ("appearance", ("pair_share", "frame_share", "swap_share", "places_weight")),
        ("joint", ("video_embedding_weight", "num_swaps", "further_swaps", "places_weight")),
    ):
        used = [key for key in keys if getattr(getattr(config, name), key, 0)]
        wanted += [(name, "factors", f"{name}.{key}: 0") for key in used]
        if "places_weight" in used:
            wanted.append((name, "key_points", f"{name}.places_weight: 0"))
    return wanted


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
    """Check that there is space for the saves, and for data in files.

    Raises:
        StyleFaceVError: there is too little.
    """
    free = shutil.disk_usage(_existing(run)).free
    if num_bytes > free:
        raise StyleFaceVError(
            f"this run needs {in_units(num_bytes)} of space, but {_existing(run)} has "
            f"{in_units(free)} free: lower loop.keep, or choose another --out"
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


def _processes_here() -> int:
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


def disk_bytes_of(config: TrainingConfig, run: Path, save_bytes: dict[str, int]) -> int:
    """What all saves of some stages take, less what they take already."""
    total = 0
    for name, size in save_bytes.items():
        there = sum(path.stat().st_size for path in (run / name / "checkpoints").glob("*.ckpt"))
        total += max((config.loop.keep + SAVES_BESIDE_KEPT) * size - there, 0)
    return total


def save_bytes_of(config: TrainingConfig, stage: str, num_frames: int) -> int:
    """About the size of a save: networks, averages, and two numbers a parameter of Adam."""
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
    """The networks that a stage trains, without their numbers, and how often each is in a save."""
    section: Any = getattr(config, stage)
    # Of a model to start from, the sizes of the detector are not read here: about the released.
    detector = config.detector.architecture if config.detector else LandmarkDetectorConfig()
    channels = 3 if config.motion.supervise == "images" else 1
    critic = replace(config.motion.discriminator, frame_channels=channels)
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
                (PairDiscriminator(critic), 3),
                (ClipDiscriminator(critic), 3),
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
