"""The validation split by person: one rule for training and for prepared sets."""

from __future__ import annotations

import hashlib
import zlib


def is_held_out(set_name: str, identity: int, permille: int) -> bool:
    """Whether a person is held out for validation.

    It depends on the set's name and the person's number alone, so it stays when sets are added.

    Args:
        set_name: the name of the set's folder.
        identity: the person's number in the set.
        permille: how many in a thousand persons are kept.
    """
    return zlib.crc32(f"{set_name}/{identity}".encode()) % 1000 < permille


def identity_number(name: str) -> int:
    """The number of a person known by name, independent of run and set.

    Names of up to nine digits (actors, images of FFHQ) are their own number; others get 48 bits of
    a hash, above all of those. Two of 100,000 names share a number with a chance of 1 in 50,000.
    """
    if name.isascii() and name.isdecimal() and len(name) <= 9:
        return int(name)
    return 10**9 + int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)
