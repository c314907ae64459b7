"""A whole training run: stages in order, each resumed from its newest checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from stylefacev_cli.common.distributed import process_index, wait_for_all
from stylefacev_cli.common.files import remove
from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.batches.clip_frames import CPU
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.loop import Outcome, StopFlag
from stylefacev_cli.training.preflight import Needs, check_run
from stylefacev_cli.training.settings import STAGES, TrainingConfig, budget_of, save_settings
from stylefacev_cli.training.trainer import FRAMES_FOLDER, Trainer, locked

ALL = "all"


@dataclass(frozen=True)
class RunOptions:
    """What holds for this run of a training, and not for those before and after it.

    Attributes:
        minutes: it ends after so long, resumable.
        until_images: it ends when its one stage has seen so many images in all runs, resumable:
            for training on one set of renders after the other.
        accept_changes: a stage may go on with other data, batch or seed than its checkpoints.
    """

    minutes: float | None = None
    until_images: int | None = None
    accept_changes: bool = False


def train(
    config: TrainingConfig,
    data: list[Path],
    run: Path,
    *,
    stage: str = ALL,
    options: RunOptions | None = None,
    device: torch.device = CPU,
    listener: Listener | None = None,
) -> Outcome:
    """Train one stage, or all that are not done yet; then write the model to `run/bundle`.

    After one stage if all networks are there then, of the run or of the model that it starts from,
    and fit each other; else a line says what is missing. What can be known to go wrong is looked
    for first, see `check_run`.

    Args:
        config: all settings.
        data: folders of clips, beside those that the config names.
        run: folder of the run; one folder a stage in it.
        stage: one of `STAGES`, or `all`.
        options: of this run of it; None: to the end, and nothing may have changed.
        device: where this process computes. Processes of `torch.distributed` that were joined
            before share the work; the first one writes, and tells the listener.
        listener: is told lines of progress, and each step; None: the log of this package is.

    Returns:
        How the last stage that was trained ended.

    Raises:
        UsageError: there is no such stage, `until_images` comes without one, a batch does not split
            over the processes, or a network is to begin with the weights of one of another
            architecture.
        DataError: the data is missing or does not fit the config.
        StyleFaceVError: training went wrong, or another run trains this stage.
    """
    options = options or RunOptions()
    names = stages_of(config, stage)
    if options.until_images is not None and stage == ALL:
        raise UsageError("--until-images counts the images of one stage: name it")
    folders = [*data, *map(Path, config.data)]
    wait_for_all()  # one that stopped at once would not let the others join
    needs = check_run(
        config,
        folders,
        run,
        names,
        makes_model=stage == ALL,
        accept_changes=options.accept_changes,
    )
    wait_for_all()  # before one of them takes the memory that another looks for
    listener = LogListener() if listener is None else listener
    if process_index() > 0:
        listener = SilentListener()
    trainer = Trainer(config, folders, run, device, listener)
    begin_s = time.monotonic()

    def budget(name: str) -> Budget:
        left = options.minutes
        if left is not None:
            left -= (time.monotonic() - begin_s) / 60
        return budget_of(getattr(config, name), left, options.until_images)

    with locked(run):
        if process_index() == 0:
            save_settings(config, run / "config.yaml")
        for note in needs.notes:
            listener.note(note)
        trainer.prepare(names)
        outcome = _train_stages(trainer, names, budget, needs, skip_finished=stage == ALL)
        if process_index() == 0 and outcome.reason == "done":
            _write_model(trainer, stage, listener)
            if stage == ALL:
                remove(run / FRAMES_FOLDER)
    return outcome


def _train_stages(
    trainer: Trainer,
    names: list[str],
    budget: Callable[[str], Budget],
    needs: Needs,
    *,
    skip_finished: bool,
) -> Outcome:
    outcome = Outcome("done", 0)
    with StopFlag() as stop:
        for name in names:
            outcome = trainer.train(
                name,
                budget(name),
                stop,
                skip_finished=skip_finished,
                trained_with=needs.trained_with[name],
            )
            if outcome.reason != "done":
                break
    return outcome


def _write_model(trainer: Trainer, stage: str, listener: Listener) -> None:
    """Write the bundle, unless networks are missing; a listener is told which."""
    missing = trainer.missing_parts(overtaken=stage != ALL)
    if missing:
        parts = "; ".join(f"{network} ({way})" for network, way in missing.items())
        listener.note(f"no model yet: it lacks {parts}")
    else:
        listener.note(f"model: {trainer.bundle()}")


class SilentListener(LogListener):
    """Of all processes but the first."""

    def note(self, text: str) -> None:
        """Tell nobody."""

    def detail(self, text: str) -> None:
        """Tell nobody."""


def stages_of(config: TrainingConfig, stage: str) -> list[str]:
    """The stages that `stage`, a name or `all`, stands for.

    Raises:
        UsageError: there is no such stage, or the config has none.
    """
    if stage not in (*STAGES, ALL):
        raise UsageError(f"there is no stage {stage!r}; stages are all, {', '.join(STAGES)}")
    if stage != ALL:
        if getattr(config, stage) is None:
            raise UsageError(f"the config has no section {stage!r}")
        return [stage]
    if config.stages:
        return [name for name in STAGES if name in config.stages]
    is_there = {"generator"} if config.start_from is not None else set()
    return [name for name in STAGES if getattr(config, name) and name not in is_there]
