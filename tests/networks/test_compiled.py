"""A cache of compiled kernels that is damaged, full or not there never stops a run."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core import caching

from stylefacev_cli.errors import StyleFaceVWarning, UsageError
from stylefacev_cli.networks import compiled

SOURCE = """
from stylefacev_cli.networks.compiled import njit

@njit()
def double(x):
    return 2 * x
"""


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A kernel, as a new process would find it."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(caching.config, "CACHE_DIR", str(tmp_path / "kernels"))
    compiled._tell.cache_clear()
    source = tmp_path / "kernel_of_test.py"
    source.write_text(SOURCE)

    def new() -> Any:
        spec = importlib.util.spec_from_file_location("kernel_of_test", source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.double

    return new


def num_loaded(kernel: Any) -> int:
    return sum(kernel.stats.cache_hits.values())


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", ["one bit", "cut off", "empty"])
def test_a_damaged_cache_is_made_anew(
    tmp_path: Path, double: Callable[[], Any], suffix: str, damage: str
) -> None:
    assert double()(2) == 4
    again = double()
    assert again(2) == 4 and num_loaded(again) == 1
    (path,) = (tmp_path / "kernels").rglob(f"*{suffix}")
    data = bytearray(path.read_bytes())
    if damage == "one bit":
        data[len(data) // 2 if suffix == ".nbc" else 2] ^= 1
    path.write_bytes(data[: {"one bit": len(data), "cut off": len(data) // 2, "empty": 0}[damage]])
    with pytest.warns(StyleFaceVWarning, match="are damaged: they are compiled anew"):
        assert double()(2) == 4
    mended = double()
    assert mended(2) == 4 and num_loaded(mended) == 1


def test_a_full_disk_is_told_once(
    double: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    kernel = double()
    with pytest.warns(StyleFaceVWarning, match=r"kernels .*No space left.* NUMBA_CACHE_DIR"):
        assert kernel(2) == 4
    assert kernel(2.5) == 5.0  # compiled again, and told no more


def test_without_any_folder(double: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    with pytest.warns(StyleFaceVWarning, match="no folder .* NUMBA_CACHE_DIR can name another"):
        kernel = double()
    assert kernel(2) == 4


def test_a_switched_off_compiler_is_an_error_of_usage(
    double: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(UsageError, match="NUMBA_DISABLE_JIT is set.*unset it"):
        double()


def test_only_here_kernels_are_cached() -> None:
    """`cache=True` is numba's own, which a damaged file stops at every run."""
    package = Path(compiled.__file__).parents[1]
    for folder, _, names in os.walk(package):
        for name in names:
            if name.endswith(".py") and name != "compiled.py":
                assert "cache=True" not in (Path(folder) / name).read_text(), name
