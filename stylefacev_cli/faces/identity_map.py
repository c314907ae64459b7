"""Identity factors → a person, with hair, clothes and what else they wear."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from stylefacev_cli.faces.factor_layout import NUM_SHAPE_FACTORS
from stylefacev_cli.faces.palette import (
    Color,
    average_tone,
    hair_color,
    hair_shade,
    smooth_step,
    tinted_color,
)
from stylefacev_cli.faces.parameters import Identity

_SHAPE_SIGMA = 0.5  # at 1 cheeks bulge and jaws are tiny or huge
# A style's score is its own factor, a constant, and these shares of `_HAIR_SCORE_FACTORS` (positive
# gender is male, positive ancestry_1 african). The constants make all styles of cards about equally
# frequent; the boundaries between styles are straight in z.
_HAIR_SCORES = {
    "bob01": (0.08, -1.9, 0.0, -0.2, -0.2),
    "bob02": (0.15, -1.8, 0.1, -0.2, -0.1),
    "long01": (0.03, -2.0, -0.2, 0.0, 0.0),
    "ponytail01": (0.12, -1.9, -0.1, 0.0, 0.0),
    "braid01": (0.01, -2.0, -0.2, 0.1, 0.0),
    "short01": (-0.14, 1.4, 0.0, 0.1, 0.3),
    "short02": (-0.12, 1.4, 0.0, 0.0, 0.1),
    "short03": (0.2, 0.9, -0.1, -0.2, -0.1),
    "short04": (0.15, 1.0, -0.1, -0.2, -0.1),
    "afro01": (0.04, 0.1, 0.0, 1.0, 0.5),
    "shells": (0.4, -0.6, 0.1, 0.0, 0.0),
    "shaved": (-0.92, 1.7, 0.3, 0.2, 0.0),
}
_HAIR_SCORE_FACTORS = ("gender", "age", "ancestry_1", "hair_curl")
_HAT_FROM = 1.75  # of the factor: one person in 25

Factors = dict[str, float]


def identity_of(f: Factors) -> Identity:
    """The person of the identity factors by name, each standard normal."""
    person = _person(f)
    age, male, female, ancestry = person.age, person.male, person.female, person.ancestry
    hair = _hair(f, person)
    shirt = tinted_color(
        0.24, 0.7 * f["shirt_light"], 0.16 * f["shirt_red"], 0.20 * f["shirt_blue"]
    )
    return Identity(
        gender=person.gender,
        age=age,
        ancestry=ancestry,
        weight=_clip(0.5 + 0.17 * f["weight"], 0.1, 0.95),
        shape=_shape(f),
        skin_tone=person.tone,
        ruddiness=float(max(0.42 + 0.18 * f["ruddiness"], 0) * (1 - 0.5 * person.tone)),
        make_up=float(np.clip(0.15 + 0.4 * f["make_up"], 0, 1) * female),
        brow_height_dm=0.014 + 0.012 * f["brow_height"],
        brow_arch_dm=0.034 + 0.010 * f["brow_arch"],
        brow_thickness_dm=0.033 * female + 0.051 * male + 0.005 * f["brow_thickness"],
        brow_slant_dm=-0.002 + 0.007 * f["brow_slant"],
        beard=float(np.clip(0.6 * f["beard"] - 0.05, 0, 1) * male * smooth_step(0.4, 0.5, age)),
        hair_color=hair.color,
        hairline_dm=0.04 * f["hairline"],
        recession=float(
            np.clip(0.5 * f["recession"] - 0.1, 0, 1.2) * male * smooth_step(0.4, 0.6, age)
        ),
        hair_length_dm=_clip(hair.length_dm, -0.9, 1.7),
        fringe_dm=hair.fringe_dm,
        hair_volume_dm=float((0.15 + 0.05 * hair.curl) * np.exp(0.28 * f["hair_volume"])),
        quiff=float(np.clip(0.15 + 0.3 * f["quiff"], 0, 0.8) * _sigmoid(-3 * hair.length_dm)),
        parting=_clip(0.5 * f["parting"], -1, 1),
        iris_shade=_clip(hair_shade(ancestry, f["iris_shade"]) + 0.05, 0, 1),
        shirt_color=shirt,
        collar_color=_collar(shirt, f["collar_light"]),
        neckline_dm=5.52 + 0.09 * f["neckline"],
        hair_curl=hair.curl,
        hair_sweep=hair.sweep,
        hair_tied=hair.tied,
        glasses=float(smooth_step(0.84, 0.96, f["glasses"] + 0.8 * (age - 0.75))),
        glasses_width=float(np.tanh(0.6 * f["glasses_width"])),
        glasses_height=float(np.tanh(0.6 * f["glasses_height"])),
        glasses_square=float(ndtr(f["glasses_square"])),
        glasses_weight=float(ndtr(f["glasses_weight"] - 0.4)),
        glasses_color=tinted_color(
            0.035, 0.8 * f["glasses_light"], 0.3 * f["glasses_red"], -0.3 * f["glasses_red"]
        ),
        earrings=float(smooth_step(0.2, 0.9, f["earrings"] + 1.2 * (female - male) - 0.5)),
        earring_drop=float(ndtr(1.2 * f["earring_drop"] - 0.5)),
        earring_gold=float(ndtr(1.5 * f["earring_gold"])),
        neckline_v=float(smooth_step(-0.3, 1.5, f["neckline_v"])),
        jacket=float(smooth_step(0.1, 0.6, f["jacket"])),
        jacket_color=tinted_color(
            0.07, 0.7 * f["jacket_light"], 0.12 * f["jacket_red"], 0.16 * f["jacket_blue"]
        ),
        hair_style=_hair_style(f),
        skin_unevenness=float(ndtr(1.2 * f["skin_unevenness"])),
        hat=0 if f["hat"] < _HAT_FROM else 1 + int(f["hat_tilt"] > 0),
        hat_color=tinted_color(
            0.10, 0.8 * f["hat_light"], 0.22 * f["hat_red"], 0.24 * f["hat_blue"]
        ),
    )


class _Person(NamedTuple):
    """What other numbers of a person depend on."""

    gender: float  # 0 female … 1 male
    male: float  # the same with a sharper step between them
    female: float  # 1 - male
    age: float  # as `Identity.age`
    ancestry: tuple[float, float, float]
    tone: float  # of the skin


def _person(f: Factors) -> _Person:
    gender = _sigmoid(7.0 * f["gender"])
    male = _sigmoid(14 * (gender - 0.5))
    age = float(0.31 + 0.61 * ndtr(f["age"]) ** 1.2)
    ancestry = _ancestry(f["ancestry_0"], f["ancestry_1"])
    tone = _clip(average_tone(ancestry) + 0.09 * f["skin_tone"], 0.02, 0.95)
    return _Person(gender, male, 1 - male, age, ancestry, tone)


def _ancestry(first: float, second: float) -> tuple[float, float, float]:
    """Two normals → three shares, symmetric in the three."""
    corners = np.array([[0.0, 1.0], [-(3**0.5) / 2, -0.5], [3**0.5 / 2, -0.5]])
    scores = np.exp(1.8 * (corners @ np.array([first, second])))
    shares = scores / scores.sum()
    return float(shares[0]), float(shares[1]), float(shares[2])


def _shape(f: Factors) -> tuple[float, ...]:
    """Standard deviations [20] along the mesh's shape basis."""
    draws = np.array([f[f"shape_{i}"] for i in range(NUM_SHAPE_FACTORS)])
    return tuple((_SHAPE_SIGMA * np.clip(draws, -2.2, 2.2)).tolist())


class _Hair(NamedTuple):
    """Colour of the hair, and how it is worn where its numbers depend on each other."""

    color: Color
    length_dm: float  # not yet clipped
    fringe_dm: float
    curl: float
    tied: float
    sweep: float


def _hair(f: Factors, person: _Person) -> _Hair:
    """Tied hair is short at the sides and has no fringe; a fringe is not swept."""
    male, ancestry = person.male, person.ancestry
    length = 0.65 * f["hair_length"] + 1.0 * (person.female - male) + 0.06
    tied = float(smooth_step(0.5, 1.3, f["hair_tied"] - 0.3 * male) * smooth_step(0, 0.5, length))
    fringe = float(np.clip(0.22 * f["fringe"] - 0.16, 0, 0.40) * (1 - tied))
    fringe *= float(smooth_step(0.02, 0.12, fringe) * _sigmoid(4 * (length + 0.3)))
    swept = smooth_step(-1.6, 0.9, f["hair_sweep"]) * (1 - tied)
    old = smooth_step(0.55, 0.68, person.age)
    grey = float(np.clip(3 * (person.age - 0.77) + 0.2 * f["hair_grey"], 0, 0.9) * old)
    shade = hair_shade(ancestry, f["hair_shade"])
    return _Hair(
        color=hair_color(shade, f["hair_red"], grey, ancestry),
        length_dm=length + (-0.25 - length) * tied,
        fringe_dm=fringe,
        curl=float(smooth_step(-0.9, 2.2, f["hair_curl"] + 2.2 * ancestry[0] - 0.8 * ancestry[1])),
        tied=tied,
        sweep=float(swept * (1 - smooth_step(0.0, 0.12, fringe))),
    )


def _hair_style(f: Factors) -> int:
    """Index into `HAIR_STYLES` of the style with the highest score."""
    scores = [
        f[f"hair_style_{name}"]
        + constant
        + sum(share * f[of] for share, of in zip(shares, _HAIR_SCORE_FACTORS, strict=True))
        for name, (constant, *shares) in _HAIR_SCORES.items()
    ]
    return int(np.argmax(scores))


def _collar(shirt: Color, light: float) -> Color:
    """The shirt's colour, lighter or darker."""
    red, green, blue = (min(c * float(np.exp(0.5 * light)), 0.9) for c in shirt)
    return red, green, blue


def _clip(value: float, low: float, high: float) -> float:
    return float(np.clip(value, low, high))


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))
