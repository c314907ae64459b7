"""The hash that names and checks every file of weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK_BYTES = 2**20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as hexadecimal digits; memory holds one block of it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
