"""Uniforms of light, background and colours, from scene and identity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.accessories import metal_share
from stylefacev_cli.faces.camera import NECK_PIVOT
from stylefacev_cli.faces.gl_context import Uniforms
from stylefacev_cli.faces.palette import iris_colors, skin_color, smooth_step
from stylefacev_cli.faces.parameters import Identity, Scene

F64 = NDArray[np.float64]

_SHADOW_HALF_EXTENT_DM = 2.4
_GOLD, _SILVER = np.array([0.62, 0.40, 0.14]), np.array([0.52, 0.52, 0.53])
_RIM_AZIMUTH_RAD = np.radians(135)


def scene_uniforms(scene: Scene, identity: Identity) -> Uniforms:
    """Lights, exposure and background.

    The exposure depends on light and skin, so that no picture is very dark or bright.
    """
    azimuth, elevation = np.radians([scene.light_azimuth_deg, scene.light_elevation_deg])
    direction = _direction(azimuth, elevation)
    warmth = scene.light_temperature
    light = 0.22 * scene.key_light + 0.5 * scene.sky_light + 0.25
    return {
        "key_direction": tuple(direction),
        "key": _tint(scene.key_light, warmth),
        "sky": _tint(scene.sky_light, -0.6 * warmth),
        "ground": _tint(0.45 * scene.sky_light, 0.5 * warmth),
        "side": _tint(0.2 * abs(np.tanh(scene.side_light)), 0.0),
        "side_direction": (0.9 * float(np.tanh(2 * scene.side_light)), 0.1, 0.4),
        "rim": (0.25, 0.25, 0.25),
        "rim_direction": tuple(_direction(_RIM_AZIMUTH_RAD, 0.33)),
        "exposure": 0.72 * (0.80 / light) ** 0.75 * (1 + 0.5 * identity.skin_tone),
        "backdrop": scene.background_color,
        "shading": scene.background_shading,
        "floor_line": scene.backdrop_floor,
        "panel": scene.backdrop_panel,
        "lamps": scene.backdrop_lights,
        "warmth": scene.backdrop_warmth,
        "blur": scene.backdrop_blur,
        "light_projection": _light_projection(direction),
    }


def identity_uniforms(identity: Identity) -> Uniforms:
    """Colours of lips, eyes, hair and clothes."""
    skin = skin_color(identity.skin_tone)
    dark = np.clip((identity.skin_tone - 0.45) * 5, 0, 1)
    lip = skin * (np.array([0.82, 0.50, 0.50]) * (1 - dark) + np.array([1.15, 0.82, 0.88]) * dark)
    painted = min(1.1 * identity.make_up, 0.85)
    red = np.array([0.36, 0.075, 0.085]) * (1 - 0.55 * identity.skin_tone)
    rim, center = (0.85 * (0.72 * c + 0.28 * c.mean()) for c in iris_colors(identity.iris_shade))
    old = max(0.0, identity.age - 0.5) / 0.5
    return {
        "lip_color": tuple(lip + (red - lip) * painted),
        "lip_cover": 0.75,
        "lipstick": 0.75 * painted,
        "scatter": tuple(np.array([0.34, 0.16, 0.11]) * (1 - 0.5 * identity.skin_tone)),
        "shirt": identity.shirt_color,
        "collar": identity.collar_color,
        "neckline": identity.neckline_dm,
        "iris_rim": tuple(rim),
        "iris_center": tuple(center),
        "sclera": tuple(np.array([0.54, 0.495, 0.47]) * (1 - 0.32 * identity.skin_tone)),
        "hair_color": identity.hair_color,
        "curl": identity.hair_curl,
        "neckline_v": identity.neckline_v,
        "glasses_color": identity.glasses_color,
        "frame_metal": tuple(_frame_metal(identity)),
        "metal": tuple(_SILVER + (_GOLD - _SILVER) * identity.earring_gold),
        "enamel": tuple(np.array([0.74, 0.665, 0.565]) - np.array([0.10, 0.13, 0.16]) * old),
        "made_up": min(2 * identity.make_up, 1.0),
        "hat_color": identity.hat_color,
        "jacket": identity.jacket,
        "jacket_color": identity.jacket_color,
    }


def _frame_metal(identity: Identity) -> F64:
    """Linear RGB of light frames, silver, steel or gold by their colour, and the share of metal."""
    red, _, blue = identity.glasses_color
    gold = 0.8 * float(smooth_step(1.1, 1.6, red / blue))
    metal = (_SILVER + (_GOLD - _SILVER) * gold) * (
        0.35 + 0.5 * float(smooth_step(0.02, 0.06, red))
    )
    return np.append(metal, metal_share(identity))


def _direction(azimuth: float, elevation: float) -> F64:
    flat = np.cos(elevation)
    return np.array([np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat])


def _tint(strength: float, warmth: float) -> tuple[float, float, float]:
    return strength * (1 + 0.10 * warmth), strength, strength * (1 - 0.13 * warmth)


def _light_projection(direction: F64) -> F64:
    """Orthographic clip-space matrix [4, 4] of the shadow map, looking from the light."""
    center = NECK_PIVOT + [0, 0.3, 0.3]
    x = np.cross([0, 1.0, 0], direction)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(direction, x), -direction])
    matrix = np.eye(4)
    matrix[:3, :3] = axes / _SHADOW_HALF_EXTENT_DM
    matrix[:3, 3] = -(axes @ center) / _SHADOW_HALF_EXTENT_DM
    return matrix
