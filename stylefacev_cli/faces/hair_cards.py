"""Hair as cards: MakeHuman's ten styles, fitted to a head and reshaped by its identity.

A card is a strip of a mesh with a picture of strands. Fitted vertices are moved along fixed fields
of their style: `lift` or `press` away from the scalp, `drop` downwards, `wave` sideways. How far
depends continuously on the identity's volume, length and curl.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from stylefacev_cli.faces import bake, kernels
from stylefacev_cli.faces.assets import look_folder
from stylefacev_cli.faces.mesh import FaceMesh, load_mesh
from stylefacev_cli.faces.mhclo import FittedMesh, read_fitted_mesh
from stylefacev_cli.faces.palette import smooth_step
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.media.images import open_image

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class StyleSettings:
    """How a style is reshaped, the same for all people; lengths in decimetres."""

    picture: str  # file name
    lift: float = 1.0  # of its thickness over the scalp
    widest: float | None = None  # half width to which hair beside the face is narrowed
    cut: float | None = None  # hair in front of the face ends at this canonical height
    shortest: float = 1.0  # share of the length below the ears, for short hair …
    longest: float = 1.0  # … and for long hair
    hug: float = 0.0  # share of the thickness taken away around the forehead
    fine_strands: float = 0.12  # contrast of strands finer than those of the picture
    contrast: float = 0.30  # of the picture's strands
    curls: float = 0.0  # contrast of small curls, see hair_shaders
    has_side: bool = False  # parted or swept to one side: half of the people wear it mirrored
    wave: float = 0.0  # of waves at the full curl


STYLES = {
    "bob01": StyleSettings(
        "bob01_diffuse.png", has_side=True, lift=0.66, cut=7.56, shortest=0.8, longest=1.25
    ),
    "bob02": StyleSettings(
        "bob02_diffuse.png", has_side=True, lift=0.6, cut=7.56, shortest=0.8, longest=1.3
    ),
    "long01": StyleSettings(
        "long01_diffuse.png",
        lift=0.75,
        widest=0.8,
        shortest=0.35,
        hug=0.3,
        fine_strands=0.22,
        wave=0.1,
    ),
    "ponytail01": StyleSettings("ponytail01_diffuse.png", shortest=0.6, wave=0.05),
    "braid01": StyleSettings(
        "braid01_diffuse.png", has_side=True, lift=0.8, cut=7.56, shortest=0.6
    ),
    "short01": StyleSettings("short01_diffuse.png"),
    "short02": StyleSettings("short02_diffuse.png", lift=0.85),
    "short03": StyleSettings("short03_diffuse.png", has_side=True, cut=7.58),
    "short04": StyleSettings("short04_diffuse.png"),
    "afro01": StyleSettings("afro_diffuse.png", contrast=0.06, fine_strands=0.0, curls=0.5),
}


_BROAD_PX = 16.0  # sigma of the highlights and shadows that are taken out of pictures
_EARS_Y = 7.05  # canonical height
_FLOW_FROM = np.array([0.0, 8.45, -0.15])  # the crown


class HairCards(NamedTuple):
    """A person's hair cards, on the head at rest."""

    style: str  # one of STYLES
    vertices: F32  # [R, 6] position and normal
    is_mirrored: bool  # parted on the other side


@dataclass(frozen=True)
class HairStyle:
    """A style, prepared for any head: N vertices of the mesh, R after the split at seams."""

    mesh: FittedMesh
    settings: StyleSettings
    lift: F32  # [N, 3] away from the scalp, by the height over it
    press: F32  # [N, 3] the same for all layers, by the height of the highest
    drop: F32  # [N, 3] downwards, below the ears
    narrow: F32  # [N, 3] inwards, beside and below the face
    wave: F32  # [N, 3] towards and away from the skull
    radial: F32  # [N, 3] unit vectors away from the skull
    attributes: F32  # [R, 7] texture coordinates, cut, openness, tangent
    triangles: I32  # [T, 3] into R, from the inside out
    picture: U8  # [S, S, 2] brightness against the mean, opacity; bottom row first


def fit_hair(style_name: str, identity: Identity, vertices: F32) -> HairCards:
    """A person's hair in one of STYLES, on the head's vertices [V, 3] at rest."""
    style = hair_style(style_name)
    settings = style.settings
    points = style.mesh.fit(vertices)
    volume = settings.lift * (identity.hair_volume_dm / 0.17) ** 0.6
    length = np.clip(0.5 + 0.45 * identity.hair_length_dm, 0, 1)
    share = settings.shortest + (settings.longest - settings.shortest) * length
    lift = style.lift if volume > 1 else style.press
    points = points + lift * np.float32(volume - 1) + style.drop * np.float32(share - 1)
    points += style.narrow + style.wave * np.float32(0.25 + identity.hair_curl)
    normals = kernels.vertex_normals(points, style.mesh.joined_triangles)
    # Either side of a card may be its front: what counts is where it leans from the skull's normal.
    facing = (normals * style.radial).sum(1, keepdims=True)
    normals = 0.55 * facing * normals + 0.45 * style.radial
    both = np.concatenate([points, normals], 1)[style.mesh.corner]
    mirrored = is_mirrored(style_name, identity)
    if mirrored:  # heads are symmetric
        both[:, [0, 3]] *= -1
    return HairCards(style_name, np.ascontiguousarray(both, np.float32), mirrored)


def is_mirrored(style_name: str, identity: Identity) -> bool:
    """Whether a style is mirrored for a person: half of the people, where it has a side."""
    return STYLES[style_name].has_side and identity.parting > 0


@lru_cache(maxsize=len(STYLES))
def hair_style(name: str) -> HairStyle:
    """A style by name, read and prepared once a process (errors as `read_fitted_mesh`)."""
    mesh, settings = load_mesh(), STYLES[name]
    folder = look_folder() / "hair"
    fitted = read_fitted_mesh(mesh, folder / f"{name}.obj", folder / f"{name}.mhclo")
    points = fitted.fit(mesh.canonical).astype(np.float64)
    away, height = _over_scalp(mesh, points)
    top = _top(points, away, height)
    on_head = smooth_step(6.2, 6.9, points[:, 1])
    lift, press = (away * (value * on_head)[:, None] for value in (height, top))
    hug = np.zeros_like(points)
    if settings.hug:
        near_face = smooth_step(0.35, 0.95, points[:, 2]) * smooth_step(7.2, 7.6, points[:, 1])
        hug = -settings.hug * press * near_face[:, None]
    drop = np.zeros_like(points)
    drop[:, 1] = np.minimum(points[:, 1] - _EARS_Y, 0)
    beside = smooth_step(6.7, 7.3, points[:, 1])
    openness = 1 - beside * (1 - np.clip(height / np.maximum(top, 0.02), 0, 1))
    with open_image(folder / settings.picture) as picture:
        pixels = np.asarray(picture.convert("RGBA"), np.float32) / np.float32(255)
    drawn, angle = _prepare_picture(pixels[::-1], settings)
    # Below a fringe strands may begin anywhere.
    hairline = np.ones(len(points)) if settings.has_side else _hairline(points, away, height)
    order = np.argsort(_triangle_height(fitted, height), kind="stable")
    corner = fitted.corner
    return HairStyle(
        mesh=fitted,
        settings=settings,
        lift=lift.astype(np.float32),
        press=press.astype(np.float32),
        drop=drop.astype(np.float32),
        narrow=(hug + _narrowing(points, settings)).astype(np.float32),
        wave=_waves(points, settings).astype(np.float32),
        radial=_outward(points).astype(np.float32),
        attributes=np.column_stack(
            [
                fitted.texture,
                np.minimum(_cut(points, settings), hairline)[corner],
                openness[corner],
                _tangents(fitted, points, away, angle),
            ]
        ).astype(np.float32),
        triangles=np.ascontiguousarray(fitted.triangles[order]),
        picture=drawn,
    )


@lru_cache(maxsize=len(STYLES))
def scalp_cover(name: str) -> F32:
    """How much of the scalp a style covers: the paint map's texels [W, W] in [0, 1].

    Only hair that lies on the head counts, so that a forehead below a fringe stays bare.
    """
    mesh, style = load_mesh(), hair_style(name)
    points = style.mesh.fit(mesh.canonical).astype(np.float64)
    _, height = _over_scalp(mesh, points)
    place = bake.paint_coordinates(points)
    triangles = style.mesh.joined_triangles
    lies = height[triangles].max(1) < 0.45
    whole = triangles[lies & (np.ptp(place[triangles, 0], axis=1) < 0.3)]
    opacity = style.picture[..., 1]
    size = opacity.shape[0]
    middle = style.mesh.texture[style.mesh.triangles].mean(1)
    solid = opacity[
        np.clip((middle[:, 1] * size).astype(int), 0, size - 1),
        np.clip((middle[:, 0] * size).astype(int), 0, size - 1),
    ]
    kept = (solid > 150)[lies & (np.ptp(place[triangles, 0], axis=1) < 0.3)]
    drawn = np.column_stack([place * bake.PAINT_SIZE, 9 - height])
    index, _, _ = kernels.rasterise(drawn, np.ascontiguousarray(whole[kept]), bake.PAINT_SIZE)
    return np.asarray(gaussian_filter((index >= 0).astype(np.float32), 1.5), np.float32)


def _over_scalp(mesh: FaceMesh, points: F64) -> tuple[F64, F64]:
    """Directions away from the skull [N, 3] and heights over the scalp [N]."""
    scalp = (mesh.canonical[mesh.scalp_vertices] * mesh.scalp_weights[..., None]).sum(2)
    centre = np.array(bake.SKULL_CENTRE)
    radius = np.linalg.norm(scalp - centre, axis=2)
    offset = points - centre
    distance = np.linalg.norm(offset, axis=1)
    away = offset / distance[:, None]
    azimuth = np.arctan2(away[:, 0], away[:, 2])
    column = (azimuth + np.pi) / (2 * np.pi) * bake.NUM_AZIMUTHS
    elevation = np.arcsin(np.clip(away[:, 1], -1, 1))
    row = (np.pi / 2 - elevation) / (np.pi / 2 + 1.15) * (bake.NUM_ELEVATIONS - 1)
    row = np.clip(row, 0, bake.NUM_ELEVATIONS - 1)
    i, j = np.floor(column).astype(int), np.minimum(row.astype(int), bake.NUM_ELEVATIONS - 2)
    s, t = column - i, row - j
    i, after = i % bake.NUM_AZIMUTHS, (i + 1) % bake.NUM_AZIMUTHS
    near = radius[i, j] * (1 - t) + radius[i, j + 1] * t
    far = radius[after, j] * (1 - t) + radius[after, j + 1] * t
    return away, np.maximum(distance - (near * (1 - s) + far * s), 0)


def _outward(points: F64) -> F64:
    """Unit vectors away from the skull, level below its middle [N, 3]."""
    offset = points - np.array(bake.SKULL_CENTRE)
    offset[:, 1] = np.maximum(offset[:, 1], 0)
    return _unit(offset)


def _top(points: F64, away: F64, height: F64) -> F64:
    """Height of the highest hair around [N], by azimuth and height of the place."""
    azimuth = np.arctan2(away[:, 0], away[:, 2])
    bins = (azimuth / (2 * np.pi) * 36).astype(int) % 36 * 64
    bins += np.clip((points[:, 1] - 4) * 10, 0, 63).astype(int)
    top = np.zeros(36 * 64)
    np.maximum.at(top, bins, height)
    smooth = gaussian_filter(top.reshape(36, 64), 1.0, mode=("wrap", "nearest"))
    return np.asarray(smooth.ravel()[bins])


def _narrowing(points: F64, settings: StyleSettings) -> F64:
    """Move of hair beside and below the face towards the head [N, 3], dm."""
    move = np.zeros_like(points)
    if settings.widest is not None:
        x = points[:, 0]
        wide = np.abs(x) - settings.widest
        over = np.where(wide > 0, wide - 0.25 * wide / (1 + wide), 0)
        move[:, 0] = -np.sign(x) * over * smooth_step(7.6, 6.8, points[:, 1])
    return move


def _waves(points: F64, settings: StyleSettings) -> F64:
    """Move of the vertices at the full curl [N, 3], dm."""
    azimuth = np.arctan2(points[:, 0], points[:, 2] - 0.33)
    phase = points[:, 1] * 2 * np.pi / 0.62 + 1.4 * np.sin(azimuth * 5) + azimuth
    grown = settings.wave * smooth_step(7.5, 6.8, points[:, 1])
    out = np.stack([np.sin(azimuth), 0 * azimuth, np.cos(azimuth)], -1)
    return np.asarray(out * (grown * np.sin(phase))[:, None])


def _cut(points: F64, settings: StyleSettings) -> F64:
    """Negative where hair in front of the face is cut off [N]."""
    if settings.cut is None:
        return np.ones(len(points))
    in_front = smooth_step(0.75, 1.0, points[:, 2]) * smooth_step(0.62, 0.5, np.abs(points[:, 0]))
    return np.where(in_front > 0.01, (points[:, 1] - settings.cut) + 2 * (1 - in_front), 1.0)


def _hairline(points: F64, away: F64, height: F64) -> F64:
    """Negative where hair that lies on the head begins [N]: its strands start one by one there."""
    azimuth = np.arctan2(away[:, 0], away[:, 2])
    in_front = np.abs(azimuth) < np.radians(100)
    lies = in_front & (height < 0.12) & (points[:, 1] > 7.0)
    bins = ((azimuth + np.pi) / (2 * np.pi) * 72).astype(int) % 72
    lowest = np.full(72, np.inf)
    np.minimum.at(lowest, bins[lies], points[lies, 1])
    rise = points[:, 1] - lowest[bins]
    begins = np.where(lies & np.isfinite(rise), 2.6 * rise - 0.16, 1.0)
    # Where hair stands off the head, or to the sides, nothing is thinned out.
    off = smooth_step(0.06, 0.12, height) + smooth_step(
        np.radians(70), np.radians(100), abs(azimuth)
    )
    return np.asarray(np.minimum(begins + 2 * off, 1.0))


def _triangle_height(fitted: FittedMesh, height: F64) -> F64:
    """Height of triangles over the scalp [T], from that of the vertices [N]."""
    return np.asarray(height[fitted.joined_triangles].mean(1))


def _prepare_picture(pixels: F32, settings: StyleSettings) -> tuple[U8, F64]:
    """Brightness and opacity [S, S, 2] uint8, and the strands' angle [S, S] (rad, from +u)."""
    opacity = pixels[..., 3]
    solid = opacity > 0.6
    light = np.log(np.maximum(pixels[..., :3] @ np.array([0.3, 0.59, 0.11]), 0.02))
    nearest = distance_transform_edt(~solid, return_distances=False, return_indices=True)
    light = light[tuple(nearest)]
    # Keep the strands; weaken broad highlights and shadows, which the renderer makes itself.
    share = gaussian_filter(solid.astype(np.float32), _BROAD_PX) + 1e-3
    broad = gaussian_filter(np.where(solid, light, 0), _BROAD_PX) / share
    strands = light - broad
    strands *= np.clip(settings.contrast / max(float(strands[solid].std()), 1e-6), 0.5, 2.5)
    light = np.clip(strands + 0.12 * (broad - broad[solid].mean()), -1.2, 1.2)
    fine = gaussian_filter(light, 1.0)
    dy, dx = np.gradient(fine)
    xx, yy, xy = (gaussian_filter(value, 6.0) for value in (dx * dx, dy * dy, dx * dy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2  # across the gradient
    if settings.fine_strands:
        light = light + settings.fine_strands * _strand_noise(angle)
    drawn = np.stack([0.5 + light / 2.4, opacity], -1)
    return np.asarray(np.clip(drawn, 0, 1) * 255 + 0.5).astype(np.uint8), np.asarray(angle)


def _strand_noise(angle: F64) -> F64:
    """Noise drawn out along the strands [S, S], deviation 1."""
    size = angle.shape[0]
    white = np.random.default_rng(7).standard_normal((size, size))
    row, column = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    step_row, step_column = np.sin(angle), np.cos(angle)
    total = white.copy()
    for step in (*range(-14, 0), *range(1, 15)):
        at = [row + step * step_row, column + step * step_column]
        total += map_coordinates(white, at, order=1, mode="wrap")
    return np.asarray(total / total.std())


def _tangents(fitted: FittedMesh, points: F64, away: F64, angle: F64) -> F64:
    """Directions of the strands [R, 3], downwards from the crown."""
    corners = points[fitted.corner]
    along_u, along_v = np.zeros_like(corners), np.zeros_like(corners)
    a, b, c = (fitted.triangles[:, k] for k in range(3))
    du1, dv1 = (fitted.texture[b] - fitted.texture[a]).T
    du2, dv2 = (fitted.texture[c] - fitted.texture[a]).T
    e1, e2 = corners[b] - corners[a], corners[c] - corners[a]
    area = du1 * dv2 - du2 * dv1
    sign = np.sign(area)[:, None]
    for k in (a, b, c):
        np.add.at(along_u, k, (e1 * dv2[:, None] - e2 * dv1[:, None]) * sign)
        np.add.at(along_v, k, (e2 * du1[:, None] - e1 * du2[:, None]) * sign)
    size = angle.shape[0]
    row = np.clip((fitted.texture[:, 1] * size).astype(int), 0, size - 1)
    column = np.clip((fitted.texture[:, 0] * size).astype(int), 0, size - 1)
    at = angle[row, column][:, None]
    strand = _unit(along_u) * np.cos(at) + _unit(along_v) * np.sin(at)
    out = away[fitted.corner]
    flow = corners - _FLOW_FROM
    flow[:, 1] -= 0.4
    flow -= out * (flow * out).sum(1, keepdims=True)
    flow = _unit(flow)
    return _unit(flow + (strand * flow).sum(1, keepdims=True) * strand)  # whatever its sign


def _unit(vectors: F64) -> F64:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9))
