"""A model on disk: `bundle.yaml` and one safetensors file for each of its five networks.

Weights carry their own architecture; names, shapes and types are matched strictly, and nothing is
skipped. Large weights may be stored as float16; every network is loaded as float32.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
import yaml
from safetensors.torch import save
from torch import nn
from torch.overrides import TorchFunctionMode

from stylefacev_cli.errors import IntegrityError, StyleFaceVError, UsageError
from stylefacev_cli.networks.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.generator import Generator, GeneratorConfig
from stylefacev_cli.networks.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.pose import POSE_SIZE, PoseExtractor, PoseExtractorConfig
from stylefacev_cli.weights.locate import MANIFEST_NAME
from stylefacev_cli.weights.manifest import (
    FORMAT,
    NETWORK_NAMES,
    Manifest,
    read_manifest,
    verify_files,
    weights_path,
)
from stylefacev_cli.weights.settings import build, to_plain

# Small tensors (biases, filters, means, running magnitudes) stay float32: they cost nothing, and
# the signal passes through each of them.
_HALF_MIN_ELEMENTS = 4096

_STORED_TYPES = {  # of the safetensors format, by the type that the network wants
    torch.float32: ("F32", "F16", "BF16"),
    torch.int64: ("I64",),
}


@dataclass(frozen=True)
class Networks:
    """The five networks of a model."""

    generator: Generator
    landmarks: LandmarkDetector
    pose: PoseExtractor
    appearance: AppearanceRecomposer
    motion: MotionSampler


@dataclass(frozen=True)
class Bundle:
    """A model read from disk: what it is, and its networks (float32, on the CPU, for inference)."""

    manifest: Manifest
    networks: Networks


def save_bundle(
    folder: Path,
    networks: Networks,
    *,
    name: str,
    fps: float,
    licence: str,
    provenance: Mapping[str, Any],
    half: bool = True,
) -> Manifest:
    """Write a model; `bundle.yaml` comes last, so that an unfinished bundle never looks whole.

    Args:
        folder: made if need be; other files in it stay.
        networks: the trained networks; their `config` becomes the architecture.
        name: of the model: letters, digits, dots and dashes.
        fps: frames per second that the motion was learnt at.
        licence: of the weights, as an SPDX name where there is one.
        provenance: how the weights came to be: plain values, as YAML can hold them.
        half: store large weights as float16.

    Returns:
        The manifest as `load_bundle` will read it.

    Raises:
        StyleFaceVError: the folder cannot be written.
        IntegrityError: a weight is not finite, or the networks do not fit together.
    """
    parts = {field.name: getattr(networks, field.name) for field in dataclasses.fields(networks)}
    files: dict[str, dict[str, str | int]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for network, module in parts.items():
            path = weights_path(folder, network)
            part = path.with_suffix(".part")
            data = save(_stored_tensors(module, network, half=half))
            part.write_bytes(data)
            os.replace(part, path)
            files[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        content = {
            "format": FORMAT,
            "name": name,
            "resolution": networks.generator.config.img_resolution,
            "fps": float(fps),
            "licence": licence,
            "provenance": dict(provenance),
            "architecture": {key: to_plain(module.config) for key, module in parts.items()},
            "files": files,
        }
        part = folder / f"{MANIFEST_NAME}.part"
        part.write_text(
            yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        os.replace(part, folder / MANIFEST_NAME)
    except OSError as error:
        raise StyleFaceVError(f"cannot write the model to {folder}: {error.strerror}") from error
    manifest = read_manifest(folder.absolute())
    _configs(manifest)
    return manifest


def load_bundle(name_or_folder: str | Path) -> Bundle:
    """Read a model.

    Args:
        name_or_folder: the name of a shipped model, or a folder that holds `bundle.yaml`.

    Raises:
        MissingWeightsError: there is no such model, or a file of it is not there.
        IntegrityError: a file is damaged, or is not what `bundle.yaml` says.
    """
    manifest = read_manifest(name_or_folder)
    configs = _configs(manifest)
    verify_files(manifest)
    kinds = {
        "generator": Generator,
        "landmarks": LandmarkDetector,
        "pose": PoseExtractor,
        "appearance": AppearanceRecomposer,
        "motion": MotionSampler,
    }
    modules: dict[str, Any] = {}
    for network in NETWORK_NAMES:
        path = weights_path(manifest.folder, network)
        module = _built(kinds[network], configs[network], manifest.files[network].bytes, path)
        _load_weights(module, path)
        modules[network] = module.eval().requires_grad_(False)
    return Bundle(manifest, Networks(**modules))


def _configs(manifest: Manifest) -> dict[str, Any]:
    """The settings of each network, checked on their own and against each other."""
    kinds = {
        "generator": GeneratorConfig,
        "landmarks": LandmarkDetectorConfig,
        "pose": PoseExtractorConfig,
        "appearance": AppearanceConfig,
        "motion": MotionSamplerConfig,
    }
    where = f"{manifest.folder / MANIFEST_NAME}: architecture"
    try:
        made: dict[str, Any] = {
            name: build(kind, manifest.architecture[name], f"{where}.{name}")
            for name, kind in kinds.items()
        }
    except (UsageError, ArithmeticError) as error:
        raise IntegrityError(f"{error}; the model is damaged or of another version") from error
    generator, appearance = made["generator"], made["appearance"]
    agreements = {
        "generator.img_resolution is the bundle's resolution": (
            generator.img_resolution == manifest.resolution
        ),
        "generator makes colour images without labels": (
            (generator.img_channels, generator.c_dim) == (3, 0)
        ),
        "landmarks and pose agree on the heatmaps": (
            made["landmarks"].heatmap_size == made["pose"].heatmap_size
        ),
        "appearance and generator agree on the ws": (
            (appearance.num_ws, appearance.w_dim) == (generator.num_layers + 2, generator.w_dim)
        ),
        "motion and pose agree on the pose": made["motion"].pose_dim == POSE_SIZE**2,
    }
    for statement, holds in agreements.items():
        if not holds:
            raise IntegrityError(f"{where}: it does not hold that {statement}")
    return made


def _stored_tensors(module: nn.Module, network: str, *, half: bool) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, tensor in module.state_dict().items():
        stored = tensor.detach().cpu().contiguous().clone()
        if stored.is_floating_point():
            if not stored.isfinite().all():
                raise IntegrityError(f"{network}: {name} holds numbers that are not finite")
            stored = stored.float()
            in_half = stored.half()
            if half and stored.numel() >= _HALF_MIN_ELEMENTS and in_half.isfinite().all():
                stored = in_half
        tensors[name] = stored
    return tensors


def _built(kind: Any, config: Any, num_bytes: int, path: Path) -> nn.Module:
    """Make a network, whose first random weights only take the place of those to come."""
    try:
        # Each stored number takes two bytes or more; building needs a few copies of it.
        with _allocating_at_most(num_bytes * 4 + 2**24, path):
            module: nn.Module = kind(config)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IntegrityError(
            f"bundle.yaml: no network can have the architecture of {path.stem}: {reason}"
        ) from error
    return module


def _load_weights(module: nn.Module, path: Path) -> None:
    """Fill a network from its file: first names, shapes and types, then numbers."""
    wanted = module.state_dict()
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            found = set(file.keys())
            _check_names(set(wanted), found, path)
            for name, tensor in wanted.items():
                header = file.get_slice(name)
                shape, kind = tuple(header.get_shape()), header.get_dtype()
                if shape != tuple(tensor.shape):
                    raise IntegrityError(
                        f"{path}: {name} is {list(shape)}, "
                        f"but the architecture makes it {list(tensor.shape)}"
                    )
                if kind not in _STORED_TYPES[tensor.dtype]:
                    raise IntegrityError(f"{path}: {name} has the type {kind}")
            for name, tensor in wanted.items():
                stored = file.get_tensor(name)
                if not stored.isfinite().all():
                    raise IntegrityError(f"{path}: {name} holds numbers that are not finite")
                tensor.copy_(stored)  # the state dict shares its memory with the network
    except (safetensors.SafetensorError, OSError) as error:
        raise IntegrityError(f"cannot read {path}: {error}; fetch it again") from error


def _check_names(wanted: set[str], found: set[str], path: Path) -> None:
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    complaints = []
    if missing:
        complaints.append(f"lacks {_listed(missing)}")
    if extra:
        complaints.append(f"has {_listed(extra)} too many")
    if complaints:
        raise IntegrityError(f"{path} does not fit its architecture: it {' and '.join(complaints)}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


class _Counter(TorchFunctionMode):
    """Counts the elements of the tensors that are made."""

    def __init__(self, most: int, path: Path) -> None:
        super().__init__()
        self.left, self.path = most, path

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.left -= result.numel()
            if self.left < 0:
                raise IntegrityError(
                    f"the architecture of {self.path.stem} in bundle.yaml is larger than "
                    f"{self.path}; the model is damaged"
                )
        return result


@contextmanager
def _allocating_at_most(num_elements: int, path: Path) -> Iterator[None]:
    """Stop a network that is far larger than its file, before it takes all memory.

    One thread: what is drawn here is overwritten at once, and threads waiting for each other in the
    many small operations can take seconds on a busy machine.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _Counter(num_elements, path):
            yield
    finally:
        torch.set_num_threads(num_threads)
