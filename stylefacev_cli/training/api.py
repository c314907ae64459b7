"""Training from Python: `stylefacev_cli.train(config="tiny", data=["faces"], out="run")`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.common.memory import keep_freed_memory
from stylefacev_cli.common.options import request_from
from stylefacev_cli.common.processes import joined_processes, num_started, own_gpu
from stylefacev_cli.common.threads import set_num_threads
from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.dry_run import StageCost, dry_run
from stylefacev_cli.training.request import TrainRequest
from stylefacev_cli.training.rounds import FIRST, Round, chosen_rounds, rounds_of
from stylefacev_cli.training.run import ALL, RunOptions
from stylefacev_cli.training.run import train as train_round
from stylefacev_cli.weights.manifest import read_manifest


@dataclass(frozen=True)
class TrainingResult:
    """What a training has left.

    Attributes:
        run: folder of the round that was trained last: its checkpoints, logs and sample grids.
        bundle: the model there; None: not all of its networks are trained yet.
        reason: why it ended: `done`, `signal`, or this run's `images` or `time` are used up.
        step: of the last stage that was trained.
        signal_number: of the signal, if one ended it.
        costs: of a dry run, what each stage takes; it leaves nothing else.
        is_first_process: whether this one of several processes tells the result.
    """

    run: Path
    bundle: Path | None
    reason: str
    step: int = 0
    signal_number: int | None = None
    costs: tuple[StageCost, ...] = ()
    is_first_process: bool = True


def train(
    config: str | Path = "default-128",
    data: str | Path | Iterable[str | Path] = (),
    out: str | Path = "run",
    *,
    settings: dict[str, Any] | Iterable[str] = (),
    listener: Listener | None = None,
    **options: Any,
) -> TrainingResult:
    """Train a model, or go on with a training that was stopped.

    Args:
        config: the name of a shipped config (see `list_configs`), or a YAML file of settings.
        data: folders of rendered or prepared clips.
        out: folder of the run.
        settings: that take precedence, by their dotted names: `{"joint.num_images": 5000}`.
        listener: is told notes and progress; None: the log of this package is.
        options: further ones of `TrainRequest`: stage, round, minutes, device and so on.

    Returns:
        Where the run and its model are, and why it ended.

    Raises:
        UsageError: an option or setting is wrong, or does not go with the others.
        DataError: the data is missing or does not fit the config.
        StyleFaceVError: training went wrong.
    """
    folders = (data,) if isinstance(data, str | Path) else tuple(data)
    if isinstance(settings, dict):
        settings = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    given = {
        "config": str(config),
        "data": tuple(map(str, folders)),
        "out": Path(out),
        "settings": tuple(settings),
    }
    return run_request(request_from(TrainRequest, given | options), listener)


def run_request(request: TrainRequest, listener: Listener | None = None) -> TrainingResult:
    """Do what a request asks for; raises as `train`."""
    listener = LogListener() if listener is None else listener
    rounds = chosen_rounds(
        rounds_of(
            request.config,
            request.out,
            overrides_of(request),
            start_from=request.start_from,
            starting=request.round or FIRST,
        ),
        request.round,
        is_one_stage=request.stage != ALL,
    )
    if rounds[0].config.start_from is not None:
        read_manifest(rounds[0].config.start_from)  # a released one is fetched now
    keep_freed_memory()
    if request.threads:
        set_num_threads(request.threads)
    device = own_device(request.device)
    if request.dry_run:
        return _measure(request, rounds, device, listener)
    return _train_rounds(request, rounds, device, listener)


def _train_rounds(
    request: TrainRequest, rounds: list[Round], device: torch.device, listener: Listener
) -> TrainingResult:
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    data = [Path(folder) for folder in request.data]
    begin_s = time.monotonic()
    with joined_processes(backend) as processes:
        for one in rounds:
            if len(rounds) > 1 and processes.is_first:
                listener.note(f"round {one.name}: {one.folder}")
            left = request.minutes
            if left is not None:
                left -= (time.monotonic() - begin_s) / 60
            outcome = train_round(
                one.config,
                data,
                one.folder,
                stage=request.stage,
                options=RunOptions(left, request.until_images, request.force),
                device=device,
                listener=listener,
            )
            if outcome.reason != "done":
                break
    bundle = one.bundle if outcome.reason == "done" and one.bundle.is_dir() else None
    return TrainingResult(
        one.folder,
        bundle,
        outcome.reason,
        outcome.step,
        outcome.signal_number,
        is_first_process=processes.is_first,
    )


def _measure(
    request: TrainRequest, rounds: list[Round], device: torch.device, listener: Listener
) -> TrainingResult:
    """A dry run of the first round; what later ones start from is not there yet."""
    if num_started() > 1:
        raise UsageError("--dry-run measures one process: run it without torchrun")
    first = rounds[0]
    data = [Path(folder) for folder in request.data]
    costs = dry_run(
        first.config,
        data,
        first.folder,
        stage=request.stage,
        device=device,
        listener=listener,
        accept_changes=request.force,
    )
    for one in rounds[1:]:
        listener.note(f"round {one.name} starts from the model of the one before: not measured yet")
    return TrainingResult(first.folder, None, "dry run", costs=tuple(costs))


def overrides_of(request: TrainRequest) -> list[str]:
    """The `section.key=value` settings of a request, those of its options too."""
    overrides = list(request.settings)
    if request.fine_tune:
        overrides.append("fine_tune=true")
    if request.supervise is not None:
        overrides.append(f"motion.supervise={request.supervise}")
    return overrides


def own_device(name: str) -> torch.device:
    """The device of this process: under torchrun each has a GPU of its own.

    Raises:
        UsageError: there is no GPU, or none left for this process.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not available):
        return torch.device("cpu")
    if own_gpu() >= available:
        raise UsageError(
            f"--device {name}: process {own_gpu()} of this machine has no GPU, there are "
            f"{available}: start fewer processes, or give --device cpu"
        )
    torch.cuda.set_device(own_gpu())
    return torch.device("cuda", own_gpu())
