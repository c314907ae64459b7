"""The networks that a model of a run still lacks: not trained yet, or overtaken by others."""

from __future__ import annotations

from pathlib import Path

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
    there = (
        set()
        if checkpoints.start_from is None
        else set(read_manifest(checkpoints.start_from).files)
    )
    if "detector" in there:  # each stands in for the other
        there.add("landmarks")

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


def _trained_at(stage: Path) -> int:
    """When the newest checkpoint of a stage was written, ns; 0: it has none."""
    paths = CheckpointStore(stage / "checkpoints").paths()
    return paths[-1].stat().st_mtime_ns if paths else 0
