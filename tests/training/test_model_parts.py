"""What a run still lacks for a model, by the saves that are there and when they were written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stylefacev_cli.training.artifacts import Checkpoints
from stylefacev_cli.training.model_parts import missing_parts
from stylefacev_cli.weights.bundle import Networks, load_bundle, save_bundle

ALONE = ("generator", "detector", "pose", "appearance", "joint", "motion")


def missing(
    run: Path, stages: tuple[str, ...], start: Path | None = None, keeps_poses: bool = False
) -> dict[str, str]:
    """After a run that trained stages in that order."""
    for when, stage in enumerate(stages, 1):
        save = run / stage / "checkpoints" / "step-000000001.ckpt"
        save.parent.mkdir(parents=True, exist_ok=True)
        save.touch()
        os.utime(save, (when, when))
    saved = Checkpoints(run, start_from=None if start is None else str(start))
    return missing_parts(saved, keeps_poses=keeps_poses)


@pytest.mark.parametrize(
    ("stages", "lacking"),
    [
        ((), {"generator", "landmarks", "pose", "appearance", "motion"}),
        (("generator", "detector"), {"pose", "appearance", "motion"}),
        (("generator", "detector", "pose", "appearance"), {"motion"}),
        (ALONE, set()),
        (("generator", "detector", "pose", "appearance", "motion"), set()),
        ((*ALONE, "finish"), {"appearance", "landmarks", "pose"}),  # joint has to go on
        (("generator", "detector", "pose", "appearance", "motion", "joint"), {"motion"}),
    ],
)
def test_a_run_of_its_own(stages: tuple[str, ...], lacking: set[str], tmp_path: Path) -> None:
    assert set(missing(tmp_path, stages)) == lacking


@pytest.mark.parametrize(
    ("stages", "keeps_poses", "lacking"),
    [
        (("appearance",), False, set()),
        (("motion",), False, set()),
        (("finish",), False, {"appearance"}),
        (("finish", "appearance"), False, set()),
        (("pose",), False, {"appearance", "motion"}),
        (("detector",), False, {"pose", "appearance", "motion"}),
        (("joint",), False, {"motion"}),
        (("joint",), True, set()),
        (("joint", "motion"), False, set()),
    ],
)
def test_a_run_that_starts_from_a_whole_model(
    stages: tuple[str, ...], keeps_poses: bool, lacking: set[str], tmp_path: Path, tiny_model: Path
) -> None:
    assert set(missing(tmp_path, stages, tiny_model, keeps_poses)) == lacking


def test_a_run_that_starts_from_a_partial_model(tmp_path: Path, tiny_model: Path) -> None:
    whole = load_bundle(tiny_model).networks
    start = tmp_path / "pre"
    networks = Networks(
        generator=whole.generator,
        pose=whole.pose,
        appearance=whole.appearance,
        detector=whole.landmarks,
    )
    save_bundle(start, networks, name="pre", fps=12, licence="CC0-1.0", provenance={})
    run = tmp_path / "run"
    assert missing(run, (), start) == {"motion": "`stylefacev train motion`"}
    assert set(missing(run, ("joint",), start)) == {"motion"}
    assert missing(run, ("joint", "motion"), start) == {}
    told = missing(run, ("motion", "joint"), start)
    assert told == {"motion": "what it builds on has changed: `stylefacev train motion`"}
