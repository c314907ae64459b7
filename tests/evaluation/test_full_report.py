"""`eval all`: all metrics as one report."""

from __future__ import annotations

import json
import re
from pathlib import Path

from evaluation_fixtures import Evaluate


def test_all_writes_one_report_and_one_page(
    evaluate: Evaluate, straw: None, frames: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    code, stdout, err = evaluate(
        "all", "--fake", f"model:{tiny_model}?seeds=0-19", "--real", str(frames), "--fps", "12",
        "--out", str(out), "--clips", "16", "--images", "16", "--videos", "3", "--frames", "12",
        "--pairs", "2", "--detector", str(tiny_model),
    )  # fmt: skip
    assert (code, stdout) == (0, f"{out}\n")
    report = json.loads((out / "report.json").read_text())
    # Real videos of 12 frames have no clips of 16: said, not hidden.
    assert "16 frames" in report["skipped"]["fvd"] and "fvd is left out: " in err
    assert {"fid", "identity", "motion", "diversity"} <= set(report["results"]), report["skipped"]
    assert set(report["results"]) | set(report["skipped"]) == {
        "fvd", "fid", "identity", "motion", "diversity", "recomposition", "reconstruction",
    }  # fmt: skip
    last = err.splitlines()[-1]
    assert last.startswith("measured: fid, identity, motion, diversity")
    assert "left out: fvd" in last
    assert "eval all --fake" in report["command"]
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 6 and page.count("<svg") == 2
    assert not re.search(r"(src|href)=[\"'](?!data:)", page) and "http" not in page
    value = report["results"]["motion"]["sides"]["fake"]["motion"]["speed"]
    assert format(value, ".4g") in page

    code, stdout, _ = evaluate("compare", str(out), str(out / "report.json"))
    assert code == 0 and "speed" in stdout


def test_all_fails_if_nothing_can_be_measured(evaluate: Evaluate, tmp_path: Path) -> None:
    code, out, err = evaluate("all", "--fake", "no", "--real", "no", "--out", str(tmp_path / "r"))
    assert (code, out) == (5, "") and err.splitlines()[-1] == "error: no such folder: no"
    assert not (tmp_path / "r").exists()
