"""`eval all` and `eval compare` at the shell's door."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylefacev_cli.cli.app import run
from stylefacev_cli.cli.figures import Figure
from stylefacev_cli.cli.report_page import Chart, line_chart

Evaluate = Callable[..., tuple[int, str, str]]


def fvd_report(**changes: Any) -> dict[str, Any]:
    side = {"from": "x", "codec": "lossless", "used": 20, "too_short": 0, "damaged": []}
    return {
        "metric": "fvd", "protocol": "fvd20_16f", "network": "i3d", "network_sha256": "ab",
        "resize": "r", "fvd": 100.0, "floor": 50.0, "kvd": {"mean": 2.0, "sd": 0.1},
        "sides": {"fake": side, "real": side}, **changes,
    }  # fmt: skip


@pytest.fixture
def compare(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Evaluate:
    def comparison(a: Any, b: Any, *options: str) -> tuple[int, str, str]:
        for name, content in (("a.json", a), ("b.json", b)):
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text)
        paths = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
        return (run(["eval", "compare", *paths, *options]), *capfd.readouterr())

    return comparison


def test_compare_says_who_is_better(compare: Evaluate) -> None:
    better = fvd_report(fvd=80.0, kvd={"mean": 3.0, "sd": 0.1})
    code, out, err = compare(fvd_report(), better)
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split() for line in out.splitlines()}
    assert lines["FVD"][1:5] == ["100", "80", "50", "B"] and lines["KVD"][-1] == "A"
    code, out, _ = compare(fvd_report(), {"results": {"fvd": better}}, "--json")
    assert [one["better"] for one in json.loads(out)["figures"]] == ["b", "a"]


@pytest.mark.parametrize("key", ["protocol", "network", "network_sha256", "resize"])
def test_compare_refuses_what_is_not_comparable(compare: Evaluate, key: str) -> None:
    code, out, err = compare(fvd_report(), fvd_report(**{key: "another"}))
    assert (code, out) == (2, "")
    assert key in err and "another" in err and err.count("\n") == 1


def test_compare_tells_of_other_sources(compare: Evaluate) -> None:
    other = fvd_report()
    other["sides"] = {
        "fake": {**other["sides"]["fake"], "codec": "mp4"},
        "real": {**other["sides"]["real"], "from": "y"},
    }
    code, _, err = compare(fvd_report(), other)
    assert code == 0 and "20 of x and 20 of y" in err and "lossless and mp4" in err


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("{", 5, "not JSON"),
        ("[]", 5, "no report"),
        ({"metric": 3}, 5, "no report"),
        ({"metric": "fvd"}, 5, "lacks 'fvd'"),
        ({"metric": "nothing"}, 5, "lacks 'nothing'"),
        ({**fvd_report(), "metric": "fvd-other"}, 2, "no metric in common"),
    ],
)
def test_compare_of_something_else(
    compare: Evaluate, content: Any, code: int, message: str
) -> None:
    found, out, err = compare(content, fvd_report())
    assert (found, out) == (code, "")
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("aim", "value", "other", "better"),
    [
        ("lower", 1.0, 2.0, True),
        ("higher", 1.0, 2.0, False),
        ("reference", 9.0, 12.0, True),  # the reference is 10
        ("lower", None, 2.0, None),
        ("higher", 2.0, 2.0, None),
    ],
)
def test_which_figure_is_better(
    aim: str, value: float | None, other: float, better: bool | None
) -> None:
    assert Figure("x", value, 10.0, aim).better(Figure("x", other, 10.0, aim)) is better


def test_a_chart_draws_its_curves() -> None:
    svg = line_chart(Chart("how", "frame", {"made": [1.0, 0.5, 0.75], "real": [1.0, 1.0, 1.0]}))
    made, real = (
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'points="([^"]*)"', svg)
    )
    assert made[0] == real[0] and made[1][1] > made[2][1] > real[2][1]  # y grows downwards
    assert made[0][0] < made[1][0] < made[2][0]
    assert len({y for _, y in real}) == 1


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
    assert "16 frames" in report["skipped"]["fvd"] and "fvd cannot be measured" in err
    assert {"fid", "identity", "motion", "diversity"} <= set(report["results"]), report["skipped"]
    assert set(report["results"]) | set(report["skipped"]) == {
        "fvd", "fid", "identity", "motion", "diversity", "recomposition", "reconstruction",
    }  # fmt: skip
    assert "eval all --fake" in report["command"]
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 6 and page.count("<svg") == 2
    assert not re.search(r"(src|href)=[\"'](?!data:)", page) and "http" not in page
    value = report["results"]["motion"]["sides"]["fake"]["motion"]["speed"]
    assert format(value, ".4g") in page

    code, stdout, _ = evaluate("compare", *[str(out / "report.json")] * 2)
    assert code == 0 and "speed" in stdout


def test_all_fails_if_nothing_can_be_measured(evaluate: Evaluate, tmp_path: Path) -> None:
    code, out, err = evaluate("all", "--fake", "no", "--real", "no", "--out", str(tmp_path / "r"))
    assert (code, out) == (5, "") and err.splitlines()[-1] == "error: no such folder: no"
    assert not (tmp_path / "r").exists()
