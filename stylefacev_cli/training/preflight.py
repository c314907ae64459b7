"""Checks before hours of training: what can be known to go wrong.

Batches, networks to begin with, data, folder, space, memory, what the model at the end needs. Of
data only indices and one label file a set are read, so this takes seconds for any set; what the
frames themselves tell is checked when they are read, before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import UsageError
from stylefacev_cli.metrics.perceptual import resolve_perceptual
from stylefacev_cli.training.artifacts import Checkpoints, network_of
from stylefacev_cli.training.batches.reading import (
    num_bytes_of,
    says_hair,
)
from stylefacev_cli.training.card import card_of
from stylefacev_cli.training.checks.data import check_data
from stylefacev_cli.training.checks.resumed import check_resumed, trained_with_of
from stylefacev_cli.training.engine.batch_split import own_splits
from stylefacev_cli.training.engine.resuming import TrainedWith
from stylefacev_cli.training.model_parts import check_order
from stylefacev_cli.training.resources import (
    bundle_bytes_of,
    check_disk,
    check_folder,
    check_memory,
    checkpoint_bytes_of,
    disk_bytes_of,
    processes_here,
)
from stylefacev_cli.training.settings import TrainingConfig
from stylefacev_cli.weights.bundle import load_bundle
from stylefacev_cli.weights.manifest import read_manifest

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
        checkpoint_bytes: one checkpoint of each stage.
        disk_bytes: data in files, and all checkpoints that will lie on the disk at once, less those
            that are there, and the model.
        trained_with: what checkpoints of each stage say of data, batch and seed.
        notes: lines for the user.
    """

    num_frames: int
    data_bytes: int
    is_mapped: bool
    checkpoint_bytes: dict[str, int]
    disk_bytes: int
    trained_with: dict[str, TrainedWith]
    notes: tuple[str, ...] = ()


def check_run(
    config: TrainingConfig,
    data: list[Path],
    run: Path,
    stages: list[str],
    *,
    makes_model: bool = False,
    accept_changes: bool = False,
) -> Needs:
    """Check batches, networks, data, folder, space and memory for some stages; each process does.

    Args:
        config: all settings; wrong ones were refused when it was made.
        data: folders of clips.
        run: folder of the run; is not made.
        stages: those that are to be trained.
        makes_model: they are all of a run, whose model is written at the end.
        accept_changes: a stage may go on with other data, batch or seed than its checkpoints.

    Raises:
        UsageError: a batch does not split over the processes, a network is to begin with the
            weights of one of another architecture, or a stage would go on with other data, batch or
            seed.
        MissingWeightsError: the model to begin with is not there, or lacks a network.
        IntegrityError: it is damaged.
        DataError: a set is missing, empty, of another size, or lacks what a stage needs.
        StyleFaceVError: the folder cannot be written, or there is too little space or memory.
    """
    for name in stages:  # now, not hours later when it is that stage's turn
        own_splits(name, getattr(config, name))
    resolve_perceptual(config.perceptual)
    notes = check_beginnings(config, stages)
    if makes_model:
        check_order(Checkpoints(run, start_from=config.start_from), stages, makes_model=True)
    sets = check_data(config, data, stages)
    for folder in (run, run / "bundle", *(run / name for name in stages)):
        check_folder(folder)
    num_frames = sum(entry.num_frames for one in sets for entry in one.entries)
    trained_with = trained_with_of(config, sets, stages)
    notes += check_resumed(config, run, trained_with, accept_changes=accept_changes)
    z_dim = config.generator.architecture.z_dim
    has_hair = any(says_hair(one) for one in sets)
    data_bytes = num_bytes_of(num_frames, config.data_px, z_dim, has_hair)
    is_mapped = data_bytes >= config.mapped_from_bytes
    needs = Needs(
        num_frames,
        data_bytes,
        is_mapped,
        checkpoint_bytes := {
            name: checkpoint_bytes_of(config, name, num_frames) for name in stages
        },
        disk_bytes_of(config, run, checkpoint_bytes)
        + bundle_bytes_of(config, stages)
        + data_bytes * is_mapped,
        trained_with,
        tuple(notes),
    )
    check_disk(run, needs.disk_bytes)
    if not is_mapped:
        check_memory(data_bytes * processes_here())
    return needs


def check_beginnings(config: TrainingConfig, stages: list[str]) -> list[str]:
    """Check all networks of the model to start from, and the sizes of those that are fine-tuned.

    Returns:
        Lines for the user, of its training card.

    Raises:
        UsageError: a network is of another size than the config's; the message says of which.
        MissingWeightsError: there is no such model, or it lacks the network.
        IntegrityError: the model is damaged.
    """
    if config.start_from is None:
        return []
    manifest = read_manifest(config.start_from)
    load_bundle(manifest)
    _, problem = card_of(manifest.folder)
    notes = [] if problem is None else [f"its training card is left out of this run's: {problem}"]
    if not config.fine_tune:
        return notes
    for name in (name for name in stages if name in FINE_TUNED):
        (left,) = NETWORKS_OF[name]
        network: Any = network_of(config.start_from, left)
        if network.config != getattr(config, name).architecture:
            raise UsageError(
                f"{name}.architecture is not that of {config.start_from}, which it is to go on "
                f"from: give it {to_plain(network.config)}"
            )
    return notes
