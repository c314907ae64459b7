"""Kernels compiled by numba and kept on disk, with a checksum; without a folder they work, too.

    @njit(fastmath=True)
    def kernel(…): …

A cache that cannot be read or written is told once; it never stops a run.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching

from stylefacev_cli.errors import StyleFaceVWarning, UsageError

Function = TypeVar("Function", bound=Callable[..., Any])

_FunctionCache: Any = caching.FunctionCache  # numba has no types
_IndexDataCacheFile: Any = caching.IndexDataCacheFile
_DIGEST_BYTES = hashlib.sha256().digest_size


def njit(**options: Any) -> Callable[[Function], Function]:
    """`numba.njit` with a cache from run to run; `options` are numba's, without `cache`.

    Raises:
        UsageError: numba is told to compile nothing.
    """

    def decorate(function: Function) -> Function:
        settings: Any = numba.config
        if settings.DISABLE_JIT:
            raise UsageError(
                "the variable NUMBA_DISABLE_JIT is set, and kernels work compiled only: unset it"
            )
        kernel: Any = numba.njit(**options)(function)
        try:
            kernel._cache = _KernelCache(function)
        except RuntimeError:
            _tell("no folder for compiled kernels can be written")
        compiled: Function = kernel
        return compiled

    return decorate


class _CheckedFile(_IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files of compiled code, each with its SHA-256 at the end."""

    def _dump(self, obj: Any) -> bytes:
        data: bytes = super()._dump(obj)
        return data + hashlib.sha256(data).digest()  # what follows a pickle is not read

    def _load_data(self, name: str) -> Any:
        data = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(data[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
            raise ValueError(f"{name} is damaged")
        return super()._load_data(name)


class _KernelCache(_FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, made anew where it is damaged."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator, base = self._impl.locator, f"{self._impl.filename_base}.checked"
        self._cache_file = _CheckedFile(self._cache_path, base, locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever a damaged pickle can raise
            warnings.warn(
                f"kernels kept in {self.cache_path} are damaged: they are compiled anew",
                StyleFaceVWarning,
                stacklevel=2,
            )
        try:
            self.flush()
        except OSError as error:
            self._give_up(error)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.disable()
        _tell(f"compiled kernels cannot be kept in {self.cache_path} ({error.strerror or error})")


@cache
def _tell(what: str) -> None:
    warnings.warn(
        f"{what}: each run compiles them; NUMBA_CACHE_DIR can name another",
        StyleFaceVWarning,
        stacklevel=2,
    )
