"""Flag before environment before project file before user file; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stylefacev_cli.cli.app import run
from stylefacev_cli.generation import run
from stylefacev_cli.generation.plan import Wishes


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Wishes]:
    """What `generate` was asked for, instead of videos."""
    asked: list[Wishes] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(run, "make_videos", lambda wishes, terminal: asked.append(wishes))
    return asked


def write_user_config(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config" / "stylefacev" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_precedence(wishes: list[Wishes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fps_and_frames(*flags: str) -> tuple[Any, Any]:
        assert run(["generate", *flags]) == 0
        return wishes[-1].pace.fps, wishes[-1].pace.num_frames

    assert fps_and_frames() == (None, None)  # the model's rate; 64 frames, or a track's
    write_user_config(tmp_path, "generate: {fps: 10, frames: 11}\n")
    assert fps_and_frames() == (10, 11)
    (tmp_path / "stylefacev.yaml").write_text("generate:\n  fps: 20\n  skip-existing: true\n")
    assert fps_and_frames() == (20, 11)
    assert wishes[-1].skip_existing
    monkeypatch.setenv("STYLEFACEV_FPS", "30")
    assert fps_and_frames() == (30, 11)
    assert fps_and_frames("--fps", "40") == (40, 11)


def test_the_more_direct_of_two_that_contradict(
    wishes: list[Wishes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STYLEFACEV_FRAMES", "5")
    monkeypatch.setenv("STYLEFACEV_SEEDS", "5")
    assert run(["generate", "--seconds", "2", "--interpolate", "3:7"]) == 0
    assert (wishes[-1].pace.num_frames, wishes[-1].pace.seconds) == (None, 2)
    assert wishes[-1].direction.chain == (3, 7)
    monkeypatch.setenv("STYLEFACEV_SECONDS", "2")
    assert run(["generate", "--frames", "7"]) == 0
    assert (wishes[-1].pace.num_frames, wishes[-1].pace.seconds) == (7, None)
    capsys.readouterr()
    for contradiction in ([], ["--frames", "1", "--seconds", "2"]):
        assert run(["generate", *contradiction]) == 2
        assert "--frames and --seconds contradict" in capsys.readouterr().err
    assert run(["generate", "--frames", "1", "--seeds", "1", "--interpolate", "1:2"]) == 2
    assert "--seeds and --interpolate contradict" in capsys.readouterr().err


def test_every_option_has_a_key(wishes: list[Wishes], tmp_path: Path) -> None:
    (tmp_path / "stylefacev.yaml").write_text(
        "generate: {seeds: 4-6, out: there, format: gif, model: ./m, device: cpu, dtype: bfloat16,"
        " threads: 2, batch: 3, truncation: 0.5, motion-seed: 9, grid: true, force: false,"
        " json: true, track: [a, b], scale: mouth=2}\n"
    )
    assert run(["generate"]) == 0
    made = wishes[0]
    assert (made.seeds, made.out, made.format_name, made.model) == ("4-6", "there", "gif", "./m")
    assert (made.num_threads, made.batch, made.truncation, made.motion_seeds) == (2, 3, 0.5, "9")
    assert made.tracks == ("a", "b") and made.edits.scales == {"mouth": 2.0}
    assert (made.grid, made.force, made.as_json, made.dtype) == (True, False, True, "bfloat16")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("generate: {fsp: 3}", "unknown key 'fsp'"),
        ("genrate: {fps: 3}", "unknown key 'genrate'"),
        ("generate: {fps: [1, 2]}", "fps must be one value"),
        ("generate: {fps: fast}", "stylefacev.yaml"),
        ("generate: {frames: 0}", "stylefacev.yaml"),
        ("generate: 3", "key: value"),
        ("[", "not valid YAML"),
        ("!!python/object/apply:os.system [true]", "not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)
def test_wrong_file(
    wishes: list[Wishes], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    (tmp_path / "stylefacev.yaml").write_text(text)
    assert run(["generate"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and told in err
    assert run(["generate", "--help"]) == 0  # help is always there
    assert wishes == []


def test_wrong_environment_is_named(
    wishes: list[Wishes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STYLEFACEV_DEVICE", "abacus")
    assert run(["generate"]) == 2
    assert "from the environment" in capsys.readouterr().err
