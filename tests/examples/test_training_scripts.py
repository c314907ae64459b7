"""Training on chunks of renders, and the small state that begins it again."""

from __future__ import annotations

import argparse
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from discs import draw_frames, tiny_settings, write_discs
from notes import Notes

from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.training.artifacts import generator_of
from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.named_configs import find_config
from stylefacev_cli.training.run import RunOptions, train
from stylefacev_cli.training.settings import load_settings

EXAMPLES = Path(__file__).parents[2] / "examples"


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def newest(run: Path, stage: str) -> dict[str, Any]:
    state = CheckpointStore(run / stage / "checkpoints").load_newest()
    assert state is not None
    return state


def test_a_state_begins_the_training_again(tmp_path: Path) -> None:
    tool = script("training_state.py")
    data, run, again = (
        write_discs(draw_frames(6, 6), tmp_path / "a"),
        tmp_path / "r",
        tmp_path / "s",
    )
    config = tiny_settings(["finish.num_images=32"])
    train(config, [data], run, stage="generator")
    train(config, [data], run, stage="finish", options=RunOptions(until_images=20))
    file = tmp_path / "state.safetensors"
    for stage in ("generator", "finish"):
        tool["save"](run, stage, file)
        tool["restore"](file, again)
    before, after = newest(run, "finish"), newest(again, "finish")
    assert after["step"] == before["step"] == 5
    assert after["stage"]["others"]["sampler"] == before["stage"]["others"]["sampler"]
    with torch.no_grad():
        z = torch.randn(4, 12)
        wanted, found = generator_of(str(run))(z), generator_of(str(again))(z)
    assert (found - wanted).std() < 0.03 * wanted.std()
    lines: list[str] = []
    outcome = train(config, [data], again, stage="finish", listener=Notes(lines))
    assert outcome.reason == "done" and outcome.step == 8
    assert "finish: resumed from step 5" in lines

    with pytest.raises(UsageError, match="has saves: restore into another run"):
        tool["restore"](file, again)
    with pytest.raises(UsageError, match="the stage pose is not generator or finish"):
        tool["save"](run, "pose", file)
    with pytest.raises(UsageError, match="no save of the stage finish"):
        tool["save"](tmp_path / "none", "finish", file)
    (tmp_path / "text").write_text("no tensors at all")
    with pytest.raises(IntegrityError, match="cannot read"):
        tool["restore"](tmp_path / "text", tmp_path / "t")


def test_a_weight_takes_a_byte() -> None:
    packed, unpacked = (
        script("training_state.py")["packed"],
        script("training_state.py")["unpacked"],
    )
    weight = torch.randn(64, 40, 3, 3) * torch.logspace(-3, 3, 64)[:, None, None, None]
    parts = packed(weight)
    assert parts[""].dtype == torch.int8 and parts[".scale"].shape == (64,)
    error = (unpacked(parts[""], parts[".scale"]) - weight).flatten(1)
    largest = weight.flatten(1).abs().amax(dim=1)
    assert torch.all(error.abs().amax(dim=1) <= largest / 254 * 1.001)
    small = torch.randn(12)
    assert packed(small).keys() == {""} and torch.equal(packed(small)[""], small)


def test_the_rounds_of_the_default_model() -> None:
    plan = script("rolling_training.py")["read_plan"](EXAMPLES / "default-256-rounds.yaml")
    people = plan.values["chunk"]["identities"] * len(plan.rounds)
    total = sum(phase["images"] for phase in plan.values["phases"])
    assert people >= 60_000 and total >= 500_000
    assert [one.number for one in plan.rounds] == list(range(len(plan.rounds)))
    last = {(one.config.stem, one.stage): one.until_images for one in plan.rounds}
    assert last["default-256", "finish"] >= 100_000
    for one in plan.rounds:
        config = load_settings(one.config, [])
        assert config.resolution == one.size_px and config.held_out_permille == 0
        assert one.until_images <= getattr(config, one.stage).num_images
    framings = [one.framing for one in plan.rounds]
    assert framings == sorted(framings) and set(framings) == {"canonical", "unaligned"}


def write_plan(folder: Path) -> Path:
    """A config of renders at 16 px, and a plan of three rounds on it."""
    text = find_config("tiny").read_text()
    (folder / "small.yaml").write_text(text.replace("permille: 250", "permille: 0"))
    plan = {
        "seed": 5,
        "held_out": {"identities": 1, "frames": 2},
        "chunk": {"identities": 4, "frames": 2},
        "passes": 2,
        "phases": [
            {"config": "small.yaml", "stage": "generator", "framing": "canonical", "images": 32},
            {"config": "small.yaml", "stage": "generator", "framing": "unaligned", "images": 16},
        ],
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def test_a_plan_that_does_not_add_up(tmp_path: Path) -> None:
    path = write_plan(tmp_path)
    plan = yaml.safe_load(path.read_text())
    plan["phases"].pop()
    path.write_text(yaml.safe_dump(plan))
    with pytest.raises(SystemExit, match="small.yaml generator have 32 images, it has 48"):
        script("rolling_training.py")["read_plan"](path)


def test_rounds_are_finished_as_far_as_saves_say(tmp_path: Path) -> None:
    module = script("rolling_training.py")
    plan = module["read_plan"](EXAMPLES / "default-256-rounds.yaml")
    rolling = module["Rolling"](plan, argparse.Namespace(out=tmp_path), None)

    def saved(run: str, stage: str, images: int) -> int:
        CheckpointStore(tmp_path / "runs" / run / stage / "checkpoints").save(images // 8, {})
        return int(rolling._num_finished())

    def next_one(number: int) -> tuple[str, str, int]:
        one = plan.rounds[number]
        return one.config.stem, one.stage, one.until_images

    assert rolling._num_finished() == 0
    assert saved("default-256-start", "generator", 11_992) == 0
    assert saved("default-256-start", "generator", 12_000) == 1
    assert next_one(saved("default-256-start", "generator", 150_000))[2] == 152_000
    # Of a state of the second run alone, what comes before it is finished.
    assert next_one(saved("default-256", "generator", 8)) == ("default-256", "generator", 12_000)
    assert next_one(saved("default-256", "generator", 120_000))[1] == "finish"
    assert saved("default-256", "finish", 120_000) == len(plan.rounds)


@pytest.mark.render
def test_chunks_come_and_go(studio: object, tmp_path: Path) -> None:
    plan, out = write_plan(tmp_path), tmp_path / "out"
    command = [sys.executable, EXAMPLES / "rolling_training.py", plan, "--out", out]
    command += ["--threads", "1", "--device", "cpu"]
    # No time for a step: what is there then is a chunk that waits, and the people held out.
    subprocess.run([*command, "--minutes", "0"], check=True, timeout=300)
    folder = out / "runs" / "small"
    assert not CheckpointStore(folder / "generator" / "checkpoints").paths()
    assert (out / "data" / "chunk-00000").exists()
    subprocess.run(command, check=True, timeout=300)
    left = sorted(path.name for path in (out / "data").iterdir())
    assert left == ["held-out-16-canonical", "held-out-16-unaligned"]
    state = newest(folder, "generator")
    assert state["step"] == 6 and state["stage"]["others"]["sampler"]["num_rows"] == 8
    log = (out / "log.txt").read_text()
    assert log.count("data: 10 frames, 2 of them held out") >= 3
    assert "round 3 of 3: small generator on 16-unaligned to 48 images" in log
    assert "all rounds are finished" in log
    before = (out / "log.txt").stat().st_size
    subprocess.run(command, check=True, timeout=300)  # nothing is left to do
    assert (out / "log.txt").stat().st_size < before + 200
