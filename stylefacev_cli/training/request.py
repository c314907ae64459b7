"""What a training is asked for: the options of `stylefacev train` and of `stylefacev_cli.train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.common.options import option


@dataclass(frozen=True)
class TrainRequest:
    """A training, or one stage or round of it."""

    stage: str = option(
        "generator, finish, …, or all: every stage not done yet, in order.",
        default="all",
        flags=None,
    )
    config: str = option(
        "A shipped config by its name (--list-configs), or a YAML file of settings.",
        default="default-128",
        metavar="NAME|FILE",
    )
    data: tuple[str, ...] = option(
        "Folder of rendered or prepared clips; can be repeated.", default=(), metavar="FOLDER"
    )
    out: Path = option(
        "Folder of the run; an earlier run in it is continued.",
        default=Path("run"),
        flags=("--out", "-o"),
    )
    round: str | None = option(
        "Train one round of a config that has several; all of them by default.",
        default=None,
        metavar="NAME",
    )
    minutes: float | None = option(
        "End this run after so many minutes.", default=None, minimum=0, maximum=10_000_000
    )
    until_images: int | None = option(
        "End this run when the stage has seen so many in all.",
        default=None,
        minimum=1,
        maximum=10**15,
    )
    threads: int | None = option(
        "CPU threads; all by default.", default=None, minimum=1, maximum=1024
    )
    device: str = option(
        "Where to compute; auto: a GPU (one a process) if there is one, else the CPU.",
        default="auto",
        env="STYLEFACEV_DEVICE",
        choices=("auto", "cpu", "cuda"),
    )
    supervise: str | None = option(
        "What motion is judged by: poses, or frames rendered from them (richer, dearer).",
        default=None,
        choices=("poses", "images"),
    )
    start_from: str | None = option(
        "Model whose networks stand in for those not trained here, the generator first.",
        default=None,
        metavar="NAME|FOLDER",
    )
    fine_tune: bool = option(
        "Each stage begins with the weights of --start-from.",
        default=False,
        flags=("--fine-tune",),
    )
    dry_run: bool = option(
        "Check everything and take a few steps of each stage; write nothing.",
        default=False,
        flags=("--dry-run",),
    )
    force: bool = option(
        "Go on with other data, batch or seed than the checkpoints were trained with.",
        default=False,
        flags=("--force",),
    )
    settings: tuple[str, ...] = option(
        "Override a setting: section.key=value; can be repeated.",
        default=(),
        flags=("--set",),
        metavar="KEY=VALUE",
    )
