"""Successive rounds of training: each goes on from the model that the one before has made.

A config names them in its section `rounds`, after the settings of the first one:

    rounds:
      second: {fine_tune: true, stages: [joint, motion], joint: {lr: 0.0001}}
      third: {stages: [joint], joint: {num_images: 50000}}

A round keeps the settings of the round before it, except those that it gives, and starts from its
model. The first round lies in the folder of the run, the others in `rounds/NAME` below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.named_configs import find_config
from stylefacev_cli.training.overrides import merged
from stylefacev_cli.training.settings import TrainingConfig, read_config, settings_from

FIRST = "first"
BUNDLE_FOLDER = "bundle"
ROUNDS_FOLDER = "rounds"


@dataclass(frozen=True)
class Round:
    """One round of training.

    Attributes:
        name: of the round; `first` for the settings of the config itself.
        config: all its settings.
        folder: of its run.
    """

    name: str
    config: TrainingConfig
    folder: Path

    @property
    def bundle(self) -> Path:
        """Where its model is once it is trained."""
        return self.folder / BUNDLE_FOLDER


def rounds_of(
    config: str | Path,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    start_from: str | None = None,
    starting: str = FIRST,
) -> list[Round]:
    """All rounds of a config, in order; of most configs it is one.

    Args:
        config: the name of a shipped config, or a YAML file.
        out: folder of the whole run.
        overrides: `section.key=value` settings that take precedence, in every round.
        start_from: the model that one of the rounds starts from, instead of the one before it.
        starting: the name of that round.

    Raises:
        UsageError: there is no such config, or a key or value is wrong.
    """
    settings, changes = read_config(config)
    where = find_config(config).name
    if FIRST in changes:
        raise UsageError(f"{where}: the round {FIRST!r} is the settings above the rounds")
    rounds: list[Round] = []
    changes = {FIRST: {}, **changes}
    for name, changed in changes.items():
        before = {"start_from": str(rounds[-1].bundle)} if rounds else {}
        settings = merged(settings, before | changed)
        if name == starting and start_from is not None:
            settings = merged(settings, {"start_from": start_from})
        about = f"{where}: rounds.{name}" if rounds else where
        folder = out / ROUNDS_FOLDER / name if rounds else out
        rounds.append(Round(name, settings_from(settings, overrides, about), folder))
    return rounds


def chosen_rounds(rounds: list[Round], name: str | None, *, is_one_stage: bool) -> list[Round]:
    """The rounds to train: all of them, or the one of a name.

    Args:
        rounds: all of a config.
        name: None for all of them, or for the first one where a single stage is trained.
        is_one_stage: whether a single stage is.

    Raises:
        UsageError: there is no round of that name.
    """
    if name is None:
        return rounds[:1] if is_one_stage else rounds
    chosen = [one for one in rounds if one.name == name]
    if not chosen:
        names = ", ".join(one.name for one in rounds)
        raise UsageError(f"there is no round {name!r}; rounds are {names}")
    return chosen
