"""Requests as functions: named as on the command line, checked as functions' arguments are."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stylefacev_cli.common.options import flat_values, group, option, request_from, with_keywords


@dataclass(frozen=True)
class Computing:
    num_threads: int = option("How many.", default=1, flags=("--threads",))


@dataclass(frozen=True)
class Request:
    photo: Path = option("A photo.", flags=None)
    mixes: tuple[str, ...] = option("Layers.", default=(), flags=("--mix",))
    computing: Computing = group(Computing)


@dataclass(frozen=True)
class ManyRequest:
    names: tuple[str, ...] = option("Names.", flags=None)


@with_keywords(Request)
def work(request: Request, listener: str | None = None) -> tuple[Request, str | None]:
    """Do it."""
    return request, listener


@with_keywords(ManyRequest)
def work_on_many(request: ManyRequest) -> tuple[str, ...]:
    """Do it to all."""
    return request.names


def test_a_request_or_its_options() -> None:
    request = Request(Path("a.jpg"), ("1:2",), Computing(3))
    assert work(request, listener="me") == (request, "me")
    assert work("a.jpg", mix="1:2", threads=3, listener="me") == (request, "me")
    assert work(photo=Path("a.jpg"), mixes=["1:2"], num_threads=3) == (request, None)
    assert work_on_many("a", "b") == work_on_many(["a", "b"]) == ("a", "b")
    assert work_on_many(names="a") == ("a",)


def test_the_signature_shows_names_and_defaults() -> None:
    parameters = inspect.signature(work).parameters
    assert list(parameters) == ["photo", "mix", "threads", "listener"]
    assert parameters["threads"].default == 1
    assert parameters["photo"].default is inspect.Parameter.empty
    assert (work.__doc__ or "").startswith("Do it.\n\nOptions:\n    photo: A photo.")


@pytest.mark.parametrize(
    ("by_place", "by_name", "told"),
    [
        ((), {}, "photo is missing"),
        (("a", "b"), {}, "1 values may be given by place"),
        (("a",), {"photo": "b"}, "photo is given twice"),
        (("a",), {"thread": 1}, "no option 'thread'"),
    ],
)
def test_wrong_arguments(by_place: tuple[str, ...], by_name: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        work(*by_place, **by_name)


def test_flat_values_are_the_way_back() -> None:
    request = Request(Path("a.jpg"), ("1:2",), Computing(3))
    assert request_from(Request, flat_values(request)) == request
