"""Train on more renders than the disk holds: chunk after chunk, each deleted behind the training.

python examples/rolling_training.py examples/default-256-rounds.yaml --out FOLDER
    [--minutes M] [--threads N] [--processes N] [--device cpu|cuda]

While the training sees one chunk of people, the next is rendered from the next seed. A plan in YAML
says how large chunks are, how often each picture is seen, and which stage of which config trains on
which framing for how many images; its phases follow each other. People held out are rendered once
and given with every chunk. It can be stopped at any time and started again by the same command; on
another machine the same plan gives the same pictures.

FOLDER/runs/NAME        one run of `stylefacev train` for each config
FOLDER/data             the chunk in use, the next one, and the people held out
FOLDER/log.txt          what all commands reported

Where it stands is told by the checkpoints of the runs: after `training_state.py restore STATE
FOLDER/runs/NAME` it goes on from there.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.named_configs import find_config
from stylefacev_cli.training.settings import load_settings

STYLEFACEV = (sys.executable, "-m", "stylefacev_cli")


@dataclass(frozen=True)
class Round:
    """One chunk: how it is rendered, and what trains on it until when."""

    number: int
    config: Path
    stage: str
    framing: str
    size_px: int
    batch_size: int
    until_images: int  # of the stage, in all rounds
    grow_from: str | None  # name of the run that the stage begins with

    @property
    def look(self) -> str:
        """What chunks and held-out people have in common."""
        return f"{self.size_px}-{self.framing}"


@dataclass(frozen=True)
class Plan:
    """A plan as its file says it, and the rounds that follow from it."""

    values: dict[str, Any]
    rounds: list[Round]

    @property
    def chunk_images(self) -> int:
        """Pictures of one chunk."""
        return int(self.values["chunk"]["identities"] * self.values["chunk"]["frames"])


def config_of(plan: Path, name: str) -> Path:
    """The config that a plan names: a file beside the plan, or a shipped one."""
    beside = plan.parent / name
    return beside if beside.is_file() else find_config(name)


def read_plan(path: Path) -> Plan:
    """Read a plan and check it against the configs that it names."""
    values = yaml.safe_load(path.read_text())
    chunk_images = values["chunk"]["identities"] * values["chunk"]["frames"]
    rounds: list[Round] = []
    trained: dict[tuple[str, str], int] = {}
    expected: dict[tuple[str, str], int] = {}
    for phase in values["phases"]:
        key = phase["config"], phase["stage"]
        config = config_of(path, phase["config"])
        settings = load_settings(config)
        section = getattr(settings, phase["stage"])
        begin = trained.get(key, 0)
        trained[key] = end = begin + phase["images"]
        expected[key] = section.num_images
        sizes = settings.resolution, section.batch_size
        while begin < end:
            begin = min(begin + chunk_images * values["passes"], end)
            more = phase["framing"], *sizes, begin, phase.get("grow_from")
            rounds.append(Round(len(rounds), config, phase["stage"], *more))
    for key, images in trained.items():
        if images != expected[key]:
            name = " ".join(key)
            sys.exit(f"{path}: the phases of {name} have {images} images, it has {expected[key]}")
    return Plan(values, rounds)


class Commands:
    """Runs `stylefacev` with one log; ends its processes with this one."""

    def __init__(self, log: IO[str]) -> None:
        self._log = log
        self.running: list[subprocess.Popen[bytes]] = []

    def note(self, text: str) -> None:
        """Write a line of this script's own."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
        print(line, file=self._log, flush=True)
        print(line, file=sys.stderr, flush=True)

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command; its output goes to the log."""
        words = [*STYLEFACEV, *map(str, arguments)]
        process = subprocess.Popen(words, stdout=self._log, stderr=subprocess.STDOUT)
        self.running.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a command; if it fails, end with its exit code."""
        code = process.wait()
        self.running.remove(process)
        if code:
            self.note(f"exit code {code} of {' '.join(map(str, process.args))}")  # type: ignore[arg-type]
            sys.exit(code if code > 0 else 128 - code)

    def stop(self) -> None:
        """Tell what runs to end: a training saves first, a set goes on where it was."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait()


@contextmanager
def logged_commands(folder: Path) -> Iterator[Commands]:
    """Commands whose log is in the folder; they are stopped when the block is left."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        commands = Commands(log)
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            yield commands
        finally:
            commands.stop()


class Rolling:
    """The rounds of a plan in a folder."""

    def __init__(self, plan: Plan, options: argparse.Namespace, commands: Commands) -> None:
        self._plan, self._options, self._commands = plan, options, commands
        self._out: Path = options.out

    def run(self) -> None:
        """Train all rounds that are not finished, as long as there is time."""
        minutes = self._options.minutes
        end_s = None if minutes is None else time.monotonic() + 60 * minutes
        rounds = self._plan.rounds
        for one in rounds[self._num_finished() :]:
            held_out = self._held_out(one)
            self._commands.finish(self._render_chunk(one))
            self._drop_chunks(keep=one.number)
            ahead = None
            if one.number + 1 < len(rounds):
                ahead = self._render_chunk(rounds[one.number + 1])
            left = None if end_s is None else max(end_s - time.monotonic(), 0) / 60
            self._commands.note(
                f"round {one.number + 1} of {len(rounds)}: {one.config.stem} {one.stage} on "
                f"{one.look} to {one.until_images} images"
            )
            self._train(one, held_out, left)
            if end_s is not None and time.monotonic() >= end_s:
                self._commands.note("the minutes are used up; run the same command to go on")
                return
            if ahead is not None:
                self._commands.finish(ahead)
        self._drop_chunks(keep=len(rounds))
        self._commands.note("all rounds are finished")

    def _train(self, one: Round, held_out: Path, minutes: float | None) -> None:
        arguments: list[object] = [
            *("train", one.stage, "--config", one.config, "--out", self._run(one.config.stem)),
            *("--data", held_out, "--data", self._chunk(one.number)),
            *("--until-images", one.until_images, "--device", self._options.device),
            "--force",  # a chunk is other data than the one before
        ]
        if minutes is not None:
            arguments += ["--minutes", minutes]
        if self._options.threads is not None:
            arguments += ["--threads", self._options.threads]
        if one.grow_from is not None:
            arguments += ["--set", f"{one.stage}.grow_from={self._run(one.grow_from)}"]
        self._commands.finish(self._commands.start(*arguments))

    def _run(self, name: str) -> Path:
        return self._out / "runs" / name

    def _chunk(self, number: int) -> Path:
        return self._out / "data" / f"chunk-{number:05d}"

    def _render_chunk(self, one: Round) -> subprocess.Popen[bytes]:
        seed = self._plan.values["seed"] + 1 + one.number
        return self._render(one, self._chunk(one.number), seed, "chunk", "train")

    def _held_out(self, one: Round) -> Path:
        """The people held out, at the size and in the framing of a round."""
        folder = self._out / "data" / f"held-out-{one.look}"
        seed = self._plan.values["seed"]
        self._commands.finish(self._render(one, folder, seed, "held_out", "val"))
        return folder

    def _render(
        self, one: Round, folder: Path, seed: int, what: str, split: str
    ) -> subprocess.Popen[bytes]:
        count = self._plan.values[what]
        return self._commands.start(
            *("data", "render", "--out", folder, "--kind", "stills", "--seed", seed),
            *("--identities", count["identities"], "--frames", count["frames"]),
            *("--size", one.size_px, "--framing", one.framing, "--split", split),
            *("--processes", self._options.processes, *self._plan.values.get("render", [])),
        )

    def _drop_chunks(self, keep: int) -> None:
        """Delete the chunks before one."""
        for number in range(keep):
            shutil.rmtree(self._chunk(number), ignore_errors=True)

    def _num_finished(self) -> int:
        """Rounds whose images are seen; those before a stage that has checkpoints, too."""
        number = 0
        begun: set[Path] = set()
        for one in self._plan.rounds:
            folder = self._run(one.config.stem) / one.stage / "checkpoints"
            checkpoints = CheckpointStore(folder).paths()
            if checkpoints and folder not in begun:
                begun.add(folder)
                number = one.number
            if (
                checkpoints
                and int(checkpoints[-1].stem.split("-")[1]) * one.batch_size >= one.until_images
            ):
                number = one.number + 1
        return number


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="end this run after so many, resumably")
    parser.add_argument("--threads", type=int, help="of the training")
    parser.add_argument("--processes", type=int, default=1, help="that render")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    plan = read_plan(options.plan)
    with logged_commands(options.out) as commands:
        Rolling(plan, options, commands).run()


if __name__ == "__main__":
    main()
