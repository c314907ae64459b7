"""Settings of omegaconf are read out of inert records."""

from __future__ import annotations

import builtins
import collections
import pickle

import pytest

from stylefacev_cli.common.untrusted.pieces import piece_of
from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, Record
from stylefacev_cli.weights.untrusted.reader import read_stylegan_pickle
from stylefacev_cli.weights.untrusted.video_snapshots import SECTION, Sink, plain_settings

LEAF, LIST = "omegaconf.nodes.AnyNode", "omegaconf.listconfig.ListConfig"


def section(content: object, parent: Record | None = None) -> Record:
    made = Record(SECTION)
    made.state = {"_parent": parent, "_content": content}
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, Record):
                value.state["_parent"] = made
            else:
                content[key] = Record(LEAF, (), {"_val": value, "_parent": made})
    return made


def test_references_are_followed_from_the_root() -> None:
    inner = section(
        {"far": "${data.fps}", "near": 3, "all": "${data}", "lost": "${a.b}", "x": "${"}
    )
    root = section({"data": section({"fps": "${rate}"}), "rate": 25, "model": inner})
    assert plain_settings(inner) == {
        "far": 25, "near": 3, "all": {"fps": 25}, "lost": "${a.b}", "x": "${",
    }  # fmt: skip
    assert plain_settings(root)["model"]["near"] == 3


def test_a_list_and_a_section_that_is_a_reference() -> None:
    numbers = Record(LIST, (), {"_content": [Record(LEAF, (), {"_val": 2}), 3]})
    root = section({"numbers": numbers})
    root.state["_content"]["same"] = Record(
        SECTION, (), {"_content": "${numbers}", "_parent": root}
    )
    assert plain_settings(root) == {"numbers": [2, 3], "same": [2, 3]}


def test_circles_and_depth_are_refused() -> None:
    circle = section({"a": "${a}"})
    with pytest.raises(PickleRefused, match="too deeply"):
        plain_settings(circle)
    own = section({})
    own.state["_content"]["self"] = own
    with pytest.raises(PickleRefused, match="too deeply"):
        plain_settings(own)
    above = section({"a": "${b}"})
    above.state["_parent"] = above  # no root
    assert plain_settings(above) == {"a": "${b}"}


def test_a_bomb_of_references_is_refused() -> None:
    content: dict[str, object] = {"l0": section(dict.fromkeys("abcdefgh", 1))}
    for level in range(1, 8):
        content[f"l{level}"] = section(dict.fromkeys("abcdefgh", f"${{l{level - 1}}}"))
    with pytest.raises(PickleRefused, match="too deeply"):
        plain_settings(section(content))


@pytest.mark.parametrize(
    "record",
    [
        Record(SECTION, (), None),
        Record(SECTION, (), {"_content": {"a": Record("torch.nn.modules.Linear", (), {})}}),
        Record(SECTION, (), {"_content": {"a": Record(LEAF, (), {"_val": b"x"})}}),
        Record(SECTION, (), {"_content": [1]}),
    ],
)
def test_malformed_settings_are_refused(record: Record) -> None:
    with pytest.raises(PickleRefused):
        plain_settings(record)


def test_the_state_of_an_optimiser_is_dropped() -> None:
    state: collections.defaultdict[str, list[int]] = collections.defaultdict(list)
    state["a"] = [1]
    found = read_stylegan_pickle(piece_of(pickle.dumps({"state": state, "kind": builtins.list})))
    assert isinstance(found, dict)
    assert isinstance(found["state"], Sink) and not found["state"]


def test_types_are_named_but_never_called() -> None:
    class Calls:
        def __reduce__(self) -> tuple[object, ...]:
            return builtins.dict, ()

    with pytest.raises(PickleRefused, match="calls builtins.dict"):
        read_stylegan_pickle(piece_of(pickle.dumps(Calls())))
