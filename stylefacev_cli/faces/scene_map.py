"""Scene factors → light and background."""

from __future__ import annotations

import numpy as np

from stylefacev_cli.faces.palette import smooth_step, tinted_color
from stylefacev_cli.faces.parameters import Scene


def scene_of(f: dict[str, float]) -> Scene:
    """Light and background of the scene factors by name, each standard normal."""
    return Scene(
        light_azimuth_deg=float(np.clip(38 * f["light_azimuth"], -85, 85)),
        light_elevation_deg=float(np.clip(32 + 13 * f["light_elevation"], 2, 70)),
        light_temperature=0.7 * f["light_temperature"],
        key_light=float(1.45 * np.exp(0.25 * f["key_light"])),
        sky_light=float(0.42 * np.exp(0.22 * f["sky_light"])),
        side_light=f["side_light"],
        background_color=tinted_color(
            0.26,
            0.5 * f["background_light"],
            0.09 * f["background_red"],
            0.11 * f["background_blue"],
        ),
        background_shading=(
            0.3 * f["background_right"],
            0.2 * f["background_up"],
            0.2 * f["background_centre"],
        ),
        backdrop_floor=(0.15 + 0.4 * f["floor_height"], 0.35 * f["floor_light"]),
        backdrop_panel=(
            1.2 * float(np.tanh(0.8 * f["panel_place"])),
            float(0.35 * np.exp(0.35 * f["panel_width"])),
            0.55 * f["panel_light"],
        ),
        backdrop_lights=(
            float(0.5 * smooth_step(0.3, 2.0, f["lamps"])),
            0.35 * f["lamps_right"],
            0.35 * f["lamps_up"],
        ),
        backdrop_warmth=0.18 * f["backdrop_warmth"],
        backdrop_blur=float(0.16 * np.exp(0.4 * f["backdrop_blur"])),
    )
