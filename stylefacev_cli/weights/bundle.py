"""A model on disk: `bundle.yaml` and one safetensors file for each of its networks.

Weights carry their own architecture; names, shapes and types are matched strictly, and nothing is
skipped. Large weights may be stored as float16; every network is loaded as float32. A model may be
partial: the generator is always there, any other network may be missing.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
import yaml
from safetensors.torch import save
from torch import nn

from stylefacev_cli.common.files import write_atomic
from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import (
    IntegrityError,
    MissingWeightsError,
    StyleFaceVError,
    StyleFaceVWarning,
)
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylefacev.pose_follower import PoseFollower
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.weights.architectures import build_network, check_names, read_configs
from stylefacev_cli.weights.locate import MANIFEST_NAME
from stylefacev_cli.weights.manifest import (
    FORMAT,
    NETWORK_NAMES,
    Manifest,
    read_manifest,
    verify_files,
    weights_path,
)

# Small tensors (biases, filters, means, running magnitudes) stay float32: they cost nothing, and
# the signal passes through each of them.
_HALF_MIN_ELEMENTS = 4096

_STORED_TYPES = {  # of the safetensors format, by the type that the network wants
    torch.float32: ("F32", "F16", "BF16"),
    torch.int64: ("I64",),
}

NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class Networks:
    """The networks of a model; a partial one lacks some.

    `detector` is the fixed landmark detector that gave the targets of training, where it is kept;
    `landmarks` is the copy of it that was trained further and that videos need. The copy learns to
    predict poses and may lose accuracy at landmarks. `follower` makes poses of what the face mesh
    sees in videos, for models that have one.
    """

    generator: Generator
    landmarks: LandmarkDetector | None = None
    pose: PoseExtractor | None = None
    appearance: AppearanceRecomposer | None = None
    motion: MotionSampler | None = None
    detector: LandmarkDetector | None = None
    follower: PoseFollower | None = None

    @property
    def landmark_detector_name(self) -> str:
        """Which network finds landmarks in pictures: the fixed detector where it is kept."""
        return "landmarks" if self.detector is None else "detector"

    @property
    def landmark_detector(self) -> LandmarkDetector | None:
        """The network that finds landmarks in pictures; None where the model has none."""
        return self.landmarks if self.detector is None else self.detector

    def present(self) -> dict[str, nn.Module]:
        """Those that are there, by name."""
        return {name: network for name, network in vars(self).items() if network is not None}


def needed(network: NetworkT | None, what: str) -> NetworkT:
    """A network of a model that may be partial.

    Args:
        network: a field of `Networks`.
        what: its name, for the message.

    Raises:
        MissingWeightsError: the model lacks it.
    """
    if network is None:
        raise MissingWeightsError(
            f"the model lacks the network {what}; import it again with it, or train it"
        )
    return network


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
    aliases: tuple[str, ...] = (),
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
        aliases: hashes of earlier manifests of the same weights, see `Manifest`.
        half: store large weights as float16.

    Returns:
        The manifest as `load_bundle` will read it.

    Raises:
        StyleFaceVError: the folder cannot be written.
        IntegrityError: a weight is not finite, or the networks do not fit together.
    """
    modules = networks.present()
    parts = {name: _stored_tensors(module, name, half=half) for name, module in modules.items()}
    configs = {name: module.config for name, module in modules.items()}
    return write_bundle(
        folder,
        parts,
        configs,
        name=name,
        fps=fps,
        licence=licence,
        provenance=provenance,
        aliases=aliases,
    )


def write_bundle(
    folder: Path,
    tensors: Mapping[str, Mapping[str, torch.Tensor]],
    configs: Mapping[str, Any],
    *,
    name: str,
    fps: float,
    licence: str,
    provenance: Mapping[str, Any],
    aliases: tuple[str, ...] = (),
) -> Manifest:
    """Write a model from tensors, bit for bit as they are; otherwise as `save_bundle`.

    Args:
        folder: made if need be; other files in it stay.
        tensors: the state dict of each network; asked for one after another, so that a lazy
            mapping keeps memory small.
        configs: the settings of each network; as many as there are tensors.
        name: of the model.
        fps: frames per second that the motion was learnt at.
        licence: of the weights.
        provenance: how the weights came to be.
        aliases: hashes of earlier manifests of the same weights, see `Manifest`.

    Raises:
        StyleFaceVError: the folder cannot be written.
        IntegrityError: the networks do not fit together.
    """
    files: dict[str, dict[str, str | int]] = {}
    names = [network for network in NETWORK_NAMES if network in configs]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for network in names:
            path = weights_path(folder, network)
            data = save(dict(tensors[network]))
            write_atomic(path, data, synced=True)
            files[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        content = {
            "format": FORMAT,
            "name": name,
            "resolution": configs["generator"].img_resolution,
            "fps": float(fps),
            "licence": licence,
            **({"aliases": list(aliases)} if aliases else {}),
            "provenance": dict(provenance),
            "architecture": {network: to_plain(configs[network]) for network in names},
            "files": files,
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_atomic(folder / MANIFEST_NAME, text.encode(), synced=True)
    except OSError as error:
        raise StyleFaceVError(f"cannot write the model to {folder}: {error.strerror}") from error
    manifest = read_manifest(folder.absolute())
    read_configs(manifest)
    return manifest


def load_bundle(model: str | Path | Manifest) -> Bundle:
    """The model in a folder; what its manifest leaves open is a `StyleFaceVWarning`.

    Args:
        model: as for `find_bundle`, or its manifest where that has been read.

    Raises:
        MissingWeightsError: there is no such model, or a file of it is not there.
        IntegrityError: a file is damaged, or is not what `bundle.yaml` says.
    """
    manifest = model if isinstance(model, Manifest) else read_manifest(model)
    configs = read_configs(manifest)
    verify_files(manifest)
    modules: dict[str, Any] = {}
    for network, record in manifest.files.items():
        path = weights_path(manifest.folder, network)
        module = build_network(network, configs[network], record.bytes, path)
        _load_weights(module, path)
        modules[network] = module.eval().requires_grad_(False)
    for note in manifest.notes:
        warnings.warn(note, StyleFaceVWarning, stacklevel=2)
    return Bundle(manifest, Networks(**modules))


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


def _load_weights(module: nn.Module, path: Path) -> None:
    """Load the weights of a network; names, shapes and types are checked before any number."""
    expected = module.state_dict()
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            stored_names = set(file.keys())
            check_names(set(expected), stored_names, path)
            for name, tensor in expected.items():
                header = file.get_slice(name)
                shape, kind = tuple(header.get_shape()), header.get_dtype()
                if shape != tuple(tensor.shape):
                    raise IntegrityError(
                        f"{path}: {name} is {list(shape)}, "
                        f"but the architecture makes it {list(tensor.shape)}"
                    )
                if kind not in _STORED_TYPES[tensor.dtype]:
                    raise IntegrityError(f"{path}: {name} has the type {kind}")
            for name, tensor in expected.items():
                stored = file.get_tensor(name)
                if not stored.isfinite().all():
                    raise IntegrityError(f"{path}: {name} holds numbers that are not finite")
                tensor.copy_(stored)  # the state dict shares its memory with the network
    except (safetensors.SafetensorError, OSError) as error:
        raise IntegrityError(f"cannot read {path}: {error}; fetch it again") from error
