"""Brows of the photographic look: MakeHuman's pictures of hair as a card on the forehead.

Each style is straightened once, to a picture along and across the brow's middle line, and to that
line and the brow's width as curves on the canonical head. An identity moves and bends the curves;
the card's points are points of the skin, so they move with it in any expression.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from stylefacev_cli.faces import kernels
from stylefacev_cli.faces.assets import look_folder
from stylefacev_cli.faces.mesh import FaceMesh, load_mesh
from stylefacev_cli.faces.mhclo import read_fitted_mesh
from stylefacev_cli.faces.palette import skin_color, smooth_step
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.media.images import open_image

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

STYLES = ("eyebrow001", "eyebrow004", "eyebrow008", "eyebrow010", "eyebrow011", "eyebrow012")
# Thickness and arch (standard deviations) that the styles go with, until factors choose.
_SUITS = np.array([(-1.0, 0.3), (0.3, -1.0), (0.2, 0.2), (0.9, 0.9), (-0.5, 1.1), (1.5, -0.3)])
_MEAN_THICKNESS_DM, _MEAN_ARCH_DM, _MEAN_HEIGHT_DM, _MEAN_SLANT_DM = 0.0415, 0.034, 0.014, -0.002
_THICKNESS_SIGMA_DM, _ARCH_SIGMA_DM = 0.008, 0.010

PICTURE_WIDTH, PICTURE_HEIGHT = 256, 64
_RAISE_DM = 0.035
_RISE_DM = 0.006  # from the inner to the outer end
_NUM_ALONG, _NUM_ACROSS = 24, 5
_BEYOND_ENDS = 0.12  # of the brow's length, for the last hairs
_MARGIN_DM = 0.022  # of the card beyond the brow's edges
_EDGE_OPACITY = 0.4  # of the blurred picture at the visible edge, against its darkest places
_ON_EDGE = 0.9  # landmarks stand this share of the half width from the middle …
_END = 0.03  # … and this share of the length from the ends

_PLANE_PX_PER_DM = 1000
_PLANE_LEFT_DM, _PLANE_BOTTOM_DM, _PLANE_PX = 0.02, 7.2, 640
_FRONT_PX, _FRONT_HALF_WIDTH_DM, _FRONT_BOTTOM_DM = 512, 0.8, 7.1


class BrowStyle(NamedTuple):
    """A left brow on the canonical head, by the way from its inner (0) to its outer end (1)."""

    inner_dm: float  # x of the ends
    outer_dm: float
    way: F64  # [K] from below 0 to above 1
    centre_dm: F64  # [K] height of the middle line
    half_width_dm: F64  # [K] from it to the visible edges
    picture: U8  # [PICTURE_HEIGHT, PICTURE_WIDTH] opacity; row 0 is the lower edge of the card


class SkinPoints(NamedTuple):
    """Points of the skin: vertices [N, 3] and barycentric weights [N, 3] of the mesh."""

    vertices: I32
    weights: F64


def brow_style(identity: Identity) -> int:
    """Which of `STYLES` a person has: the best of linear functions of thickness and arch."""
    thickness = (identity.brow_thickness_dm - _MEAN_THICKNESS_DM) / _THICKNESS_SIGMA_DM
    arch = (identity.brow_arch_dm - _MEAN_ARCH_DM) / _ARCH_SIGMA_DM
    scores = _SUITS[:, 0] * thickness + _SUITS[:, 1] * arch - 0.5 * (_SUITS**2).sum(1)
    return int(scores.argmax())


def brow_color(identity: Identity) -> tuple[float, float, float]:
    """The hair's colour, warmer, and darker than the skin also under grey or blond hair."""
    skin = skin_color(identity.skin_tone)
    hair = np.array(identity.hair_color) * [1.06, 0.98, 0.86]
    color = hair * min(0.8, min(0.13, 0.5 * float(skin.mean())) / float(hair.max()))
    return float(color[0]), float(color[1]), float(color[2])


def brow_opacity(identity: Identity) -> float:
    """How far the hairs cover the skin: light and grey brows are thin."""
    return float(1.15 - 0.45 * smooth_step(0.05, 0.40, max(identity.hair_color)))


def brow_card(identity: Identity) -> tuple[SkinPoints, I32, F32]:
    """The card of both brows, left first.

    Returns:
        The points [N] of the skin, triangles [T, 3] and places in the style's picture [N, 2],
        from 0 to 1 along and across.
    """
    along, across = np.meshgrid(
        np.linspace(-_BEYOND_ENDS, 1 + _BEYOND_ENDS, _NUM_ALONG),
        np.linspace(-1, 1, _NUM_ACROSS),
        indexing="ij",
    )
    left = _on_brow(identity, along.ravel(), across.ravel())
    points = on_skin(np.concatenate([left, left * [-1, 1]]))
    a = np.arange(_NUM_ALONG - 1)[:, None] * _NUM_ACROSS + np.arange(_NUM_ACROSS - 1)
    b = a + _NUM_ACROSS
    one = np.stack([a, b, a + 1, b, b + 1, a + 1], -1).reshape(-1, 3)
    triangles = np.concatenate([one, one[:, ::-1] + along.size]).astype(np.int32)
    u = (along.ravel() + _BEYOND_ENDS) / (1 + 2 * _BEYOND_ENDS)
    place = np.stack([u, across.ravel() * 0.5 + 0.5], -1)
    return points, triangles, np.tile(place, (2, 1)).astype(np.float32)


def brow_outline(identity: Identity, along: F64, edge: F64) -> F64:
    """Canonical (x, y) [N, 2] on the left brow's visible edges.

    Args:
        identity: whose brow.
        along: [N] 0 inner … 1 outer end.
        edge: [N] -1 lower … 1 upper edge.
    """
    style = load_brow_styles()[brow_style(identity)]
    along = _END + along * (1 - 2 * _END)
    half = np.interp(along, style.way, style.half_width_dm)
    return _on_brow(identity, along, _ON_EDGE * edge * half / (half + _MARGIN_DM))


def on_skin(places: F64) -> SkinPoints:
    """The points of the face in front of canonical (x, y) [N, 2] near the brows."""
    mesh, index = load_mesh(), _front_triangles()
    scale = _FRONT_PX / (2 * _FRONT_HALF_WIDTH_DM)
    column, row = ((places - [-_FRONT_HALF_WIDTH_DM, _FRONT_BOTTOM_DM]) * scale).astype(int).T
    triangle = index[np.clip(row, 0, _FRONT_PX - 1), np.clip(column, 0, _FRONT_PX - 1)]
    assert (triangle >= 0).all(), "the brows lie on the forehead"
    vertices = mesh.skin_triangles[triangle]
    (ax, ay), (bx, by), (cx, cy) = (mesh.canonical[vertices[:, k], :2].T for k in range(3))
    x, y = places.T
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    second = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    third = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    return SkinPoints(vertices, np.stack([1 - second - third, second, third], -1))


@lru_cache(maxsize=1)
def load_brow_styles() -> tuple[BrowStyle, ...]:
    """All `STYLES`, from the files of the photographic look."""
    return tuple(_straighten(load_mesh(), name) for name in STYLES)


def _on_brow(identity: Identity, along: F64, across: F64) -> F64:
    """Canonical (x, y) [N, 2] of places on the left card, across -1 … 1 from edge to edge."""
    style = load_brow_styles()[brow_style(identity)]
    x = style.inner_dm + along * (style.outer_dm - style.inner_dm)
    half = np.interp(along, style.way, style.half_width_dm)
    thickness = np.clip(identity.brow_thickness_dm / _MEAN_THICKNESS_DM, 0.5, 1.7) ** 0.7
    inside = np.clip(along, 0, 1)
    y = np.interp(along, style.way, style.centre_dm)
    ends = np.interp([0.05, 0.95], style.way, style.centre_dm)
    # Most of the slope of the pictures' brows is taken away: steep ones look angry.
    y = y + _RAISE_DM + (0.8 * (_RISE_DM - float(ends[1] - ends[0]))) * (inside - 0.5)
    y = y + identity.brow_height_dm - _MEAN_HEIGHT_DM
    y = y + (identity.brow_arch_dm - _MEAN_ARCH_DM) * np.sin(inside**1.1 * np.pi * 0.8)
    y = y - (identity.brow_slant_dm - _MEAN_SLANT_DM) * (1 - smooth_step(0, 0.4, along))
    return np.stack([x, y + across * thickness * (half + _MARGIN_DM)], -1)


def _straighten(mesh: FaceMesh, name: str) -> BrowStyle:
    """A style from its files: middle line, width, and the picture along and across the line."""
    opacity = _seen_from_front(mesh, name)
    blurred = gaussian_filter(opacity, 0.006 * _PLANE_PX_PER_DM)
    edge_opacity = _EDGE_OPACITY * float(np.percentile(blurred[blurred > 0.2], 95))
    columns = np.flatnonzero(blurred.max(0) > edge_opacity)
    inner, outer = int(columns[0]), int(columns[-1])
    inside = blurred[:, inner : outer + 1] > edge_opacity
    low, high = inside.argmax(0), _PLANE_PX - 1 - inside[::-1].argmax(0)
    there = inside.any(0)
    at = np.arange(outer + 1 - inner)
    middle, half = (
        gaussian_filter1d(np.interp(at, at[there], edge[there]), 14.0, mode="nearest")
        for edge in ((low + high) / 2, (high - low) / 2)
    )
    # Beyond the ends, the middle line goes on as it came.
    beyond = int(_BEYOND_ENDS * len(at)) + 2
    way = np.arange(-beyond, len(at) + beyond) / (len(at) - 1)
    slope_in, slope_out = (middle[40] - middle[0]) / 40, (middle[-1] - middle[-41]) / 40
    middle = np.concatenate(
        [
            middle[0] + slope_in * np.arange(-beyond, 0),
            middle,
            middle[-1] + slope_out * np.arange(1, beyond + 1),
        ]
    )
    half = np.pad(half, beyond, mode="edge")

    along = np.linspace(-_BEYOND_ENDS, 1 + _BEYOND_ENDS, PICTURE_WIDTH)
    across = np.linspace(-1, 1, PICTURE_HEIGHT)[:, None]
    band = np.interp(along, way, half) + _MARGIN_DM * _PLANE_PX_PER_DM
    rows = np.interp(along, way, middle) + across * band
    columns_at = np.broadcast_to(inner + along * (len(at) - 1), rows.shape)
    fine = gaussian_filter(opacity, 1.0)  # the picture has about half as many pixels
    picture = map_coordinates(fine, [rows, columns_at], order=1)
    picture *= smooth_step(1.0, 0.85, np.abs(across))
    picture *= 0.6 + 0.4 * smooth_step(-0.02, 0.25, along)  # brows begin sparse
    to_x = _PLANE_LEFT_DM + (np.array([inner, outer]) + 0.5) / _PLANE_PX_PER_DM
    return BrowStyle(
        inner_dm=float(to_x[0]),
        outer_dm=float(to_x[1]),
        way=way,
        centre_dm=_PLANE_BOTTOM_DM + (middle + 0.5) / _PLANE_PX_PER_DM,
        half_width_dm=half / _PLANE_PX_PER_DM,
        picture=np.asarray(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8),
    )


def _seen_from_front(mesh: FaceMesh, name: str) -> F64:
    """Opacity of the left brow on the canonical head's x-y plane; row 0 is the lowest."""
    folder = look_folder() / "eyebrows"
    card = read_fitted_mesh(mesh, folder / f"{name}.obj", folder / f"{name}.mhclo")
    with open_image(folder / f"{name}.png") as picture:
        opacity = np.asarray(picture.convert("RGBA"))[..., 3].astype(np.float64) / 255
    points = card.fit(mesh.canonical)[card.corner].astype(np.float64)
    left = card.triangles[points[card.triangles, 0].min(1) > 0]
    points[:, :2] = (points[:, :2] - [_PLANE_LEFT_DM, _PLANE_BOTTOM_DM]) * _PLANE_PX_PER_DM
    index, weights, _ = kernels.rasterise(points, left, _PLANE_PX)
    place = (card.texture[left[np.maximum(index, 0)]] * weights[..., None]).sum(2)
    height, width = opacity.shape
    at = [(1 - place[..., 1]) * height - 0.5, place[..., 0] * width - 0.5]
    return np.asarray(map_coordinates(opacity, at, order=1) * (index >= 0))


@lru_cache(maxsize=1)
def _front_triangles() -> I32:
    """Skin triangle [row, column] seen from the front, around the brows of the canonical head."""
    mesh = load_mesh()
    scale = _FRONT_PX / (2 * _FRONT_HALF_WIDTH_DM)
    points = mesh.canonical.astype(np.float64)
    points[:, :2] = (points[:, :2] - [-_FRONT_HALF_WIDTH_DM, _FRONT_BOTTOM_DM]) * scale
    return kernels.rasterise(points, mesh.skin_triangles, _FRONT_PX)[0]
