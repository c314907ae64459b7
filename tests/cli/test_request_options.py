"""Options made from a request's fields: as if they had been written for Typer by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.common.options import group, option, option_fields, request_from
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation import requests


@dataclass(frozen=True)
class Computing:
    device: str = option("Where.", default="auto", choices=("auto", "cpu"), env="TEST_DEVICE")
    threads: int | None = option("How many.", default=None, minimum=1, shown_default="all")


@dataclass(frozen=True)
class Request:
    photo: str = option("A photo.", flags=None)
    out: str = option("Where to.", flags=("--out", "-o"))
    seeds: str = option("Seeds.", default="0", env="TEST_SEEDS", excludes=("chain",))
    chain: str | None = option("Seeds in a row.", default=None)
    mixes: tuple[str, ...] = option("Layers.", default=(), flags=("--mix",))
    crop: bool | None = option("Cut.", default=None, flags=("--crop/--no-crop",))
    computing: Computing = group(Computing)


def run(*arguments: str, **env: str) -> tuple[Any, Any, str]:
    seen: list[Any] = []
    app = typer.Typer()

    @app.command()
    @takes(Request)
    def work(
        ctx: typer.Context,
        request: Request,
        as_json: bool = typer.Option(False, "--json", help="As JSON."),
    ) -> None:
        """Do it."""
        seen.extend([request, as_json])

    result = CliRunner(env=env).invoke(app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return (seen or [None])[0], (seen or [None, None])[1], result.output


def test_defaults_and_values() -> None:
    request, as_json, _ = run("me.jpg", "--out", "x")
    assert request == Request(photo="me.jpg", out="x")
    assert not as_json
    request, as_json, _ = run(
        *("me.jpg", "-o", "y", "--mix", "1:2", "--mix", "3:4", "--no-crop", "--device", "cpu"),
        *("--threads", "3", "--json"),
    )
    assert request.mixes == ("1:2", "3:4")
    assert request.crop is False
    assert request.computing == Computing("cpu", 3)
    assert as_json


def test_help_shows_what_a_field_says() -> None:
    _, _, text = run("--help", COLUMNS="200", TERM="dumb")
    for piece in ("TEST_DEVICE", "auto|cpu", "x>=1", "(all)", "Where to.", "required", "Do it."):
        assert piece in text, piece


def test_bad_values_are_refused() -> None:
    assert "not one of" in run("me.jpg", "-o", "x", "--device", "tpu")[2]
    assert "--threads" in run("me.jpg", "-o", "x", "--threads", "0")[2]
    assert "--out" in run("me.jpg")[2]


def test_of_options_that_exclude_each_other_the_more_direct_one_counts() -> None:
    request, _, _ = run("me.jpg", "-o", "x", "--chain", "1:2", TEST_SEEDS="7")
    assert request.chain == "1:2"
    assert request.seeds == "0"
    request, _, _ = run("me.jpg", "-o", "x", TEST_SEEDS="7")
    assert request.seeds == "7"
    with pytest.raises(UsageError, match="--seeds and --chain contradict"):
        run("me.jpg", "-o", "x", "--chain", "1:2", "--seeds", "7")


def test_a_request_from_flat_values() -> None:
    request = request_from(Request, {"photo": "a", "out": "b", "threads": 2})
    assert request == Request(photo="a", out="b", computing=Computing(threads=2))
    with pytest.raises(TypeError, match="no option 'thread'; there are photo, out"):
        request_from(Request, {"photo": "a", "out": "b", "thread": 2})
    assert [field.path for field in option_fields(Request)][-1] == ("computing", "threads")


@pytest.mark.parametrize("name", [name for name in requests.__all__ if name.endswith("Request")])
def test_no_two_groups_of_a_request_name_an_option_alike(name: str) -> None:
    names = [one.name for one in option_fields(getattr(requests, name))]

    assert sorted(set(names)) == sorted(names)
