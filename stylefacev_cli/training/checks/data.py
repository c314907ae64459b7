"""Whether data has what the stages ask for: lengths, kinds, rates, labels.

Before a run indices and one label file a set tell; the labels of all frames once they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stylefacev_cli.datasets.clips import ClipEntry, ClipSet, need_one_rate, rates_of
from stylefacev_cli.errors import DataError
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_features import TARGETS
from stylefacev_cli.training.batches.reading import for_validation
from stylefacev_cli.training.settings import TrainingConfig
from stylefacev_cli.weights.manifest import MAX_FPS


def check_frames(config: TrainingConfig, frames: Frames, stages: list[str]) -> None:
    """Check that the frames have the labels that the stages need; some need them all.

    Raises:
        DataError: they have not.
    """
    for stage, label, _ in _needed_labels(config):
        if stage in stages and label == "landmarks":
            frames.need_landmarks(f"the stage {stage}")
        elif stage in stages and label == "key_points":
            frames.need_key_points(f"the stage {stage}")


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
        trained += _checked_entries(config, clips)
        _check_labels(config, clips, stages)
        _check_factors(config, clips, stages)
    if not trained:
        raise DataError(
            f"all persons are held out (held_out_permille {config.held_out_permille}): nobody is "
            "left to train on"
        )
    _check_lengths(config, trained, stages)
    _check_kinds(config, trained, stages)
    if "motion" in stages:
        need_one_rate(rates_of(trained, config.motion.num_frames), "the stage motion")
        _check_rate(sets)
    return sets


def _check_rate(sets: list[ClipSet]) -> None:
    """Check that a model can have the rate of the data: that of its longest clip."""
    clips = [entry for one in sets for entry in one.entries if entry.kind == "clip"]
    fps = max(clips, key=lambda entry: entry.num_frames).fps
    if not 0 < fps <= MAX_FPS:
        rate = f"{fps:g} frames a second" if fps > 0 else "an unknown rate"
        raise DataError(
            f"the longest clip has {rate}, and a model of its motion needs one of up to {MAX_FPS}: "
            "prepare the footage again with --fps"
        )


def _checked_entries(config: TrainingConfig, clips: ClipSet) -> Iterator[ClipEntry]:
    """Those clips of a set that are trained on; the size and the files of all are checked."""
    for entry in clips.entries:
        is_too_small = entry.size_px < config.data_px
        if entry.size_px != config.data_px and (is_too_small or not config.resize_data):
            advice = "" if is_too_small else ": give --set resize_data=true to bring them down"
            raise DataError(
                f"{clips.folder}: clip {entry.id} is {entry.size_px} px, "
                f"the config says {config.data_px}{advice}"
            )
        if not (clips.folder / entry.file).is_file():
            raise DataError(f"{clips.folder} lacks {entry.file}: make the set again")
        if not for_validation(clips.folder, entry, config.held_out_permille):
            yield entry


def _check_lengths(config: TrainingConfig, trained: list[ClipEntry], stages: list[str]) -> None:
    longest = max((entry.num_frames for entry in trained if entry.kind == "clip"), default=0)
    for stage, num_frames, setting in _needed_lengths(config):
        if stage in stages and longest < num_frames:
            raise DataError(
                f"the stage {stage} needs clips of {num_frames} frames ({setting}), but the "
                f"longest one to train on has {longest}: give longer clips with --data"
            )


def _check_kinds(config: TrainingConfig, trained: list[ClipEntry], stages: list[str]) -> None:
    for stage in ("generator", "finish", "pose"):
        section = getattr(config, stage)
        share = section.video_share if section is not None else None
        if stage not in stages or share in (None, 1):
            continue
        if all(entry.kind == "clip" for entry in trained):
            raise DataError(
                f"the stage {stage} wants images beside videos ({stage}.video_share {share:g}), "
                "but the data has clips alone: give stills with --data"
            )


def _needed_lengths(config: TrainingConfig) -> list[tuple[str, int, str]]:
    """Stage, frames that a clip must have, and the setting that says so."""
    needed = [("motion", config.motion.num_frames, "motion.num_frames")]
    if config.joint is not None:
        needed.append(("joint", config.joint.window.span, "joint.window"))
    if round(config.appearance.pair_share * config.appearance.batch_size):
        needed.append(("appearance", 2, "appearance.pair_share"))
    for name in ("generator", "finish", "pose"):
        section = getattr(config, name)
        if section is not None and section.video_share:
            needed.append((name, 1, f"{name}.video_share"))
    return needed


def _check_labels(config: TrainingConfig, clips: ClipSet, stages: list[str]) -> None:
    labels = clips.clip(0).labels()
    z_dim = config.generator.architecture.z_dim
    num_factors = labels["factors"].shape[1] if "factors" in labels else 0
    for stage, label, setting in _needed_labels(config):
        if stage not in stages:
            continue
        if label == "factors" and num_factors != z_dim:
            raise DataError(
                f"{clips.folder} has {num_factors} factors a frame, the stage {stage} takes "
                f"{z_dim}: train on rendered faces, set z_dim, or do without ({setting})"
            )
        if label == "landmarks" and label not in labels:
            raise DataError(
                f"{clips.folder} has no landmarks for the stage {stage}: take rendered faces, "
                f"prepare the set with --detector face-mesh, or do without ({setting})"
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
    if not isinstance(pose, list) or len(pose) != 2:
        pose = None
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


def _needed_labels(config: TrainingConfig) -> list[tuple[str, str, str]]:
    """Stage, label that each set must have, and the settings under which it need not."""
    needed = [("detector", "landmarks", "start_from a model with one, detector: null")]
    for name in ("pose", "joint"):
        if getattr(getattr(config, name), "targets", None) == "labels":
            needed.append((name, "landmarks", f"{name}.targets: {TARGETS[0]}"))
    for name in ("generator", "finish"):
        section = getattr(config, name)
        if section and (section.objective == "paired" or section.paired_weight > 0):
            setting = "objective: adversarial, paired_weight: 0"
            needed += [(name, "factors", setting), (name, "landmarks", setting)]
    for name, keys in (
        ("appearance", ("pair_share", "frame_share", "swap_share", "key_point_surrogate_weight")),
        (
            "joint",
            ("video_embedding_weight", "num_swaps", "num_swap_poses", "key_point_surrogate_weight"),
        ),
    ):
        used = [key for key in keys if getattr(getattr(config, name), key, 0)]
        needed += [(name, "factors", f"{name}.{key}: 0") for key in used]
        if "key_point_surrogate_weight" in used:
            needed.append((name, "key_points", f"{name}.key_point_surrogate_weight: 0"))
    return needed
