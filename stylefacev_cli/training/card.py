"""The training card of a run: what was trained, on what, how long and with what result.

`TRAINING_CARD.md` for people and `training_card.yaml` with the same facts, both in the bundle.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from stylefacev_cli.common.files import write_atomic
from stylefacev_cli.common.settings import read_yaml, to_plain
from stylefacev_cli.datasets.clips import INDEX_NAME, MANIFEST_NAME, ClipSet
from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.artifacts import Checkpoints, checkpoint_of
from stylefacev_cli.training.engine.best import BEST_NAME, held_out_of
from stylefacev_cli.training.engine.checkpoint import CheckpointStore, read_state
from stylefacev_cli.training.settings import TrainingConfig
from stylefacev_cli.version import __version__
from stylefacev_cli.weights.manifest import read_manifest

CARD_NAME = "TRAINING_CARD.md"
FACTS_NAME = "training_card.yaml"
DIGEST_COVERS = (
    "names and contents of index and manifest, names and sizes of the clips and labels; "
    "not what is in those"
)
GIT_TIMEOUT_S = 5
_COUNTS = ("step", "images", "images_per_s")  # in a line of the log, beside the losses


def write_card(
    folder: Path,
    config: TrainingConfig,
    data: list[Path],
    checkpoints: Checkpoints,
    stages: tuple[str, ...],
    perceptual: str,
) -> Path:
    """Write the card of a finished run.

    Args:
        folder: of the bundle.
        config: of the run.
        data: the sets that were trained on.
        checkpoints: where the checkpoints are, and which were taken.
        stages: names of all stages, in order.
        perceptual: name of the network of the perceptual loss.

    Returns:
        The path of the Markdown file.

    Raises:
        DataError: a set is no longer there.
        IntegrityError: a checkpoint is damaged.
    """
    facts = {
        "name": config.name,
        "licence": config.licence,
        "stylefacev": __version__,
        "torch": str(torch.__version__),
        "commit": commit_of(Path(__file__).parent),
        "start_from": _start_of(config),
        "perceptual": perceptual,
        "held_out": (
            f"{config.held_out_permille} of 1000 persons, by CRC-32 of SET/PERSON, or those that a "
            "set's index names; never trained on"
        ),
        "data": [set_facts(path) for path in data],
        "data_digest_covers": DIGEST_COVERS,
        "use_checkpoints": config.use_checkpoints,
        "stages": stages_of(config, checkpoints, stages),
        "config": to_plain(config),
    }
    text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    write_atomic(folder / FACTS_NAME, text.encode(), synced=True)
    page = "\n".join(as_markdown(facts)) + "\n"
    write_atomic(folder / CARD_NAME, page.encode(), synced=True)
    return folder / CARD_NAME


def set_facts(folder: Path) -> dict[str, Any]:
    """Name, counts and digest of a set of clips; cheap: no clip is read.

    Raises:
        DataError: it is no set of clips.
    """
    clips = ClipSet(folder)
    digest = hashlib.sha256()
    for name in (INDEX_NAME, MANIFEST_NAME):
        if (folder / name).exists():
            content = (folder / name).read_bytes()
            digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\0".encode())
    for entry in clips.entries:
        for file in (entry.file, entry.labels):
            if file is not None:
                path = folder / file
                size = path.stat().st_size if path.exists() else -1
                digest.update(f"{file}\0{size}\0".encode())
    return {
        "name": folder.resolve().name,
        "clips": len(clips),
        "frames": sum(entry.num_frames for entry in clips.entries),
        "persons": len({entry.identity for entry in clips.entries}),
        "sha256": digest.hexdigest(),
    }


def commit_of(folder: Path) -> str | None:
    """The git commit of the repository that holds these sources; None outside of one."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie in somebody else's repository, which does not track it.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "-uno")
    return f"{commit} with uncommitted changes" if commit and changes else commit


def stages_of(
    config: TrainingConfig, checkpoints: Checkpoints, stages: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """What became of each stage that has checkpoints."""
    facts: dict[str, dict[str, Any]] = {}
    for name in stages:
        folder, section = checkpoints.run / name, getattr(config, name)
        newest = CheckpointStore(folder / "checkpoints").load_newest()
        taken = checkpoint_of(checkpoints, name)
        if newest is None or taken is None or section is None:
            continue
        losses, held_out = logged(folder / "log.jsonl")
        best = folder / "checkpoints" / BEST_NAME
        facts[name] = {
            "steps": newest["step"],
            "images": newest["step"] * section.batch_size,
            "hours": round(newest["used_s"] / 3600, 4),
            "skipped_steps": newest["bad_steps"],
            "taken_step": taken["step"],
            "last_losses": losses,
            "held_out": held_out,
        }
        if best.exists():
            state = read_state(best)
            facts[name]["best"] = {"step": state["step"], **held_out_of(state, best)}
    return facts


def logged(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last losses and the last validation in a stage's log; empty if there is none."""
    losses: dict[str, Any] = {}
    held_out: dict[str, Any] = {}
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if "held_out" in line:
                held_out = line["held_out"]
            else:
                losses = line
    losses = {key: value for key, value in losses.items() if key not in _COUNTS}
    return losses, held_out


def as_markdown(facts: dict[str, Any]) -> Iterator[str]:
    """The card as lines of Markdown."""
    yield f"# Training card of {facts['name']}"
    yield ""
    yield f"- licence of the weights: {facts['licence']}"
    yield f"- made by stylefacev {facts['stylefacev']}, PyTorch {facts['torch']}"
    yield f"- commit: {facts['commit'] or 'not run from a repository'}"
    if facts["start_from"]:
        start = facts["start_from"]
        how = "fine-tuned, started" if start.get("fine_tuned") else "started"
        yield f"- {how} from {start['name']} (SHA-256 of its bundle.yaml {start['sha256']})"
    yield f"- perceptual loss: {facts['perceptual']}"
    yield f"- held out: {facts['held_out']}"
    yield f"- taken of each stage: its {facts['use_checkpoints']} checkpoint"
    yield ""
    yield from _data_and_stages(facts)
    yield "Losses are running means with their weights, as in `log.jsonl`. All that is here is in"
    yield f"`{FACTS_NAME}` too, with the numbers of the best checkpoints."
    yield f"The hash of data covers {facts['data_digest_covers']}."
    yield ""
    yield "## Settings"
    yield ""
    yield "```yaml"
    yield yaml.safe_dump(facts["config"], sort_keys=False, allow_unicode=True).rstrip()
    yield "```"
    start = facts["start_from"]
    while start and "card" in start:
        before = start["card"]
        yield ""
        yield f"# Before: {start['name']}"
        yield ""
        yield f"Commit {before.get('commit') or 'unknown'}; its settings are in `{FACTS_NAME}`."
        yield ""
        yield from _data_and_stages(before)
        start = before.get("start_from")


def _data_and_stages(facts: dict[str, Any]) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield "| set | clips | frames | persons | SHA-256 |"
    yield "|---|---|---|---|---|"
    for one in facts["data"]:
        numbers = f"{one['clips']} | {one['frames']} | {one['persons']}"
        yield f"| {one['name']} | {numbers} | `{one['sha256']}` |"
    yield ""
    yield "## Stages"
    yield ""
    yield "| stage | steps | images | hours | taken | last losses | held out |"
    yield "|---|---|---|---|---|---|---|"
    for name, one in facts["stages"].items():
        taken = f"step {one['taken_step']}"
        counts = f"{one['steps']} | {one['images']} | {one['hours']:.2f}"
        numbers = f"{_listed(one['last_losses'])} | {_listed(one['held_out'])}"
        yield f"| {name} | {counts} | {taken} | {numbers} |"
    yield ""


def _listed(numbers: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()) or "–"


def _start_of(config: TrainingConfig) -> dict[str, Any] | None:
    """The model that the run started from, with the facts of its own card if it has one."""
    if config.start_from is None:
        return None
    manifest = read_manifest(config.start_from)
    facts: dict[str, Any] = {"name": manifest.name, "sha256": manifest.sha256}
    facts["fine_tuned"] = config.fine_tune
    card = manifest.folder / FACTS_NAME
    if card.is_file():
        try:
            facts["card"] = read_yaml(card)
        except UsageError as error:  # a card of somebody else ends no training
            facts["card"] = f"not read: {error}"
    return facts
