"""What a run that goes on is asked: whether data, batch and seed are those of its checkpoints."""

from __future__ import annotations

from pathlib import Path

from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.batches.reading import digest_of
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.engine.loop import has_used_up
from stylefacev_cli.training.engine.resuming import TrainedWith, changes
from stylefacev_cli.training.settings import TrainingConfig, budget_of


def trained_with_of(
    config: TrainingConfig, sets: list[ClipSet], stages: list[str]
) -> dict[str, TrainedWith]:
    """What checkpoints of each stage will say of data, batch and seed."""
    names = tuple(one.folder.resolve().name for one in sets)
    num_frames = sum(entry.num_frames for one in sets for entry in one.entries)
    digest, held_out = digest_of(sets), config.held_out_permille
    return {
        name: TrainedWith(
            names, num_frames, digest, held_out, getattr(config, name).batch_size, config.seed
        )
        for name in stages
    }


def check_resumed(
    config: TrainingConfig,
    run: Path,
    trained_with: dict[str, TrainedWith],
    *,
    accept_changes: bool,
) -> list[str]:
    """Compare data, batch and seed with what the checkpoints of unfinished stages say.

    Returns:
        Lines for the user.

    Raises:
        UsageError: something is another now, and the user has not agreed to it.
        IntegrityError: all checkpoints of a stage are damaged.
    """
    notes = []
    for name, now in trained_with.items():
        section = getattr(config, name)
        state = CheckpointStore(run / name / "checkpoints").load_newest()
        if state is None or has_used_up(state, section.batch_size, budget_of(section)):
            continue
        changed = changes(state, now)
        if changed is None:
            notes.append(
                f"{name}: its checkpoints, of an earlier version, do not tell data, batch and "
                "seed: going on without comparing them"
            )
        elif changed and not accept_changes:
            raise UsageError(
                f"{name}: its checkpoints in {run} were trained with something else: "
                f"{', '.join(changed)}; give --force to go on with that, or another --out"
            )
        elif changed:
            notes.append(f"{name}: goes on with {', '.join(changed)}")
    return notes
