from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator

import pytest
from discs import tiny_settings

from stylefacev_cli.errors import UsageError
from stylefacev_cli.training.renamed_keys import GONE, RENAMED
from stylefacev_cli.training.settings import TrainingConfig


def keys_of(kind: type, prefix: str = "") -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        yield prefix + field.name
        for one in (hints[field.name], *typing.get_args(hints[field.name])):
            if isinstance(one, type) and dataclasses.is_dataclass(one):
                yield from keys_of(one, f"{prefix}{field.name}.")


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_an_old_key_is_refused_with_its_new_name(old: str) -> None:
    keys = set(keys_of(TrainingConfig))
    assert old not in keys and RENAMED[old] in keys
    with pytest.raises(UsageError, match=f"{old} is now called {RENAMED[old]}: rename it"):
        tiny_settings([f"{old}=1"])


def test_keys_that_are_gone_are_refused_with_advice() -> None:
    assert not set(GONE) & set(keys_of(TrainingConfig))
    for old, advice in GONE.items():
        with pytest.raises(UsageError, match=f"there is no {old} any more: {advice}"):
            tiny_settings([f"{old}=1"])
