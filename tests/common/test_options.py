"""Requests as functions: named as on the command line, checked as functions' arguments are."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylefacev_cli.common.options import flat_values, group, option, request_from, with_keywords
from stylefacev_cli.errors import UsageError


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


@dataclass(frozen=True)
class NumbersRequest:
    seeds: str = option("Seeds.", default="0")
    frames: int | None = option("How many.", default=None, minimum=1)
    fps: float = option("Rate.", default=25.0, minimum=0.1)
    grid: bool = option("Side by side.", default=False)
    scale: tuple[str, ...] = option("Scales.", default=())


@with_keywords(NumbersRequest)
def work_on_numbers(request: NumbersRequest) -> NumbersRequest:
    """Do it with numbers."""
    return request


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"seeds": np.int64(3)}, {"seeds": "3"}),
        ({"seeds": np.arange(2)}, {"seeds": "0,1"}),
        ({"seeds": [np.int64(1), 2]}, {"seeds": "1,2"}),
        ({"seeds": None, "grid": None, "fps": None}, {}),
        ({"frames": 3.0, "fps": 30}, {"frames": 3, "fps": 30.0}),
        ({"frames": np.int64(3), "grid": np.bool_(True)}, {"frames": 3, "grid": True}),
        ({"scale": np.float64(2)}, {"scale": ("2.0",)}),
    ],
)
def test_values_as_people_have_them(given: dict[str, Any], held: dict[str, Any]) -> None:
    assert work_on_numbers(**given) == NumbersRequest(**held)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"seeds": True}, "seeds 'True': give text"),
        ({"seeds": {1}}, "give text"),
        ({"frames": "3"}, "frames '3': give a whole number"),
        ({"frames": 3.5}, "give a whole number"),
        ({"frames": True}, "give a whole number"),
        ({"fps": "25"}, "give a number"),
        ({"fps": float("inf")}, "give a number of at least 0.1"),
        ({"grid": "no"}, "give True or False"),
        ({"scale": {"head": 0}}, "give text"),
    ],
)
def test_values_of_another_type_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        work_on_numbers(**given)
