"""Files derived from the assets, of checkouts that share the folder."""

from __future__ import annotations

import os
import time
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.faces import derived, mesh
from stylefacev_cli.faces.derived import has_derived, read_derived, write_derived
from stylefacev_cli.weights.downloads.cache import assets_folder

DAY_S = 24 * 3600


def value(key: str) -> float | None:
    found = read_derived("mesh", key)
    return None if found is None else float(found["x"])


def age(key: str, days: float) -> None:
    then_s = time.time() - days * DAY_S
    os.utime(assets_folder() / f"mesh-{key}.npz", (then_s, then_s))


def test_what_is_written_is_read(home: Path) -> None:
    assert value("a") is None and not has_derived("mesh", "a")
    write_derived("mesh", "a", {"x": np.float32(1)})
    assert value("a") == 1 and has_derived("mesh", "a")
    assert [path.name for path in assets_folder().iterdir()] == ["mesh-a.npz"]


def test_a_few_and_those_of_a_day_are_kept(home: Path) -> None:
    for i, key in enumerate("abcdef"):
        write_derived("mesh", key, {"x": np.float32(i)})
    assert all(has_derived("mesh", key) for key in "abcdef")  # all used today
    for i, key in enumerate("abcdef"):
        age(key, 2 + i)
    assert value("f") == 5  # used again
    write_derived("skin", "z", {"x": np.float32(0)})  # of another kind
    assert all(has_derived("mesh", key) for key in "abcdef")
    write_derived("mesh", "g", {"x": np.float32(6)})
    assert [key for key in "abcdefg" if has_derived("mesh", key)] == ["a", "b", "f", "g"]
    assert has_derived("skin", "z")


def test_a_folder_that_cannot_be_written(home: Path) -> None:
    home.mkdir()
    (home / "assets").write_text("")
    with pytest.raises(StyleFaceVError, match="cannot write"):
        write_derived("mesh", "a", {"x": np.float32(1)})


def test_two_checkouts_keep_their_meshes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derivations: list[str] = []
    checkout = ""

    class Wheel:
        def __enter__(self) -> Wheel:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def derive(wheel: object) -> Any:
        derivations.append(checkout)
        number = np.float32(len(derivations))
        return SimpleNamespace(**{field.name: number for field in fields(mesh.FaceMesh)})

    monkeypatch.setattr(mesh, "_source_hash", lambda: checkout)
    monkeypatch.setattr(mesh, "_derive", derive)
    monkeypatch.setattr(mesh.assets, "open_wheel", Wheel)
    load = mesh.load_mesh.__wrapped__
    for checkout in ("old", "new", "old", "new", "old"):
        assert mesh.has_mesh() == (checkout in derivations)
        assert load().vertices == {"old": 1, "new": 2}[checkout]
    assert derivations == ["old", "new"]
    assert derived.NUM_KEPT >= 2
