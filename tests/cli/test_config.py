"""Flag before environment before project file before user file; unknown keys are errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stylefacev_cli.cli.app import run
from stylefacev_cli.generation import plan as planning
from stylefacev_cli.generation.motion_plan import Motion, MotionPlan
from stylefacev_cli.generation.requests import GenerateRequest
from stylefacev_cli.generation.spec import Plan, RenderSettings


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[GenerateRequest]:
    """What `generate` was asked for, instead of videos."""
    seen: list[GenerateRequest] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    manifest: Any = None

    def plan_nothing(request: GenerateRequest) -> Plan:
        seen.append(request)
        return Plan(RenderSettings(manifest, MotionPlan((Motion(),), 1, 25.0)), ())

    monkeypatch.setattr(planning, "plan_videos", plan_nothing)
    return seen


def write_user_config(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config" / "stylefacev" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_precedence(
    requests: list[GenerateRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fps_and_frames(*flags: str) -> tuple[Any, Any]:
        assert run(["generate", *flags]) == 0
        return requests[-1].fps, requests[-1].frames

    assert fps_and_frames() == (None, None)  # the model's rate; 64 frames, or a track's
    write_user_config(tmp_path, "generate: {fps: 10, frames: 11}\n")
    assert fps_and_frames() == (10, 11)
    (tmp_path / "stylefacev.yaml").write_text("generate:\n  fps: 20\n  skip-existing: true\n")
    assert fps_and_frames() == (20, 11)
    assert requests[-1].skip_existing
    monkeypatch.setenv("STYLEFACEV_FPS", "30")
    assert fps_and_frames() == (30, 11)
    assert fps_and_frames("--fps", "40") == (40, 11)


def test_the_more_direct_of_two_that_contradict(
    requests: list[GenerateRequest],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STYLEFACEV_FRAMES", "5")
    monkeypatch.setenv("STYLEFACEV_SEEDS", "5")
    assert run(["generate", "--seconds", "2", "--interpolate", "3:7"]) == 0
    assert (requests[-1].frames, requests[-1].seconds) == (None, 2)
    assert requests[-1].interpolate == "3:7"
    monkeypatch.setenv("STYLEFACEV_SECONDS", "2")
    assert run(["generate", "--frames", "7"]) == 0
    assert (requests[-1].frames, requests[-1].seconds) == (7, None)
    capsys.readouterr()
    for contradiction in ([], ["--frames", "1", "--seconds", "2"]):
        assert run(["generate", *contradiction]) == 2
        assert "--frames and --seconds contradict" in capsys.readouterr().err
    assert run(["generate", "--frames", "1", "--seeds", "1", "--interpolate", "1:2"]) == 2
    assert "--seeds and --interpolate contradict" in capsys.readouterr().err


def test_a_flag_goes_before_a_switch_of_the_file(
    requests: list[GenerateRequest], tmp_path: Path
) -> None:
    (tmp_path / "stylefacev.yaml").write_text("generate: {skip-existing: true, force: false}")
    assert run(["generate", "--force"]) == 0
    assert run(["generate"]) == 0
    assert [(one.force, one.skip_existing) for one in requests] == [(True, False), (False, True)]
    assert run(["generate", "--force", "--skip-existing"]) == 2


def test_every_option_has_a_key(
    requests: list[GenerateRequest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stylefacev.yaml").write_text(
        "generate: {seeds: 4-6, out: there, format: gif, model: ./m, device: cpu, dtype: bfloat16,"
        " threads: 2, batch: 3, truncation: 0.5, motion-seed: 9, grid: true, force: false,"
        " json: true, track: [a, b], scale: mouth=2}\n"
    )
    assert run(["generate"]) == 0
    made = requests[0]
    compute = made.compute
    assert (made.seeds, made.out, made.form.format, compute.model) == ("4-6", "there", "gif", "./m")
    assert (compute.threads, compute.batch, made.truncation) == (2, 3, 0.5)
    assert (made.motion_seeds, made.track) == (("9",), ("a", "b"))
    assert made.edits.scale == ("mouth=2",)
    assert (made.grid, made.force, compute.dtype) == (True, False, "bfloat16")
    assert "videos" in json.loads(capsys.readouterr().out)


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
    requests: list[GenerateRequest],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    told: str,
) -> None:
    (tmp_path / "stylefacev.yaml").write_text(text)
    assert run(["generate"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and told in err
    assert run(["generate", "--help"]) == 0  # help is always there
    assert requests == []


def test_wrong_environment_is_named(
    requests: list[GenerateRequest],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STYLEFACEV_DEVICE", "abacus")
    assert run(["generate"]) == 2
    assert "from the environment" in capsys.readouterr().err
