"""Bounds of what a manifest may say, so that no text asks for years or terabytes."""

from __future__ import annotations

import re

from stylefacev_cli.errors import UsageError

_MAX_NUMBER = 2**16  # of anything that an architecture counts
_MAX_LIST = 64


def check_aliases(aliases: tuple[str, ...], where: str) -> None:
    """Check the hashes of earlier manifests.

    Raises:
        UsageError: one of them is no SHA-256, or there are absurdly many.
    """
    if len(aliases) > _MAX_LIST or not all(is_sha256(text) for text in aliases):
        raise UsageError(
            f"{where}.aliases must list at most {_MAX_LIST} hashes of 64 hexadecimal digits"
        )


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in lower-case hexadecimal digits."""
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def refuse_absurd(value: object, where: str) -> None:
    """Bound every number of an architecture, so that none asks for years or terabytes.

    Raises:
        UsageError: a number or a list is far larger than any network has.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_absurd(item, f"{where}.{key}")
    elif isinstance(value, list):
        if len(value) > _MAX_LIST:
            raise UsageError(f"{where}: a list of {len(value)} entries cannot be")
        for item in value:
            refuse_absurd(item, where)
    elif isinstance(value, int | float) and not -_MAX_NUMBER <= value <= _MAX_NUMBER:
        raise UsageError(f"{where}: {value} cannot be")
