"""`eval compare`: two reports side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_fixtures import Evaluate

from stylefacev_cli.cli.app import run


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
def test_compare_refuses_if_nothing_is_not_comparable(compare: Evaluate, key: str) -> None:
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
        (
            {**fvd_report(), "metric": "fvd-other"},
            2,
            "nothing comparable: fvd-other: only A has it",
        ),
    ],
)
def test_compare_of_something_else(
    compare: Evaluate, content: Any, code: int, message: str
) -> None:
    returned, out, err = compare(content, fvd_report())
    assert (returned, out) == (code, "")
    assert message in err and err.count("\n") == 1


def fid_report(name: str, **changes: Any) -> dict[str, Any]:
    report = fvd_report(fid=3.0, coverage={"precision": 0.5, "recall": 0.5})
    return report | {"metric": name, "kid": {"mean": 0.1, "sd": 0.0}} | changes


def test_compare_takes_folders_and_leaves_out_what_is_not_comparable(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = fid_report("fid", resize="another")
    for name, parts in (("a", [fvd_report(), fid_report("fid")]), ("b", [fvd_report(), other])):
        (tmp_path / name).mkdir()
        results = {part["metric"]: part for part in parts}
        (tmp_path / name / "report.json").write_text(json.dumps({"results": results}))
    paths = [str(tmp_path / name) for name in ("a", "b")]
    assert run(["eval", "compare", *paths]) == 0
    out, err = capfd.readouterr()
    assert "FVD" in out and "FID" not in out
    assert err == "fid is left out: resize is r in A and another in B\n"
    assert run(["eval", "compare", *paths, "--json"]) == 0
    assert list(json.loads(capfd.readouterr().out)["left_out"]) == ["fid"]


def test_reports_of_kid_are_those_of_fid(compare: Evaluate) -> None:
    code, out, err = compare(fid_report("kid"), fid_report("fid", fid=2.0))
    assert (code, err) == (0, "") and "FID" in out and "KID" in out
