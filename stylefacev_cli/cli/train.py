"""`stylefacev train`: train a model stage by stage, resuming by itself; alone or under torchrun."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylefacev_cli.cli.options import Threads
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.processes import joined_processes, num_started, own_gpu
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    import torch


class Place(str, Enum):
    """Devices of `--device`."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Supervision(str, Enum):
    """What the discriminators of the motion stage see."""

    poses = "poses"
    images = "images"


def train(
    ctx: typer.Context,
    stage: Annotated[
        str,
        typer.Argument(help="generator, finish, …, or all: every stage not done yet, in order."),
    ] = "all",
    config: Annotated[
        Path, typer.Option("--config", help="YAML file of settings, see examples/default-128.yaml.")
    ] = Path("examples/default-128.yaml"),
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Folder of rendered or prepared clips; can be repeated."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the run; an earlier run in it is continued.")
    ] = Path("run"),
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="End this run after so many minutes.")
    ] = None,
    until_images: Annotated[
        int | None,
        typer.Option(
            "--until-images", min=1, help="End this run when the stage has seen so many in all."
        ),
    ] = None,
    threads: Threads = None,
    device: Annotated[
        Place,
        typer.Option(
            "--device",
            envvar="STYLEFACEV_DEVICE",
            help="Where to compute; auto: a GPU (one a process) if there is one, else the CPU.",
        ),
    ] = Place.auto,
    supervise: Annotated[
        Supervision | None,
        typer.Option(
            "--supervise",
            help="What motion is judged by: poses, or frames rendered from them (richer, dearer).",
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--start-from",
            metavar="NAME|FOLDER",
            help="Model whose networks stand in for those not trained here, the generator first.",
        ),
    ] = None,
    fine_tune: Annotated[
        bool,
        typer.Option("--fine-tune", help="Each stage begins with the weights of --start-from."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check everything and take a few steps of each stage; write nothing."
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting: section.key=value; can be repeated."),
    ] = None,
) -> None:
    """Train a model, or one stage of it; stop with Ctrl-C and run again to go on.

    Several processes: torchrun --nproc-per-node N -m stylefacev_cli train …; they share each batch
    of the config. Prints the folder of the run; of a dry run, what it would take.
    """
    with holding_signals():
        from stylefacev_cli.common.memory import keep_freed_memory
        from stylefacev_cli.common.threads import set_num_threads
        from stylefacev_cli.training.run import train as run_training
        from stylefacev_cli.training.settings import load_settings
        from stylefacev_cli.weights.manifest import read_manifest

    terminal: Terminal = ctx.obj
    if dry_run and num_started() > 1:
        raise UsageError("--dry-run measures one process: run it without torchrun")
    overrides = list(settings or [])
    if start_from is not None:
        overrides.append(f"start_from={json.dumps(start_from)}")
    if fine_tune:
        overrides.append("fine_tune=true")
    if supervise is not None:
        overrides.append(f"motion.supervise={supervise.value}")
    loaded = load_settings(config, overrides)
    if loaded.start_from is not None:
        read_manifest(loaded.start_from)  # a released one is fetched now
    keep_freed_memory()
    if threads:
        set_num_threads(threads)
    place = _own_device(device)
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    if dry_run:
        from stylefacev_cli.training.dry_run import dry_run as measure
        from stylefacev_cli.training.dry_run import summary

        costs = measure(loaded, data or [], out, stage=stage, device=place, report=terminal.note)
        terminal.result(summary(costs))
        return
    with joined_processes(backend) as processes:
        outcome = run_training(
            loaded,
            data or [],
            out,
            stage=stage,
            minutes=minutes,
            until_images=until_images,
            device=place,
            report=terminal.note,
        )
    if outcome.signal_number is not None:
        raise typer.Exit(128 + outcome.signal_number)
    if processes.is_first:
        terminal.result(str(out))


def _own_device(wish: Place) -> torch.device:
    """The device of this process: under torchrun each has a GPU of its own.

    Raises:
        UsageError: there is no GPU, or none left for this process.
    """
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wish is Place.cpu or (wish is Place.auto and not available):
        return torch.device("cpu")
    if own_gpu() >= available:
        raise UsageError(
            f"--device {wish.value}: process {own_gpu()} of this machine has no GPU, there are "
            f"{available}: start fewer processes, or give --device cpu"
        )
    torch.cuda.set_device(own_gpu())
    return torch.device("cuda", own_gpu())
