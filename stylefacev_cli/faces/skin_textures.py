"""Skins from MakeHuman's pictures, blended by age, ancestry and gender into one map a head.

Each picture, 512 px wide in hm08's texture coordinates, is cut to the islands of head and neck and
split, in the logarithm of linear light, into the colour of cheek and forehead, a low band and the
detail. A person's low band is the weighted mean. The detail is too, except that what differs
between the pictures (pores, blotches) is rescaled to keep its strength, which a mean would lower.
The person's tone comes from the palette.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from stylefacev_cli.faces import assets, bake, kernels
from stylefacev_cli.faces.mesh import FaceMesh, load_mesh
from stylefacev_cli.faces.palette import average_tone, skin_color, smooth_step
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.faces.skin_paint import average_hairline
from stylefacev_cli.media.images import open_image
from stylefacev_cli.networks.compiled import njit

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I16 = NDArray[np.int16]
U8 = NDArray[np.uint8]

PICTURE_SIZE = 512
# Islands cut from the pictures (first column, first row, columns, rows; row 0 is v = 0), and the
# row where each begins in the map.
HEAD_TILE, HEAD_ROW = (321, 74, 190, 347), 0
NECK_TILE, NECK_ROW = (124, 403, 142, 98), 347
WIDTH, HEIGHT = 190, 445
SOCKET = (112.0, 200.0)  # a texel at an eye's corner
RELIEF_DM = 0.008  # height of the whole range of alpha

# Whom each picture stands for: period, origin, sex.
_PICTURES = {
    f"{period}_{shade}skinned_{sex}_diffuse{number}.png": (period, origin, sex)
    for period in ("young", "middleage", "old")
    for sex in ("female", "male")
    for shade, number, origin in (
        ("dark", "", "african"),
        ("light", "3" if period == "young" else "2", "asian"),
        ("light", "", "caucasian"),
    )
}
_SECOND_PICTURES = {  # two share their place by how uneven the skin is
    f"young_lightskinned_{sex}_diffuse2.png": ("young", "caucasian", sex)
    for sex in ("female", "male")
}
_PERIOD_AGES = {"young": 0.5, "middleage": 0.72, "old": 1.0}
_SHARPNESS = 1.7  # power of the weights: above 1, the nearest pictures count more

_LOG_STEP = 1 / 4096  # of the bands' int16
_LOW_SIGMA_PX = 2.0
_GRAIN_RANGE, _LOW_RANGE = (0.034, 0.05), (0.05, 0.12)  # deviations on cheek and forehead
_STRETCH = 1.5  # at most, to come into the range
_CHROMA = {"african": 0.45, "asian": 0.62, "caucasian": 0.68}
_PALETTE_SHARE = {"african": 0.95, "asian": 0.5, "caucasian": 0.5}
# Logarithms of the lips' colour over the skin's; the pictures' own are partly lilac.
_LIPS = {
    "african": (-0.42, -0.76, -0.72),
    "asian": (-0.30, -0.80, -0.72),
    "caucasian": (-0.28, -0.80, -0.70),
}
_DIMMED = 0.16  # how much darker than the palette the lightest are: highlights come on top
_SOCKETS, _FOLDS_OF_AGE = 0.6, 0.75  # what is left of baked shadows
_RELIEF = 127 / 0.30  # of the detail's logarithm, in the map's alpha

# Logarithms of what full amounts take from red, green and blue.
_TINTS = np.array(
    [
        [-0.02, -0.20, -0.17],  # ruddiness
        [-0.02, -0.20, -0.15],  # blush
        [-0.42, -0.62, -0.50],  # lids
        [-0.16, -0.33, -0.42],  # freckles
    ],
    np.float32,
)
_TABLE_LOW, _TABLE_STEPS = -8.0, 512  # the table of square roots: first logarithm, steps a unit


class Skins(NamedTuple):
    """Pictures [K], cut and split; N texels, planar. Logarithms in steps of `_LOG_STEP`."""

    low: I16  # [K, 3, N]
    detail: I16  # [K, N] apart from the mean over the pictures
    mean_detail: I16  # [N]
    colors: F64  # [K, 3] natural logarithm of cheek and forehead
    masks: F32  # [4, N] where `_TINTS` apply
    places: tuple[tuple[str, str, str], ...]  # [K] period, origin, sex
    second: NDArray[np.bool_]  # [K] the second picture of its place


def blend_skin(identity: Identity) -> U8:
    """The skin's map [HEIGHT, WIDTH, 4]: square roots of the albedo's R, G, B, and the relief.

    The relief is 128 where the skin is even, more on light detail, less on dark.

    Raises:
        MissingWeightsError, IntegrityError: see `assets.look_folder`.
    """
    skins = load_skins()
    weights = picture_weights(skins, identity)
    used = np.flatnonzero(weights > 0.004)
    shares = (weights[used] / weights[used].sum()).astype(np.float32)
    red, green, _ = identity.hair_color
    uneven = identity.skin_unevenness
    freckled = smooth_step(1.75, 2.8, red / max(green, 1e-3)) + smooth_step(0.8, 1.0, uneven)
    freckles = min(float(freckled), 1.0) * float(smooth_step(0.5, 0.2, identity.skin_tone))
    made_up = identity.make_up
    amounts = np.array([0.8 * identity.ruddiness - 0.15, 0.8 * made_up, made_up, freckles])
    return _blend(
        skins.low,
        skins.detail,
        skins.mean_detail,
        skins.masks,
        used,
        shares,
        _base_color(skins, identity).astype(np.float32),
        (amounts[:, None] * _TINTS).astype(np.float32),
        _square_roots(),
        0.55 + 0.9 * uneven,
    ).reshape(HEIGHT, WIDTH, 4)


def picture_weights(skins: Skins, identity: Identity) -> F64:
    """Weights of the pictures [K], sum 1, for a person."""
    middle, old = _PERIOD_AGES["middleage"], _PERIOD_AGES["old"]
    ages = np.interp(identity.age, [_PERIOD_AGES["young"], middle, old], [0, 1, 2])
    periods = dict(
        zip(_PERIOD_AGES, np.maximum(0, 1 - np.abs(ages - np.arange(3))).tolist(), strict=True)
    )
    origins = dict(zip(("african", "asian", "caucasian"), identity.ancestry, strict=True))
    sexes = {"female": 1 - identity.gender, "male": identity.gender}
    shares = [periods[p] * origins[o] * sexes[s] for p, o, s in skins.places]
    weights = np.maximum(np.array(shares), 0) ** _SHARPNESS
    uneven = identity.skin_unevenness
    for i in np.flatnonzero(skins.second):
        first = skins.places.index(skins.places[i])
        weights[[first, i]] *= [1 - uneven, uneven]
    return np.asarray(weights / weights.sum())


def _base_color(skins: Skins, identity: Identity) -> F64:
    """Natural logarithm of the colour [3] of cheek and forehead."""
    weights = picture_weights(skins, identity)
    palette = np.log(skin_color(identity.skin_tone))
    usual = np.log(skin_color(average_tone(identity.ancestry)))
    photographed = weights @ skins.colors + palette - usual
    share = sum(
        part * _PALETTE_SHARE[origin]
        for part, origin in zip(identity.ancestry, _PALETTE_SHARE, strict=True)
    )
    mixed = photographed + (palette - photographed) * share
    level = _luminance(np.exp(palette)) * (1 - _DIMMED * max(0.0, 1 - 2 * identity.skin_tone))
    return np.asarray(mixed + np.log(level / _luminance(np.exp(mixed))))


def _luminance(color: F64) -> float:
    return float(color @ np.array([0.2126, 0.7152, 0.0722]))


# --- from files ----------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def load_skins() -> Skins:
    """Read, cut and split the pictures.

    Raises:
        MissingWeightsError, IntegrityError: see `assets.look_folder`.
    """
    pictures = {**_PICTURES, **_SECOND_PICTURES}
    folder = assets.look_folder() / "skins"
    zones = _zones(load_mesh())
    split = [
        _split(_read(folder / name, zones), origin, period, zones)
        for name, (period, origin, _) in pictures.items()
    ]
    detail = np.stack([part[1] for part in split])
    mean = detail.mean(0)
    return Skins(
        low=np.stack([_to_steps(part[0]) for part in split]),
        detail=_to_steps(detail - mean),
        mean_detail=_to_steps(mean),
        colors=np.stack([part[2] for part in split]),
        masks=zones.tinted,
        places=tuple(pictures.values()),
        second=np.array([name in _SECOND_PICTURES for name in pictures]),
    )


class _Zones(NamedTuple):
    """Places on the map, each [HEIGHT, WIDTH] if nothing else is said."""

    even: NDArray[np.bool_]  # cheeks and forehead
    scalp: F32
    sockets: F32
    lips: F32
    tinted: F32  # [4, N]
    nearest: NDArray[np.int64]  # [2, HEIGHT, WIDTH] row and column of the texel to take


def _zones(mesh: FaceMesh) -> _Zones:
    table = np.column_stack([mesh.canonical[mesh.render_vertex], mesh.ears, mesh.lips])
    (x, y, z, ears, lips), nearest = _on_map(mesh, table)
    a = np.abs(x)

    def spot(x0: float, y0: float, width: float, height: float, front: float = 0.5) -> F64:
        inside = np.exp(-(((a - x0) / width) ** 2) - ((y - y0) / height) ** 2)
        return np.asarray(inside * smooth_step(front - 0.1, front + 0.1, z))

    azimuth = np.abs(np.arctan2(x, z - bake.PAINT_AXIS_Z))
    # The pictures' hair reaches down in front of the ears.
    down = 0.20 + 0.16 * smooth_step(0.95, 1.15, azimuth)
    above = y - average_hairline(azimuth)
    scalp = smooth_step(-1, 0, above / down) * (1 - smooth_step(0.05, 0.4, ears))
    red = spot(0.42, 6.98, 0.24, 0.22) + 0.6 * spot(0, 7.02, 0.15, 0.12, 1.2)
    red += 0.4 * spot(0, 6.38, 0.25, 0.12) + 0.25 * spot(0.2, 7.30, 0.35, 0.10)
    red += 0.9 * smooth_step(0.2, 0.7, ears)
    white = np.random.default_rng(5).standard_normal(red.shape)
    blotches = 4 * gaussian_filter(white, 2) + 10 * gaussian_filter(white, 5)
    red = red * np.clip(1 + 0.28 * blotches, 0.2, 2)
    fine = gaussian_filter(np.random.default_rng(6).standard_normal(red.shape), 0.6)
    cheeks = spot(0.30, 7.08, 0.34, 0.20) + 0.6 * spot(0, 7.1, 0.2, 0.2)
    cheeks += 0.35 * spot(0, 7.7, 0.5, 0.2)
    freckles = np.clip(3 * fine - 1.4, 0, 1) * np.clip(cheeks, 0, 1)
    blush = spot(0.50, 7.0, 0.17, 0.13)
    lids = spot(0.31, 7.40, 0.16, 0.06, 0.8)
    even = (spot(0.40, 7.0, 0.15, 0.15) > 0.4) | (spot(0.0, 7.75, 0.35, 0.10, 0.8) > 0.4)
    return _Zones(
        even=even,
        scalp=scalp.astype(np.float32),
        sockets=spot(0.30, 7.36, 0.26, 0.17, 0.8).astype(np.float32),
        lips=lips.astype(np.float32),
        tinted=np.stack([red, blush, lids, freckles]).reshape(4, -1).astype(np.float32),
        nearest=nearest,
    )


def _on_map(mesh: FaceMesh, values: F32) -> tuple[F32, NDArray[np.int64]]:
    """Values of the render vertices [R, C] on the map [C, HEIGHT, WIDTH].

    Also row and column [2, HEIGHT, WIDTH] of the nearest texel well inside an island.
    """
    out = np.zeros((values.shape[1], HEIGHT, WIDTH), np.float32)
    nearest = np.zeros((2, HEIGHT, WIDTH), np.int64)
    for (column, row, columns, rows), start in ((HEAD_TILE, HEAD_ROW), (NECK_TILE, NECK_ROW)):
        place = mesh.texture * PICTURE_SIZE - (column, row)
        points = np.column_stack([place, np.zeros(len(place))]).astype(np.float64)
        index, weights, _ = kernels.rasterise(points, mesh.render_triangles, max(columns, rows))
        index, weights = index[:rows, :columns], weights[:rows, :columns]
        corners = values[mesh.render_triangles[np.maximum(index, 0)]]  # [rows, columns, 3, C]
        tile = (corners * weights[..., None]).sum(2)
        inside = binary_erosion(index >= 0, border_value=1)
        near = distance_transform_edt(~inside, return_distances=False, return_indices=True)
        shown = np.where(index >= 0, np.indices(index.shape), near)
        out[:, start : start + rows, :columns] = np.moveaxis(tile[tuple(shown)], -1, 0)
        nearest[:, start : start + rows, :columns] = near + np.array([start, 0])[:, None, None]
    return out, nearest


def _read(path: Path, zones: _Zones) -> F32:
    """A picture's islands on the map, [HEIGHT, WIDTH, 3], logarithms of linear light."""
    with open_image(path) as picture:
        picture = picture.convert("RGB").resize((PICTURE_SIZE, PICTURE_SIZE))
        values = np.asarray(picture, np.float32)[::-1] / 255
    out = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for (column, row, columns, rows), start in ((HEAD_TILE, HEAD_ROW), (NECK_TILE, NECK_ROW)):
        tile = values[row : row + rows, column : column + columns]
        out[start : start + rows, :columns] = tile
    out = out[tuple(zones.nearest)]  # the pictures' ground does not bleed in
    return np.asarray(2.2 * np.log(np.maximum(out, 0.02)))


def _split(logs: F32, origin: str, period: str, zones: _Zones) -> tuple[F32, F32, F64]:
    """Low band [3, N], detail [N] and colour [3] of a picture."""
    color = np.median(logs[zones.even], axis=0).astype(np.float64)
    logs = np.asarray(logs - color, np.float32)
    low = _smooth(logs)
    detail = logs - low
    light = detail.mean(-1)
    low = low + _CHROMA[origin] * (detail - light[..., None])

    lips = np.average(low.reshape(-1, 3), axis=0, weights=zones.lips.ravel())
    low = low + zones.lips[..., None] * (0.8 * (np.array(_LIPS[origin], np.float32) - lips))
    level = low.mean(-1, keepdims=True)
    chroma = _CHROMA[origin] + (1 - _CHROMA[origin]) * zones.lips[..., None]
    shadow = 1 - (1 - _SOCKETS) * zones.sockets
    if period == "old":
        shadow = shadow * _FOLDS_OF_AGE
    low = np.where(level < 0, level * shadow[..., None], level) + chroma * (low - level)
    light = light * (_FOLDS_OF_AGE if period == "old" else 1.0)

    low = low * _into_range(low.mean(-1)[zones.even], _LOW_RANGE)
    light = light * _into_range(light[zones.even], _GRAIN_RANGE)
    low, light = _without_hair(low, light, zones.scalp)
    return np.moveaxis(low, -1, 0).reshape(3, -1), light.ravel(), color


def _into_range(band: F32, limits: tuple[float, float]) -> float:
    """A factor that brings the band's deviation into the limits, or nearer to them."""
    spread, (low, high) = float(band.std()), limits
    return min(max(1.0, min(low / spread, _STRETCH)), high / spread)


def _without_hair(low: F32, light: F32, scalp: F32) -> tuple[F32, F32]:
    """Replace the baked hair by skin like that around it."""
    bare = (1 - scalp) ** 2
    known = gaussian_filter(bare, 8) + 0.02  # far inside, the colour of cheek and forehead
    around = np.stack([gaussian_filter(low[..., c] * bare, 8) / known for c in range(3)], -1)
    low = low + (np.clip(around, -0.25, 0.25) - low) * scalp[..., None]
    return low, np.asarray(light * (1 - 0.92 * scalp))


def _smooth(values: F32) -> F32:
    """Gaussian over both tiles, each by itself."""
    out = np.empty_like(values)
    for start, stop in ((HEAD_ROW, NECK_ROW), (NECK_ROW, HEIGHT)):
        for c in range(3):
            out[start:stop, :, c] = gaussian_filter(
                values[start:stop, :, c], _LOW_SIGMA_PX, mode="nearest"
            )
    return out


def _to_steps(values: F32) -> I16:
    return np.asarray(np.clip(np.rint(values / _LOG_STEP), -32000, 32000), np.int16)


@lru_cache(maxsize=1)
def _square_roots() -> U8:
    """255 √exp(x) for x from `_TABLE_LOW` to 0."""
    logs = _TABLE_LOW + np.arange(int(-_TABLE_LOW * _TABLE_STEPS) + 1) / _TABLE_STEPS
    return np.asarray(np.rint(255 * np.exp(logs / 2)), np.uint8)


@njit()
def _blend(  # noqa: PLR0913 - a compiled loop, which takes arrays and numbers only
    low: I16,
    detail: I16,
    mean_detail: I16,
    masks: F32,
    used: NDArray[np.int64],
    shares: F32,
    base: F32,
    tints: F32,
    table: U8,
    detail_strength: float,
) -> U8:
    num_texels, chunk = low.shape[2], 1024
    out = np.empty((num_texels, 4), np.uint8)
    bands = np.empty((4, chunk), np.float32)
    squares = np.float32(0.0)
    for share in shares:
        squares += share * share
    boost = np.float32(detail_strength) / np.sqrt(squares)
    for start in range(0, num_texels, chunk):
        count = min(chunk, num_texels - start)
        bands[:] = 0.0
        for k in range(len(used)):
            share = shares[k]
            for c in range(3):
                plane = low[used[k], c, start : start + count]
                for i in range(count):
                    bands[c, i] += share * plane[i]
            plane = detail[used[k], start : start + count]
            for i in range(count):
                bands[3, i] += share * boost * plane[i]
        for i in range(count):
            t = start + i
            light = (bands[3, i] + mean_detail[t]) * np.float32(_LOG_STEP)
            for c in range(3):
                log = base[c] + bands[c, i] * np.float32(_LOG_STEP) + light
                for m in range(len(tints)):
                    log += tints[m, c] * masks[m, t]
                step = int((log - np.float32(_TABLE_LOW)) * _TABLE_STEPS + np.float32(0.5))
                out[t, c] = table[min(max(step, 0), len(table) - 1)]
            relief = np.float32(128.5) + light * np.float32(_RELIEF)
            out[t, 3] = np.uint8(min(max(relief, np.float32(1.0)), np.float32(255.0)))
    return out
