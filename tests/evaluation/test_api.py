"""`evaluate` from Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stylefacev_cli.errors import UsageError
from stylefacev_cli.evaluation.api import evaluate
from stylefacev_cli.evaluation.reports.comparison import CompareRequest, compare_reports
from stylefacev_cli.pipeline import load_model


def test_a_report_is_a_dictionary_and_a_table(
    home: Path, straw: None, frames: Path, tmp_path: Path
) -> None:
    report = evaluate(frames, frames, metric="fid", images=16)
    assert report["num_fake"] == 16 and report["sides"]["real"][0]["from"] == str(frames)
    assert "FID-EFFICIENTNET-LITE0" in repr(report) and "warning: 16 images are few" in str(report)
    assert report._repr_html_().startswith("<pre>")
    report.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(json.dumps(report))
    path = str(tmp_path / "a.json")
    assert len(compare_reports(CompareRequest(path, path)).figures) == 4


def test_a_loaded_model_is_measured(home: Path, tiny_model: Path) -> None:
    model = load_model(tiny_model, device="cpu")
    report = evaluate(model, metric="motion", clips=2, frames=9, detector=model)
    assert report["sides"]["fake"]["from"] == f"model:{tiny_model}"
    assert report["protocol"] == "motion2_9f"


def test_all_writes_files_only_where_it_is_told(
    home: Path, straw: None, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    report = evaluate(frames, frames, images=16, clips=16, videos=2, fps=20)
    assert {"fid", "identity"} <= set(report["results"]) and "fvd" in report["skipped"]
    assert not (tmp_path / "report").exists() and "no fvd" in str(report)
    assert report["command"].startswith("stylefacev_cli.evaluate(metric='all', fake=")


def test_mistakes_in_the_call(frames: Path) -> None:
    with pytest.raises(UsageError, match="no metric 'psnr'; there are fvd, fid"):
        evaluate(frames, metric="psnr")
    with pytest.raises(TypeError, match="no option 'clip'; there are fake"):
        evaluate(frames, metric="motion", clip=3)
    with pytest.raises(TypeError, match=r"evaluate\(metric='fvd'\) needs real"):
        evaluate(frames, metric="fvd")


def test_nothing_of_a_terminal_is_imported() -> None:
    script = (
        "import sys; from stylefacev_cli.evaluation.api import evaluate\n"
        "assert not {'torch', 'numpy', 'typer', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
