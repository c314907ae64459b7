"""`stylefacev weights import` and `export`, and what `generate` says of a partial model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from other_kinds import digan_snapshot, networks_of
from PIL import Image

from stylefacev_cli.cli.app import run
from stylefacev_cli.common.seeding import latent_of_seed
from stylefacev_cli.pipeline import as_pictures, load_model
from stylefacev_cli.weights.convert.exporter import export_model


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STYLEFACEV_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_import_and_export(
    tiny_model: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["weights", "export", str(tiny_model), "--to", "out"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "out/export.yaml"
    assert run(["weights", "import", "tiny", "--archive", "out"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{home / 'models' / 'tiny'}\n"
    assert "licence: CC0-1.0" in told.err
    assert run(["weights", "import", "tiny", "--archive", "out"]) == 2
    assert "give --force" in capsys.readouterr().err
    assert run(["weights", "import", "tiny", "--archive", "out", "--force", "--json", "-q"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["missing"] == [] and told.err == ""
    assert run(["weights", "export", "tiny", "--to", "out", "--json", "--force"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 7
    assert run(["generate", "--model", "tiny", "--frames", "2", "-q"]) == 0


@pytest.mark.filterwarnings("default")
def test_how_an_imported_model_normalises_and_what_its_rate_is(
    tiny_model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["weights", "export", str(tiny_model), "--to", "out"]) == 0
    command = ["weights", "import", "tiny", "--archive", "out"]
    assert run([*command, "--normalisation", "batch"]) == 2
    told = capsys.readouterr().err
    assert "--normalisation 'batch' is not running or per_image" in told and told.count("\n") == 1
    assert run([*command, "--normalisation", "per_image", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["normalisation"] == "per_image" and not facts["fps_is_only_written"]

    # As an earlier version imported it from original files.
    path = home / "models" / "tiny" / "bundle.yaml"
    content = yaml.safe_load(path.read_text())
    del content["architecture"]["appearance"]["normalisation"]
    sources = {name: {"file": name, "sha256": ""} for name in ("appearance", "motion")}
    content |= {"fps": 15.0, "provenance": {"imported_by": "stylefacev 0.1.0", "from": sources}}
    path.write_text(yaml.safe_dump(content))
    for _ in range(2):
        assert run(["generate", "--model", "tiny", "--frames", "2", "--force"]) == 0
        notes = capsys.readouterr().err.splitlines()
        assert sum("tiny does not say how its appearance network" in line for line in notes) == 1
        assert "Warning" not in "".join(notes)
    assert run(["generate", "--model", "tiny", "--frames", "2", "--force", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert run(["weights", "show", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert "15 fps (only the rate of the authors' video writer)" in shown
    assert "normalisation: per_image" in shown


def test_a_generator_alone_and_what_it_cannot_do(
    tiny_model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_model(tiny_model, Path("out"))
    command = ["weights", "import", "bare", "--generator", "out/generator.pt"]
    assert run([*command, "--fps", "10", "--licence", "mine"]) == 0
    told = capsys.readouterr().err
    assert "bare can render images (generate --frames 1) and be trained on" in told
    assert "licence: mine" in told
    licence = ["--licence", "NVIDIA's (non-commercial)"]
    assert run([*command[:2], "nvidia", *command[3:], *licence]) == 0
    capsys.readouterr()
    assert run(["weights", "list", "--json"]) == 0
    bound = {row["name"]: row["non_commercial"] for row in json.loads(capsys.readouterr().out)}
    assert bound["nvidia"] and not bound["bare"]
    assert run(["generate", "--model", "bare"]) == 3
    told = capsys.readouterr().err
    assert "bare cannot make videos: it lacks landmarks, pose, appearance, motion" in told
    assert told.count("\n") == 1
    command = ["generate", "--model", "bare", "--frames", "1", "--format", "png", "--seeds", "3"]
    assert run(command) == 0
    (folder,) = capsys.readouterr().out.split()
    (picture,) = Path(folder).glob("*.png")
    model = load_model("bare", device="cpu")
    image = as_pictures(
        model.render(model.map(latent_of_seed(3, model.networks.generator.config.z_dim), 1.0))
    )[0]
    assert np.abs(np.asarray(Image.open(picture)).astype(int) - image).max() <= 1


def test_errors_have_codes_and_one_line(
    tiny_model: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a": torch.zeros(1)}, "a.pt")
    Path("web.pkl").write_text("<html>")
    for arguments, code, told in (
        (["import", "m", "--generator", "nothing.pkl"], 3, "no such file of weights"),
        (["import", "m", "--generator", "a.pt"], 4, "holds no generator network"),
        (["import", "m", "--generator", "web.pkl"], 4, "a web page"),
        (["import", "m"], 2, "--archive"),
        (["import", "../m", "--generator", "a.pt"], 2, "the name"),
        (["export", "nobody", "--to", "out"], 3, "unknown model"),
    ):
        assert run(["weights", *arguments]) == code
        streams = capsys.readouterr()
        assert told in streams.err and streams.err.count("\n") == 1 and streams.out == ""
    assert not list((home / "models").iterdir())


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from stylefacev_cli.cli.app import run; "
        "codes = [run(['weights', *a, '-h']) for a in ([], ['import'], ['export'])]; "
        "heavy = {'torch', 'numpy', 'yaml', 'requests'} & set(sys.modules); "
        "print(codes, heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[0, 0, 0] set()"
    assert "--generator" in done.stdout and "wing.ckpt" in done.stdout


def test_a_model_of_another_kind(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = networks_of("digan")["digan"]
    (tmp_path / "it.pkl").write_bytes(digan_snapshot(network))  # type: ignore[arg-type]
    command = ["weights", "import", "it", "--kind", "digan", "--generator", "it.pkl"]
    assert run([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model_kind"], facts["networks"], facts["fps"]) == ("digan", ["digan"], 8.0)
    assert run(["generate", "--model", "it", "--seeds", "0-1", "--frames", "3", "-q"]) == 0
    record = json.loads(Path("videos/0.mp4.json").read_text())
    assert record["model"]["name"] == "it" and (record["frames"], record["fps"]) == (3, 8.0)
    capsys.readouterr()
    assert run(["weights", "list"]) == 0
    assert "digan model: 16 px, 8 fps" in capsys.readouterr().out
    assert run(["weights", "export", "it", "--to", "out"]) == 2
    assert "of the kind digan" in capsys.readouterr().err
    assert run(["generate", "--model", "it", "--mix", "1:4-", "-q"]) == 2
    assert "--mix: it is a model of the kind digan" in capsys.readouterr().err
    assert run([*command[:-3], "nobody", "--generator", "it.pkl", "--force"]) == 2
    assert "nobody" in capsys.readouterr().err
