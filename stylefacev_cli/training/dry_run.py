"""Dry run: every stage is built and takes a few steps on real data; nothing stays on disk.

The stages see some clips of each set, and networks that earlier stages left, those of the model
that the run starts from or, where there are neither, untrained ones: what is measured (memory,
time) does not depend on the numbers in them. All that is written lies in a temporary folder that is
removed again.
"""

from __future__ import annotations

import ctypes
import gc
import math
import resource
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.datasets.clips import INDEX_NAME, KINDS, ClipSet
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.training.batches.clip_frames import CPU
from stylefacev_cli.training.batches.reading import for_validation
from stylefacev_cli.training.engine.budget import duration
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.engine.stage import NetworkStage
from stylefacev_cli.training.engine.stage_protocol import Stage
from stylefacev_cli.training.preflight import NETWORKS_OF, check_run
from stylefacev_cli.training.resources import in_units
from stylefacev_cli.training.run import SilentListener, stages_of
from stylefacev_cli.training.settings import STAGES, TrainingConfig
from stylefacev_cli.training.trainer import Trainer
from stylefacev_cli.weights.manifest import read_manifest

CLIPS_OF_A_SET = 12  # the longest that are trained on, and a third as many that are held out
TIMED_AT = (0.05, 0.5, 0.95)  # progress: losses that come late cost time, too


@dataclass(frozen=True)
class StageCost:
    """What a stage takes.

    Attributes:
        name: of the stage.
        parameters: of the networks that it trains, averages and critics among them.
        peak_bytes: the process's peak of resident memory while it was built and stepped.
        gpu_bytes: the peak of what it had on the GPU; 0 on the CPU.
        step_s: seconds of a step, the mean over the stage.
        images_per_step: that one step trains on.
        num_steps: of the whole stage, unless its minutes are over before.
        total_s: seconds of the whole stage.
    """

    name: str
    parameters: int
    peak_bytes: int
    gpu_bytes: int
    step_s: float
    images_per_step: int
    num_steps: int
    total_s: float


def dry_run(
    config: TrainingConfig,
    data: list[Path],
    run: Path,
    *,
    stage: str = "all",
    device: torch.device = CPU,
    listener: Listener | None = None,
    accept_changes: bool = False,
) -> list[StageCost]:
    """Check a run and take a few steps of each of its stages.

    Args:
        config: all settings.
        data: folders of clips, beside those that the config names.
        run: folder of the run; is read if it is there, and not written.
        stage: one of the stages, or `all`.
        device: where to compute.
        listener: is told lines of progress.
        accept_changes: as for `train`.

    Returns:
        What each stage takes.

    Raises:
        UsageError: there is no such stage.
        DataError: the data is missing or does not fit the config.
        StyleFaceVError: a stage cannot be trained.
    """
    listener = LogListener() if listener is None else listener
    stages = stages_of(config, stage)
    folders = [*data, *map(Path, config.data)]
    needs = check_run(
        config, folders, run, stages, makes_model=stage == "all", accept_changes=accept_changes
    )
    for note in needs.notes:
        listener.note(note)
    listener.note(
        f"data: {needs.num_frames} frames, {in_units(needs.data_bytes)} "
        f"{'mapped from files' if needs.is_mapped else 'of memory'}; "
        f"{in_units(needs.disk_bytes)} more on the disk"
    )
    costs = []
    with tempfile.TemporaryDirectory(prefix="stylefacev-dry-run-") as scratch:
        place = Path(scratch)
        some = [_some_clips(folder, config, place, i) for i, folder in enumerate(folders)]
        trainer = Trainer(config, some, place, device, SilentListener())
        trainer.prepare(stages)
        every = stages_of(config, "all")
        start = config.start_from
        there = set() if start is None else set(read_manifest(start).files)
        if "detector" in there:  # it stands in for the copy that is trained
            there.add("landmarks")
        for name in (name for name in STAGES if name in stages or name in every):
            if name in stages:
                costs.append(_measured(trainer, config, name, place, device))
                listener.note(line_of(costs[-1]))
            elif len(costs) == len(stages):
                break
            elif (run / name / "checkpoints").is_dir():
                (place / name).mkdir()
                (place / name / "checkpoints").symlink_to((run / name / "checkpoints").resolve())
            elif not all(network in there for network in NETWORKS_OF[name]):
                _keep(trainer.stage(name, getattr(config, name)), place)
    return costs


def line_of(cost: StageCost) -> str:
    """What a stage takes, on one line."""
    rate = cost.images_per_step / cost.step_s
    images = f"{cost.images_per_step} image" + ("" if cost.images_per_step == 1 else "s")
    gpu = f", {in_units(cost.gpu_bytes)} on the GPU" if cost.gpu_bytes else ""
    return (
        f"{cost.name}: {cost.parameters / 1e6:.2f} M parameters · peak "
        f"{in_units(cost.peak_bytes)}{gpu} · {cost.step_s:.3g} s a step of {images} "
        f"({rate:.2g} images/s) · {cost.num_steps:,} steps, {_span(cost.total_s)} "
        "for the whole stage"
    )


def summary(costs: list[StageCost]) -> str:
    """One line: whether, how long, how much memory."""
    peak = max(cost.peak_bytes for cost in costs)
    names = ", ".join(cost.name for cost in costs)
    total = _span(sum(cost.total_s for cost in costs))
    return f"dry run passed: {names}; about {total} in all, peak memory {in_units(peak)}"


def _measured(
    trainer: Trainer, config: TrainingConfig, name: str, place: Path, device: torch.device
) -> StageCost:
    section = getattr(config, name)
    _forget_peak()
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    stage = trainer.stage(name, section)
    _step(stage, 0, 1.0)  # compiles kernels, and takes everything in: losses that come late, R1
    seconds = []
    for index, progress in enumerate(TIMED_AT, start=1):
        start = time.monotonic()
        _step(stage, index, progress)
        seconds.append(time.monotonic() - start)
    stage.validate()  # what a real run comes to hours later
    stage.sample_grid()
    _keep(stage, place)
    step_s = statistics.mean(seconds)
    per_step = stage.images_per_step
    num_steps = math.ceil(section.num_images / per_step)
    total_s = num_steps * step_s
    if section.minutes is not None:
        total_s = min(total_s, 60 * section.minutes)
    parameters = sum(p.numel() for network in stage.networks.values() for p in network.parameters())
    gpu_bytes = torch.cuda.max_memory_allocated(device) if on_gpu else 0
    return StageCost(
        name, parameters, _peak_bytes(), gpu_bytes, step_s, per_step, num_steps, total_s
    )


def _keep(stage: NetworkStage, place: Path) -> None:
    """Leave the networks of a stage for those after it."""
    state = stage.state_dict()
    kept = {"architecture": state["architecture"], "networks": state["networks"]}
    saved = {"step": 0, "used_s": 0.0, "bad_steps": 0, "stage": kept}
    CheckpointStore(place / stage.name / "checkpoints").save(0, saved)


def _step(stage: Stage, index: int, progress: float) -> None:
    losses = stage.step(index, progress)
    if any(value != value for value in losses.values()):
        raise StyleFaceVError(f"{stage.name}: the loss of a first step is not finite")


def _span(seconds: float) -> str:
    """Hours, minutes and seconds; from two days on, days."""
    days = seconds / 86_400
    return duration(seconds) if days < 2 else f"{days:.3g} days"


def _some_clips(folder: Path, config: TrainingConfig, place: Path, number: int) -> Path:
    """A set with few of a set's clips, under its name, so that the same people are held out."""
    clips = ClipSet(folder)
    some = place / "data" / str(number) / folder.resolve().name
    some.mkdir(parents=True)
    chosen = []
    for held_out, count in ((False, CLIPS_OF_A_SET), (True, CLIPS_OF_A_SET // 3)):
        for kind in KINDS:
            entries = [
                entry
                for entry in clips.entries
                if entry.kind == kind
                and for_validation(folder, entry, config.held_out_permille) == held_out
            ]
            chosen += sorted(entries, key=lambda entry: -entry.num_frames)[:count]
    (some / INDEX_NAME).write_text("".join(entry.to_line() for entry in chosen), encoding="utf-8")
    for path in folder.resolve().iterdir():
        if path.is_dir():
            (some / path.name).symlink_to(path)
    for entry in chosen:
        for file in (entry.file, entry.labels):
            if file is not None and not (some / file).exists():
                shutil.copy(folder / file, some / file)
    return some


def _forget_peak() -> None:
    """Give freed memory back and set the peak to what is used now, where Linux and glibc can."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError, TypeError):
        pass  # then peaks are those of all stages so far


def _peak_bytes() -> int:
    """The peak of resident memory since `_forget_peak`."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
