from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from discs import DISCS
from notes import Notes

from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.api import train
from stylefacev_cli.training.named_configs import find_config
from stylefacev_cli.training.rounds import chosen_rounds, rounds_of
from stylefacev_cli.weights.manifest import read_manifest


def test_a_round_keeps_the_settings_of_the_one_before(tmp_path: Path) -> None:
    first, second, third, fourth = rounds_of("default-128", tmp_path)
    assert [one.name for one in (first, second, third, fourth)] == [
        "first", "second", "third", "fourth",
    ]  # fmt: skip
    assert first.folder == tmp_path and first.config.start_from is None
    assert third.folder == tmp_path / "rounds" / "third"
    assert third.config.start_from == str(tmp_path / "rounds" / "second" / "bundle")
    assert second.config.fine_tune and third.config.fine_tune
    assert second.config.stages == ("pose", "joint", "motion") and fourth.config.stages == (
        "joint",
    )
    joints = [one.config.joint for one in (second, third, fourth)]
    assert [joint.num_swaps if joint else None for joint in joints] == [10, 46, 46]
    assert [joint.landmark_branch if joint else None for joint in joints] == [False, False, True]


def test_rounds_that_cannot_be(tmp_path: Path) -> None:
    rounds = rounds_of("default-128", tmp_path)
    assert chosen_rounds(rounds, None, is_one_stage=True) == rounds[:1]
    assert chosen_rounds(rounds, None, is_one_stage=False) == rounds
    assert chosen_rounds(rounds, "third", is_one_stage=True) == [rounds[2]]
    with pytest.raises(UsageError, match="no round 'fifth'; rounds are first, second, third"):
        chosen_rounds(rounds, "fifth", is_one_stage=False)
    (other,) = (
        one
        for one in rounds_of("default-128", tmp_path, start_from="default-64", starting="second")
        if one.name == "second"
    )
    assert other.config.start_from == "default-64"
    text = yaml.safe_load(find_config("tiny").read_text())
    for wrong, message in (
        ({"again": {"joint": {"num_drawn": 3}}}, "rounds.again: joint.num_drawn is now called"),
        ({"again": {"joint": {"batch": 3}}}, "rounds.again.joint: unknown key 'batch'"),
        ({"first": {}}, "the round 'first' is the settings above"),
        ([1], "rounds must be sections"),
    ):
        path = tmp_path / "wrong.yaml"
        path.write_text(yaml.safe_dump(text | {"rounds": wrong}))
        with pytest.raises(UsageError, match=message):
            rounds_of(path, tmp_path)


def test_two_rounds_are_trained_and_end_in_the_second_model(
    clip_folder: Path, tmp_path: Path
) -> None:
    text = yaml.safe_load(find_config("tiny").read_text())
    text["rounds"] = {"again": {"stages": ["joint"], "joint": {"num_images": 5}}}
    config, out, notes = tmp_path / "twice.yaml", tmp_path / "run", Notes()
    config.write_text(yaml.safe_dump(text))
    result = train(config, clip_folder, out, settings=DISCS, device="cpu", listener=notes)
    again = out / "rounds" / "again"
    assert (result.reason, result.run, result.bundle) == ("done", again, again / "bundle")
    provenance = read_manifest(str(again / "bundle")).provenance
    assert provenance["steps"] == {"joint": 1}
    assert provenance["start_from"]["sha256"] == read_manifest(str(out / "bundle")).sha256
    assert [line for line in notes.lines if line.startswith("round ")] == [
        f"round first: {out}", f"round again: {again}",
    ]  # fmt: skip
    notes.lines.clear()
    result = train(config, [clip_folder], out, settings=DISCS, device="cpu", listener=notes)
    assert result.bundle == again / "bundle" and "joint: done before" in notes.lines
