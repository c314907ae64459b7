"""The face mesh's networks with the weights of `face_landmarker.task`, which comes with us.

The file is a zip of three TensorFlow Lite files, see `weights/face-mesh/NOTICE`. Their operators
use constants in the order in which the networks define their parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.common.paths import shipped_folder
from stylefacev_cli.common.untrusted.archives import member_bytes, open_archive
from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.networks.features.face_mesh import (
    BlendshapeNetwork,
    FaceBoxNetwork,
    FaceMeshNetwork,
)
from stylefacev_cli.weights.untrusted.tflite import (
    DEPTHWISE_CONV_2D,
    Operator,
    read_tflite,
)

NAME = "face-mesh"
FILE_NAME = "face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
_MAX_MEMBER_BYTES = 2**24
_MISFIT = "its network is not the one this program knows"


class FaceMeshNetworks(NamedTuple):
    """The three networks, frozen."""

    boxes: FaceBoxNetwork
    mesh: FaceMeshNetwork
    blendshapes: BlendshapeNetwork


def face_mesh_file() -> Path:
    """The file of the weights, as it comes with the package."""
    return shipped_folder() / NAME / FILE_NAME


def load_face_mesh() -> FaceMeshNetworks:
    """The three networks with the weights that come with the package, on the CPU.

    Raises:
        MissingWeightsError: the file is not in this installation.
        IntegrityError: it is damaged.
    """
    path = face_mesh_file()
    if not path.is_file():
        raise MissingWeightsError(f"{path} is missing: install the package again")
    if sha256_of(path) != SHA256:
        raise IntegrityError(f"{path} is damaged: install the package again")
    return read_face_mesh(path)


def read_face_mesh(path: Path) -> FaceMeshNetworks:
    """The three networks with the weights of a file, which need not be trusted.

    Raises:
        IntegrityError: it is damaged, or holds other networks.
    """
    networks = FaceMeshNetworks(FaceBoxNetwork(), FaceMeshNetwork(), BlendshapeNetwork())
    members = ("face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite")
    with open_archive(path, max_entries=16) as archive:
        for network, member in zip(networks, members, strict=True):
            if member not in archive.namelist():
                raise IntegrityError(f"{path} lacks {member}: {_MISFIT}")
            data = member_bytes(archive, member, _MAX_MEMBER_BYTES)
            name = f"{path}: {member}"
            _fill(network, read_tflite(data, name), name)
    for network in networks:
        network.eval().requires_grad_(False)
    return networks


def _fill(network: nn.Module, operators: list[Operator], name: str) -> None:
    """Fill a network's parameters with the constants of operators, in order."""
    constants = [
        (operator, np.asarray(constant, np.float32))
        for operator in operators
        for constant in operator.constants
        if constant.dtype == np.float32 and constant.ndim > 0
    ]
    parameters = list(network.named_parameters())
    if len(constants) != len(parameters):
        raise IntegrityError(
            f"{name} has {len(constants)} constants, not {len(parameters)}: {_MISFIT}"
        )
    for (key, parameter), (operator, constant) in zip(parameters, constants, strict=True):
        values = torch.from_numpy(_in_torch_order(constant, operator))
        _check_strides(network, key, operator, name)
        if [n for n in values.shape if n > 1] != [n for n in parameter.shape if n > 1]:
            raise IntegrityError(
                f"{name}: {key} has the shape {list(constant.shape)}, not "
                f"{list(parameter.shape)}: {_MISFIT}"
            )
        if not bool(values.isfinite().all()):
            raise IntegrityError(f"{name}: {key} holds numbers that are not finite")
        parameter.data.copy_(values.reshape(parameter.shape))


def _in_torch_order(constant: NDArray[np.float32], operator: Operator) -> NDArray[np.float32]:
    """A kernel [out, H, W, in] as [out, in, H, W]; [1, H, W, channels] of depthwise ones alike."""
    if constant.ndim != 4:
        return constant
    order = (3, 0, 1, 2) if operator.code == DEPTHWISE_CONV_2D else (0, 3, 1, 2)
    return np.ascontiguousarray(constant.transpose(order))


def _check_strides(network: nn.Module, key: str, operator: Operator, name: str) -> None:
    """Check that a convolution of the file steps as ours does."""
    module = network.get_submodule(key.rpartition(".")[0])
    if isinstance(module, nn.Conv2d) and (
        operator.strides is None or operator.strides.stride != module.stride
    ):
        raise IntegrityError(f"{name}: {key} has other strides: {_MISFIT}")
