"""Latent files: an inverted photograph, for one model (see `inversion`).

A latent is a safetensors file of float32 tensors: `appearance` [1, C, 8, 8], `pose` [1, 1, 8, 8],
`ws` and `residual` [1, num_ws, w_dim], `placement` [4], and for tuned generators `tune.LAYER.up`
[out, r] and `tune.LAYER.down` [r, in]. Its metadata holds one JSON text under `stylefacev_latent`
with the format's version, the model's hash, and how it was made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stylefacev_cli.common.tensor_files import F32, MAX_DESCRIPTION, Headers, TensorFile
from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE
from stylefacev_cli.weights.architectures import read_configs
from stylefacev_cli.weights.manifest import Manifest

SUFFIX = ".safetensors"
PLACEMENT = 4  # turn in rad, right and down in widths of the image, logarithm of the zoom
MAX_RANK = 64
# Of a placement: more than a whole turn, some widths of the image, a zoom by 150 or to 1/150.
_MAX_PLACEMENT = np.array([7.0, 8.0, 8.0, 5.0], np.float32)
_MAX_BYTES = 2**26 + 2 * MAX_DESCRIPTION
_MAX_SIDE = 2**15  # of a matrix of a tuned layer
_FILE = TensorFile("latent file", "stylefacev_latent", format=1)
_TUNED = re.compile(r"tune\.([A-Za-z0-9_]{1,40})\.(up|down)")


@dataclass(frozen=True)
class Latent:
    """The inversion of a photograph; all float32.

    Attributes:
        appearance: [1, C, 8, 8], of the photograph.
        pose: [1, 1, 8, 8], of the photograph.
        ws: [1, num_ws, w_dim], that draw the photograph.
        residual: [1, num_ws, w_dim], what the encoder's ws lack: `ws` − R(`appearance`, `pose`).
        placement: [4], turn (rad, anti-clockwise), shift to the right and down (widths of the
            image), logarithm of the zoom: through the generator's input.
        model: `Manifest.sha256` of the model that it belongs to, as it was at the time.
        tune: [out, r] and [r, in] of each tuned layer, whose product is added to its weights.
        origin: the photograph, its window and the settings; plain values.
    """

    appearance: F32
    pose: F32
    ws: F32
    residual: F32
    placement: F32
    model: str
    tune: Mapping[str, tuple[F32, F32]] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)


def write_latent(path: Path, latent: Latent) -> None:
    """Write a latent; it bears its name only when it is whole, and equal ones are equal files.

    Raises:
        StyleFaceVError: the file cannot be written.
    """
    tensors = {
        "appearance": latent.appearance,
        "pose": latent.pose,
        "ws": latent.ws,
        "residual": latent.residual,
        "placement": latent.placement,
    }
    for layer, (up, down) in latent.tune.items():
        tensors |= {f"tune.{layer}.up": up, f"tune.{layer}.down": down}
    _FILE.write(path, tensors, {"model": latent.model, "origin": dict(latent.origin)})


def read_latent(path: Path, manifest: Manifest) -> Latent:
    """Read a latent file; it may be from anybody.

    Args:
        path: the file.
        manifest: of the model that is to draw it.

    Raises:
        UsageError: there is no such file, or it belongs to another model.
        MissingWeightsError: the model is partial, and cannot generate.
        IntegrityError: the file is no latent, or damaged.
    """

    def check(headers: Headers, about: dict[str, Any]) -> None:
        if not isinstance(about.get("model"), str) or not isinstance(about.get("origin"), dict):
            raise IntegrityError(f"{path}: model or origin is damaged")
        if not manifest.is_named_by(about["model"]):
            raise UsageError(
                f"{path} belongs to another model than {manifest.name}; give that one with "
                "--model, or invert the photo again"
            )
        _check_headers(path, headers, manifest)

    tensors, about = _FILE.read(path, _MAX_BYTES, check)
    if (np.abs(tensors["placement"]) > _MAX_PLACEMENT).any():
        raise IntegrityError(f"{path}: placement turns, shifts or zooms further than any photo")
    layers = sorted({match[1] for match in map(_TUNED.fullmatch, tensors) if match})
    return Latent(
        appearance=tensors["appearance"],
        pose=tensors["pose"],
        ws=tensors["ws"],
        residual=tensors["residual"],
        placement=tensors["placement"],
        model=about["model"],
        tune={
            layer: (tensors[f"tune.{layer}.up"], tensors[f"tune.{layer}.down"]) for layer in layers
        },
        origin=about["origin"],
    )


def _check_headers(path: Path, headers: Headers, manifest: Manifest) -> None:
    manifest.check_complete()
    sizes = read_configs(manifest)["appearance"]
    ws = (1, sizes.num_ws, sizes.w_dim)
    shapes: dict[str, tuple[int, ...]] = {
        "appearance": (1, sizes.num_channels, POSE_SIZE, POSE_SIZE),
        "pose": (1, 1, POSE_SIZE, POSE_SIZE),
        "ws": ws,
        "residual": ws,
        "placement": (PLACEMENT,),
    }
    tuned = {name: match for name in headers if (match := _TUNED.fullmatch(name))}
    if set(headers) - set(tuned) != set(shapes):
        raise IntegrityError(f"{path}: {', '.join(shapes)} expected, not other tensors")
    for name, (shape, kind) in headers.items():
        if kind != "F32" or name in shapes and shape != shapes[name]:
            of = f" {list(shapes[name])}" if name in shapes else ""
            raise IntegrityError(f"{path}: {name} is {kind} {list(shape)}, but must be F32{of}")
    for name, match in tuned.items():
        other = headers.get(f"tune.{match[1]}.{'down' if match[2] == 'up' else 'up'}")
        up, down = (headers[name], other) if match[2] == "up" else (other, headers[name])
        if up is None or down is None or not _is_product(up.shape, down.shape):
            raise IntegrityError(f"{path}: {name} does not fit what it is multiplied by")


def _is_product(up: tuple[int, ...], down: tuple[int, ...]) -> bool:
    return (
        len(up) == len(down) == 2
        and 1 <= up[1] == down[0] <= MAX_RANK
        and 1 <= up[0] <= _MAX_SIDE
        and 1 <= down[1] <= _MAX_SIDE
    )
