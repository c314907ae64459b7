"""The networks that a stage or a model of a run still lacks: not trained yet, or overtaken."""

from __future__ import annotations

from pathlib import Path

from stylefacev_cli.errors import DataError
from stylefacev_cli.training.artifacts import Checkpoints
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.weights.manifest import VIDEO_NETWORKS, read_manifest

_MADE_BY = {  # networks of a model by the stages that leave them, the last one first
    "generator": ("finish", "generator"),
    "landmarks": ("joint", "detector"),
    "pose": ("joint", "pose"),
    "appearance": ("joint", "appearance"),
    "motion": ("motion",),
}
_BUILDS_ON = {  # stages by those before them whose networks they learn with
    "finish": ("generator",),
    "pose": ("detector",),
    "appearance": ("generator", "finish", "detector", "pose"),
    "joint": ("generator", "finish", "detector", "pose", "appearance"),
    "motion": ("detector", "pose", "joint"),
}
_LOADS = {  # networks that stages learn with
    "finish": ("generator",),
    "detector": ("generator",),
    "pose": ("generator", "landmarks"),
    "appearance": ("generator", "landmarks", "pose"),
    "joint": ("generator", "landmarks", "pose", "appearance"),
    "motion": ("generator", "landmarks", "pose", "appearance"),
}


def check_order(checkpoints: Checkpoints, stages: list[str], *, makes_model: bool) -> None:
    """Check that each stage finds the networks it learns with, and a model all that it needs.

    Args:
        checkpoints: where the networks are.
        stages: those that are to be trained, in order.
        makes_model: a model of all networks is written at the end.

    Raises:
        DataError: one is neither trained before, nor in the run, nor in the model to start from.
        MissingWeightsError: the model to start from is not there.
        IntegrityError: it is damaged.
    """
    there = _of_start(checkpoints)
    there |= {
        network
        for network, makers in _MADE_BY.items()
        if any(_trained_at(checkpoints.run / stage) for stage in makers)
    }
    for stage in stages:
        for network in _LOADS.get(stage, ()):
            if network not in there:
                maker = _MADE_BY[network][-1]
                raise DataError(
                    f"{checkpoints.run} has no trained {maker} yet, which the stage {stage} learns "
                    f"with: `stylefacev train {maker}`, or name a model with it as start_from"
                )
        there |= {network for network, makers in _MADE_BY.items() if stage in makers}
    lacking = [network for network in VIDEO_NETWORKS if network not in there]
    if makes_model and lacking:
        stages_of = ", ".join(_MADE_BY[network][-1] for network in lacking)
        raise DataError(
            f"the model would lack {', '.join(lacking)}: let `stages` name {stages_of}, train one "
            "stage alone, or name a model with them as start_from"
        )


def missing_parts(checkpoints: Checkpoints, *, keeps_poses: bool) -> dict[str, str]:
    """What a model of the run would lack: networks by name, each with the stage to train.

    A network of the run is overtaken where a stage that it builds on was trained after it, and one
    of the model to start from where such a stage was trained in the run at all.

    Args:
        checkpoints: where the networks are.
        keeps_poses: the joint stage leaves poses what they were, so that motion outlasts it.

    Raises:
        MissingWeightsError: the model to start from is not there.
        IntegrityError: it is damaged.
    """
    at = {
        stage: _trained_at(checkpoints.run / stage)
        for stage in {*_BUILDS_ON, "generator", "detector"}
    }
    there = _of_start(checkpoints)

    def newest(stage: str) -> int:
        below = set(_BUILDS_ON.get(stage, ()))
        if stage == "motion" and keeps_poses:
            below.remove("joint")
        return max((at[name] for name in below), default=0)

    missing: dict[str, str] = {}
    for network in VIDEO_NETWORKS:
        trained = [stage for stage in _MADE_BY[network] if at[stage]]
        stage = (trained or _MADE_BY[network][-1:])[0]
        if not trained and network not in there:
            missing[network] = f"`stylefacev train {stage}`"
        elif newest(stage) > at[stage]:
            missing[network] = f"what it builds on has changed: `stylefacev train {stage}`"
    return missing


def _of_start(checkpoints: Checkpoints) -> set[str]:
    """The networks of the model to start from, by name."""
    if checkpoints.start_from is None:
        return set()
    there = set(read_manifest(checkpoints.start_from).files)
    return there | {"landmarks"} if "detector" in there else there  # it stands in for the other


def _trained_at(stage: Path) -> int:
    """When the newest checkpoint of a stage was written, ns; 0: it has none."""
    paths = CheckpointStore(stage / "checkpoints").paths()
    return paths[-1].stat().st_mtime_ns if paths else 0
