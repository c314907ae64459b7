"""Loader of the conformance vectors: numbers that the original implementations give.

The vectors lie in `tests/data/conformance` (its README tells what each file fixes). The environment
variable STYLEFACEV_CONFORMANCE names another folder with files of the same form, so that unseen
vectors can be tried.

    vectors = load("stylegan3-r-64")
    module = vectors.fill(Generator(config))
    assert relative_error(module(...), vectors["image"]) < 1e-4
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)

# State that the vectors do not fill: counters, filters a network designs, the user's transform.
NOT_FILLED = ("num_batches_tracked", "_filter", "input.transform")


def folder() -> Path:
    """Folder of the vectors: STYLEFACEV_CONFORMANCE, or the copy in the tests."""
    named = os.environ.get("STYLEFACEV_CONFORMANCE")
    return Path(named) if named else Path(__file__).parents[1] / "data" / "conformance"


def names(prefix: str = "") -> list[str]:
    """Names of the vectors in the folder that start with `prefix`, sorted."""
    return sorted(path.stem for path in folder().glob(f"{prefix}*.npz"))


def value(
    name: str,
    shape: Sequence[int],
    mean: float = 0.0,
    std: float = 1.0,
    positive: bool = False,
    salt: int = 0,
) -> np.ndarray:
    """Float32 normal values that depend on the arguments alone (see the README of the vectors)."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + salt))
    v = mean + std * rng.standard_normal(tuple(shape))
    return np.asarray(np.abs(v) + 0.05 if positive else v, dtype=np.float32)


@dataclass(frozen=True)
class Vectors:
    """One file of vectors: its manifest and its arrays."""

    name: str
    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    @property
    def salt(self) -> int:
        return int(self.manifest["salt"])

    def value(
        self, name: str, shape: Sequence[int], mean: float = 0.0, std: float = 1.0
    ) -> torch.Tensor:
        """An input tensor `value(name, shape, mean, std)` with the salt of these vectors."""
        return torch.from_numpy(value(name, shape, mean, std, salt=self.salt))

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(np.array(self.arrays[key]))

    def fill(
        self, module: ModuleT, *, not_filled: Sequence[str] = NOT_FILLED, tag: str = ""
    ) -> ModuleT:
        """Fill every parameter and buffer that the manifest lists; returns the module in eval mode.

        Names that the module lacks, names that the manifest lacks (apart from endings in
        `not_filled`) and other shapes fail. A tag such as `digan/G` names one of several networks:
        its values are those of `digan/G/` and the parameter's name.
        """
        params: dict[str, dict[str, Any]] = self.manifest["params"]
        if tag:
            params = dict(self.manifest["params"][tag.rsplit("/", 1)[1]])
        state = module.state_dict()
        missing = sorted(set(params) - set(state))
        extra = sorted(n for n in set(state) - set(params) if not n.endswith(tuple(not_filled)))
        assert not missing and not extra, f"{self.name}: missing {missing}, extra {extra}"
        shapes = {n: (tuple(p["shape"]), tuple(state[n].shape)) for n, p in params.items()}
        wrong = {n: pair for n, pair in shapes.items() if pair[0] != pair[1]}
        assert not wrong, f"{self.name}: wrong shapes (wanted, found) {wrong}"
        with torch.no_grad():
            for n, p in params.items():
                v = value(
                    f"{tag}/{n}" if tag else n,
                    p["shape"],
                    p["mean"],
                    p["std"],
                    p["positive"],
                    self.salt,
                )
                state[n].copy_(torch.from_numpy(v))
        return module.eval()


def load(name: str) -> Vectors:
    """Load the vectors `name` from `folder()`."""
    with np.load(folder() / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    manifest = json.loads(str(arrays.pop("manifest")))
    return Vectors(name, manifest, arrays)


def test_image() -> torch.Tensor:
    """The test image [2, 3, 256, 256] in [-1, 1] that the face networks see."""
    seed = load_array("input-image-seed", "seed")
    image = nn.functional.interpolate(seed, scale_factor=16, mode="bicubic", align_corners=False)
    return image.clamp(-1, 1)


test_image.__test__ = False  # type: ignore[attr-defined]  # a helper, not a test


def load_array(name: str, key: str) -> torch.Tensor:
    """One array of a file without a manifest."""
    with np.load(folder() / f"{name}.npz") as file:
        return torch.from_numpy(np.array(file[key]))


def relative_error(found: torch.Tensor, wanted: np.ndarray | torch.Tensor) -> float:
    """The norm of the difference over the norm of the wanted values."""
    a = found.detach().cpu().double()
    b = torch.as_tensor(wanted).double()
    assert a.shape == b.shape, f"shape {tuple(a.shape)}, wanted {tuple(b.shape)}"
    return float((a - b).norm() / b.norm())
