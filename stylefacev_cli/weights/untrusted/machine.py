"""A pickle machine that runs no code: opcodes in, plain values and inert records out.

Pickle is a small stack language whose GLOBAL and REDUCE can call anything. Here a global is looked
up in a table of the caller's, never imported, and stands for a function of the caller's that makes
an inert value. Nothing recursive is done, and every step costs a part of a fixed budget, so that
memory and time are bounded by the length of the data and that budget, whatever the data says.
Bytes of any length are a `Piece` of the file, read by whoever needs them.

Source: the description of the opcodes in Python's `pickletools`; protocols 1 to 5.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NoReturn

from stylefacev_cli.common.untrusted.pieces import Piece, piece_of
from stylefacev_cli.weights.untrusted.pickle_values import (
    Budget,
    PickleRefused,
    PickleStack,
    Record,
    check_key,
)
from stylefacev_cli.weights.untrusted.video_snapshots import Sink

_MAX_TEXT_BYTES: Final = 2**18  # the longest source in a snapshot has 45,000; longer: `LongText`
_MAX_LINE_BYTES = 256  # of names and numbers
_MAX_INT_BYTES = 32
_TEXT_BYTES_PER_STEP = 256
_WINDOW_BYTES = 2**16  # that are read at once

Make = Callable[[tuple[Any, ...]], object]  # arguments of REDUCE or NEWOBJ → an inert value
Find = Callable[[str, str], Make]  # module, name → what the global stands for; refuses others


@dataclass(frozen=True, eq=False)
class LongText:
    """A text longer than any name: it is not decoded, and only bytes can be made of it."""

    data: Piece

    @cached_property
    def latin1(self) -> Piece:
        """The bytes that protocol 2, which has none, writes as a text; made once.

        Raises:
            PickleRefused: it is another text.
        """
        made, rest = bytearray(), b""
        try:
            for block in self.data.blocks():
                whole = rest + bytes(block)
                cut = len(whole) - (whole[-1] >= 0xC0)  # both bytes of a letter in one block
                made += whole[:cut].decode("utf-8").encode("latin-1")
                rest = whole[cut:]
        except UnicodeError as error:
            raise PickleRefused("a text that stands for bytes is malformed") from error
        if rest:
            raise PickleRefused("a text that stands for bytes is malformed")
        return piece_of(made)


@dataclass(frozen=True, eq=False)
class _Known:
    """A global on the stack."""

    path: str
    make: Make


class PickleMachine(PickleStack):
    """Runs one pickle.

    Attributes:
        position: the byte that is read next; after `run`, the byte after the pickle.
    """

    def __init__(
        self,
        data: Piece,
        start: int,
        budget: Budget,
        find: Find,
        persistent: Make | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            data: the bytes; values of type bytes are pieces of it, not copies.
            start: where the pickle begins.
            budget: is used up by the run.
            find: gives the meaning of a global, or raises `PickleRefused`.
            persistent: gives the meaning of a persistent id; without it there are none.
        """
        super().__init__()
        self.data, self.position, self.budget = data, start, budget
        self.find, self.persistent = find, persistent
        self._window, self._window_start = bytearray(), start

    def run(self) -> object:
        """Run to STOP and give the value.

        Raises:
            PickleRefused: the message says why, and at which byte.
        """
        begin = self.position
        try:
            while True:
                begin = self.position
                self.budget.spend(1)
                code = self.take(1)[0]
                if code == _STOP:
                    return self.pop()
                handler = _HANDLERS.get(code)
                if handler is None:
                    _refuse_opcode(code)
                handler(self)
        except PickleRefused as error:
            error.position = begin if error.position is None else error.position
            raise
        except UnicodeError as error:
            refused = PickleRefused("a text in it is malformed")
            refused.position = begin
            raise refused from error

    def take(self, count: int) -> bytearray:
        """The next bytes; never many."""
        taken = self._ahead(count)
        if len(taken) < count:
            raise PickleRefused("its end is missing")
        self.position += count
        return taken

    def _ahead(self, count: int) -> bytearray:
        """The next bytes, as many as there are, without taking them."""
        low = self.position - self._window_start
        if low < 0 or low + count > len(self._window):
            self._window = self.data.read(self.position, max(count, _WINDOW_BYTES))
            self._window_start, low = self.position, 0
        return self._window[low : low + count]

    def piece(self, count: int) -> Piece:
        """The next bytes, however many, not read."""
        if count > len(self.data) - self.position:
            raise PickleRefused("its end is missing")
        taken = self.data.part(self.position, count)
        self.position += count
        return taken

    def unsigned(self, num_bytes: int) -> int:
        """The next little-endian number."""
        return int.from_bytes(self.take(num_bytes), "little")

    def line(self) -> str:
        """The rest of a line, as GLOBAL and the numbers of old protocols have them."""
        piece = self._ahead(_MAX_LINE_BYTES)
        length = piece.find(b"\n")
        if length < 0:
            raise PickleRefused("a name in it has no end")
        self.position += length + 1
        return piece[:length].decode("utf-8")

    def text(self, length: int) -> str | LongText:
        """The next bytes as text."""
        if length > _MAX_TEXT_BYTES:
            return LongText(self.piece(length))
        self.budget.spend(length // _TEXT_BYTES_PER_STEP)
        return self.take(length).decode("utf-8")

    def written_text(self) -> None:
        """UNICODE of protocol 0: a line, with escapes of what is beyond Latin-1."""
        self.push(self.line().encode("latin-1").decode("raw-unicode-escape"))

    def push_global(self, module: object, name: object) -> None:
        """Push what a global stands for."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleRefused("the name of a global is no text")
        self.push(_Known(f"{module}.{name}"[:_MAX_LINE_BYTES], self.find(module, name)))

    def call(self) -> None:
        """REDUCE and NEWOBJ: the arguments on top, below them the global."""
        arguments, known = self.pop(), self.pop()
        if not isinstance(known, _Known):
            raise PickleRefused("it calls something that is no global")
        if not isinstance(arguments, tuple):
            raise PickleRefused(f"the arguments of {known.path} are no tuple")
        self.push(known.make(arguments))

    def build(self) -> None:
        """BUILD: give the object on top its state."""
        state, target = self.pop(), self.top()
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # of a dictionary, attributes beside its items: dropped
            raise PickleRefused(f"it gives a state to a {type(target).__name__}")

    def set_items(self, pairs: list[Any]) -> None:
        """Put keys and values into the dictionary on top."""
        target = self.top()
        if not isinstance(target, dict):
            raise PickleRefused("it puts keys into something that is no dictionary")
        if not isinstance(target, Sink):
            put_pairs(target, pairs)

    def append(self, values: list[Any]) -> None:
        """Append to the list on top."""
        target = self.top()
        if not isinstance(target, list):
            raise PickleRefused("it appends to something that is no list")
        target.extend(values)

    def add(self, values: list[Any]) -> None:
        """Add to the set on top."""
        target = self.top()
        if not isinstance(target, set):
            raise PickleRefused("it adds to something that is no set")
        for value in values:
            check_key(value)
        target.update(values)

    def push_dictionary(self) -> None:
        """DICT: keys and values from the mark."""
        made: dict[Any, Any] = {}
        put_pairs(made, self.pop_to_mark())
        self.push(made)

    def push_frozen_set(self) -> None:
        """FROZENSET, as a set."""
        values = self.pop_to_mark()
        self.push(set())
        self.add(values)

    def push_persistent(self) -> None:
        """BINPERSID: what a persistent id stands for."""
        if self.persistent is None:
            raise PickleRefused("it refers to storages, but there are none")
        reference = self.pop()
        if not isinstance(reference, tuple):
            raise PickleRefused("its reference to a storage is no tuple")
        self.push(self.persistent(reference))

    def integer(self, length: int) -> None:
        """LONG1 and LONG4."""
        if length > _MAX_INT_BYTES:
            raise PickleRefused(f"a number of {length} bytes is too long")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def written_integer(self) -> None:
        """INT and LONG of protocols 0 and 1: decimal digits; 00 and 01 are truth values."""
        text = self.line().removesuffix("L")
        if text in ("00", "01"):
            self.push(text == "01")
            return
        if not text.removeprefix("-").isdecimal() or len(text) > 3 * _MAX_INT_BYTES:
            raise PickleRefused("a number in it is malformed")
        self.push(int(text))

    def written_float(self) -> None:
        """FLOAT of protocol 0."""
        try:
            self.push(float(self.line()))
        except ValueError as error:
            raise PickleRefused("a number in it is malformed") from error

    def recall_written(self) -> None:
        """GET."""
        self.written_integer()
        self.recall(self.pop())

    def remember_written(self) -> None:
        """PUT."""
        self.written_integer()
        index = self.pop()
        if not 0 <= index < 2**32:
            raise PickleRefused("a number in it is malformed")
        self.remember(index)

    def global_from_stack(self) -> None:
        """STACK_GLOBAL."""
        name, module = self.pop(), self.pop()
        self.push_global(module, name)

    def check_protocol(self) -> None:
        """PROTO."""
        protocol = self.unsigned(1)
        if protocol > 5:
            raise PickleRefused(f"protocol {protocol} is not from 0 to 5")

    def check_frame(self) -> None:
        """FRAME: only its length is looked at."""
        if self.unsigned(8) > len(self.data) - self.position:
            raise PickleRefused("its end is missing")


def put_pairs(target: dict[Any, Any], flat: list[Any]) -> None:
    """Put keys and values that follow each other into a dictionary.

    Raises:
        PickleRefused: the last key has no value, or a key is not plain.
    """
    if len(flat) % 2:
        raise PickleRefused("a key in it has no value")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        check_key(key)
        target[key] = value


def _refuse_opcode(code: int) -> NoReturn:
    if code == ord("P"):
        raise PickleRefused("its protocol is 0, in which torch's tensors cannot be read by anyone")
    for info in pickletools.opcodes:
        if info.code == chr(code):
            raise PickleRefused(f"files of weights do not use the instruction {info.name}")
    raise PickleRefused(f"the byte 0x{code:02x} is no instruction of a pickle")


_STOP = ord(".")
_HANDLERS: dict[int, Callable[[PickleMachine], None]] = {
    ord(code): handler
    for code, handler in {
        "\x80": PickleMachine.check_protocol,
        "\x95": PickleMachine.check_frame,
        # plain values
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "J": lambda m: m.push(struct.unpack("<i", m.take(4))[0]),
        "K": lambda m: m.push(m.unsigned(1)),
        "M": lambda m: m.push(m.unsigned(2)),
        "\x8a": lambda m: m.integer(m.unsigned(1)),
        "\x8b": lambda m: m.integer(m.unsigned(4)),
        "I": PickleMachine.written_integer,
        "L": PickleMachine.written_integer,
        "F": PickleMachine.written_float,
        "G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        "\x8c": lambda m: m.push(m.text(m.unsigned(1))),
        "X": lambda m: m.push(m.text(m.unsigned(4))),
        "\x8d": lambda m: m.push(m.text(m.unsigned(8))),
        "V": PickleMachine.written_text,
        "U": lambda m: m.push(m.text(m.unsigned(1))),  # of Python 2, whose texts are bytes
        "T": lambda m: m.push(m.text(m.unsigned(4))),
        "C": lambda m: m.push(m.piece(m.unsigned(1))),
        "B": lambda m: m.push(m.piece(m.unsigned(4))),
        "\x8e": lambda m: m.push(m.piece(m.unsigned(8))),
        "\x96": lambda m: m.push(m.piece(m.unsigned(8))),
        # containers
        "(": lambda m: m.marks.append(len(m.stack)),
        ")": lambda m: m.push(()),
        "\x85": lambda m: m.push((m.pop(),)),
        "\x86": lambda m: m.push((m.pop(), m.pop())[::-1]),
        "\x87": lambda m: m.push((m.pop(), m.pop(), m.pop())[::-1]),
        "t": lambda m: m.push(tuple(m.pop_to_mark())),
        "]": lambda m: m.push([]),
        "l": lambda m: m.push(m.pop_to_mark()),
        "a": lambda m: m.append([m.pop()]),
        "e": lambda m: m.append(m.pop_to_mark()),
        "}": lambda m: m.push({}),
        "d": PickleMachine.push_dictionary,
        "s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
        "u": lambda m: m.set_items(m.pop_to_mark()),
        "\x8f": lambda m: m.push(set()),
        "\x90": lambda m: m.add(m.pop_to_mark()),
        "\x91": PickleMachine.push_frozen_set,
        # stack and memo
        "0": PickleMachine.drop,
        "1": PickleMachine.drop_to_mark,
        "2": lambda m: m.push(m.top()),
        "q": lambda m: m.remember(m.unsigned(1)),
        "r": lambda m: m.remember(m.unsigned(4)),
        "p": PickleMachine.remember_written,
        "\x94": lambda m: m.remember(len(m.memo)),
        "h": lambda m: m.recall(m.unsigned(1)),
        "j": lambda m: m.recall(m.unsigned(4)),
        "g": PickleMachine.recall_written,
        # objects
        "c": lambda m: m.push_global(m.line(), m.line()),
        "\x93": PickleMachine.global_from_stack,
        "R": PickleMachine.call,
        "\x81": PickleMachine.call,
        "b": PickleMachine.build,
        "Q": PickleMachine.push_persistent,
    }.items()
}
