"""What a pickle machine deals in: inert records, a budget, and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAX_STEPS: Final = 400_000  # a snapshot with generator, discriminator and average has some 30,000
_KEY_TYPES = (str, int, float, bool, type(None))  # whose hash costs nothing


class PickleRefused(Exception):  # noqa: N818 - told to users as an IntegrityError
    """The data is no such pickle, or wants something that is not allowed.

    Attributes:
        position: the byte where the refused instruction begins, once that is known.
    """

    position: int | None = None

    def __str__(self) -> str:
        where = "" if self.position is None else f" (byte {self.position})"
        return super().__str__() + where


@dataclass(eq=False)
class Record:
    """An object that is not rebuilt: the path of its class, its arguments and its state."""

    path: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass
class Budget:
    """What may still be done; shared by a pickle and those inside it."""

    steps: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Take steps off.

        Raises:
            PickleRefused: none are left.
        """
        self.steps -= steps
        if self.steps < 0:
            raise PickleRefused("it has more steps than any file of weights")


def check_key(key: object) -> None:
    """Refuse keys of dictionaries and sets that are not plain.

    Raises:
        PickleRefused: it is something else, whose hash could take for ever.
    """
    if not isinstance(key, _KEY_TYPES):
        raise PickleRefused(f"a key in it is a {type(key).__name__}")
