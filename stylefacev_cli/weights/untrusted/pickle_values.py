"""What a pickle machine deals in: inert records, a budget, a stack, and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAX_STEPS: Final = 400_000  # a snapshot with generator, discriminator and average has some 30,000
_KEY_TYPES = (str, bool, type(None))  # whose hash nobody can choose
_MAX_KEY = 2**31  # larger numbers, and fractions, can be chosen so that all have one hash


class PickleRefused(Exception):  # noqa: N818 - users see an IntegrityError
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


class PickleStack:
    """The values, marks and memo of a machine."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take a value from the stack, from above the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleRefused("it takes more values than it has given")
        return self.stack.pop()

    def top(self) -> Any:
        """The value on top of the stack, which stays there."""
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        """Take all values above the last mark, and the mark."""
        if not self.marks:
            raise PickleRefused("it ends a list that it never began")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def drop(self) -> None:
        """POP."""
        self.pop()

    def drop_to_mark(self) -> None:
        """POP_MARK."""
        self.pop_to_mark()

    def remember(self, index: int) -> None:
        """Put the value on top into the memo."""
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push a value of the memo."""
        if index not in self.memo:
            raise PickleRefused(f"it recalls value {index}, which it never stored")
        self.push(self.memo[index])


def check_key(key: object) -> None:
    """Refuse keys of dictionaries and sets that are not plain: their hash could take for ever.

    Raises:
        PickleRefused: it is something else than a text or a small whole number.
    """
    if isinstance(key, _KEY_TYPES) or (type(key) is int and -_MAX_KEY < key < _MAX_KEY):
        return
    kind = "too large a number" if isinstance(key, int | float) else f"a {type(key).__name__}"
    raise PickleRefused(f"a key in it is {kind}")


def shown(text: object, most: int = 60) -> str:
    """An untrusted text for a message: short, without control characters."""
    clean = "".join(c if c.isprintable() else "?" for c in str(text)[: most + 1])
    return clean if len(clean) <= most else clean[: most - 3] + "..."
