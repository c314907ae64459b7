"""Latents as faces: z [256] ↔ identity, scene and pose.

The first dimensions of z are the factors of variation, each standard normal: `identity`, `scene`,
`pose`. The rest, `filler`, says nothing; it is rescaled so that the RMS of z is exactly 1. A
generator's mapping network normalises z to RMS 1, so the factors reach it unchanged, all frames of
a person share their identity dimensions, and z ~ N(0, I) stays a proper latent: its factors are
standard normal up to the few per cent of its norm's spread.

Within identity, scene and pose the factors' places and signs are a fixed permutation, so that no
factor hangs on the first number of a random generator's stream. `value` and `place` read it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from stylefacev_cli.faces.palette import (
    average_tone,
    hair_color,
    hair_shade,
    smooth_step,
    tinted_color,
)
from stylefacev_cli.faces.parameters import (
    HAIR_STYLES,
    POSE_NAMES,
    Identity,
    Pose,
    Scene,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

Z_DIM = 256
NUM_SHAPE_FACTORS = 20

_IDENTITY_NAMES = (
    *("gender", "age", "ancestry_0", "ancestry_1", "weight"),
    *(f"shape_{i}" for i in range(NUM_SHAPE_FACTORS)),
    *("skin_tone", "ruddiness", "make_up"),
    *("brow_height", "brow_arch", "brow_thickness", "brow_slant"),
    *("beard", "hair_shade", "hair_red", "hair_grey", "hairline", "recession"),
    *("hair_length", "fringe", "hair_volume", "quiff", "parting", "iris_shade"),
    *("shirt_light", "shirt_red", "shirt_blue", "collar_light", "neckline"),
    *("hair_curl", "hair_sweep", "hair_tied"),
    *("glasses", "glasses_width", "glasses_height", "glasses_square", "glasses_weight"),
    *("glasses_light", "glasses_red", "earrings", "earring_drop", "earring_gold"),
    *("neckline_v", "jacket", "jacket_light", "jacket_red", "jacket_blue"),
    *(f"hair_style_{name}" for name in HAIR_STYLES),
    *("skin_variant", "hat", "hat_tilt", "hat_light", "hat_red", "hat_blue"),
)
_SCENE_NAMES = (
    *("light_azimuth", "light_elevation", "light_temperature"),
    *("key_light", "sky_light", "side_light"),
    *("background_light", "background_red", "background_blue"),
    *("background_right", "background_up", "background_centre"),
    *("floor_height", "floor_light", "panel_place", "panel_width", "panel_light"),
    *("lamps", "lamps_right", "lamps_up", "backdrop_warmth", "backdrop_blur"),
)


@dataclass(frozen=True)
class FramingRange:
    """How far heads turn and move in the frame; a curriculum widens it.

    Sigmas are standard deviations of normal draws, limits clip them.
    """

    yaw_sigma_deg: float = 10.0
    yaw_limit_deg: float = 25.0
    pitch_sigma_deg: float = 5.0
    pitch_limit_deg: float = 14.0
    roll_sigma_deg: float = 3.0
    roll_limit_deg: float = 12.0
    shift_sigma: float = 0.015  # fraction of the frame
    shift_limit: float = 0.06
    size_sigma: float = 0.03  # of the logarithm of the head's height
    size_limit: float = 0.1
    head_fraction: float = 0.84  # height of the head in frames

    @classmethod
    def named(cls, name: str) -> FramingRange:
        """One of `FRAMINGS`.

        Raises:
            KeyError: any other name.
        """
        return FRAMINGS[name]


CANONICAL = FramingRange()  # eyes nearly in place
UNALIGNED = FramingRange(  # as a tracker's box cuts talking heads out of footage
    yaw_sigma_deg=13.0,
    yaw_limit_deg=35.0,
    pitch_sigma_deg=6.0,
    pitch_limit_deg=17.0,
    roll_sigma_deg=4.0,
    roll_limit_deg=14.0,
    shift_sigma=0.03,
    shift_limit=0.08,
    size_sigma=0.07,
    size_limit=0.18,
    head_fraction=0.74,
)
WIDE = FramingRange(  # off-centre, small and turned heads
    yaw_sigma_deg=16.0,
    yaw_limit_deg=45.0,
    pitch_sigma_deg=7.0,
    pitch_limit_deg=20.0,
    roll_sigma_deg=5.0,
    roll_limit_deg=15.0,
    shift_sigma=0.05,
    shift_limit=0.09,
    size_sigma=0.1,
    size_limit=0.2,
    head_fraction=0.66,
)
FRAMINGS = {"canonical": CANONICAL, "unaligned": UNALIGNED, "wide": WIDE}

_SHAPE_SIGMA = 0.5  # at 1 cheeks bulge and jaws are tiny or huge

# Mean, standard deviation near it, lowest and highest value of what expression and gaze are made
# of; the framing adds its own. A clipped normal is flat where a face is at rest.
_POSE_RANGES = {
    "jaw": (0.0, 0.16, 0.0, 0.8),
    "smile": (0.34, 0.22, -0.35, 1.1),
    "pucker": (-0.02, 0.13, -0.8, 0.8),
    "lips": (0.02, 0.13, 0.0, 0.6),
    "press": (-0.25, 0.25, 0.0, 0.6),
    "brows": (0.14, 0.16, -0.8, 1.0),
    "blink": (-1.05, 1.0, 0.0, 1.0),
    "squint": (-0.08, 0.13, -0.7, 0.8),
    "gaze_x_rad": (0.0, 0.12, -0.5, 0.5),
    "gaze_y_rad": (0.0, 0.06, -0.35, 0.35),
}
# Most faces are nearly at rest, and yet those of speech are no rarer than clips show them:
# value = mean + sigma · (x + _TAIL · x³) of a factor x, for these.
_TAIL = 0.12
_TAILED = ("jaw", "smile", "pucker", "lips", "press", "brows", "squint")
# Parts of a face move together: each target follows its source's distance from the mean.
_FOLLOWS = {
    ("squint", "smile"): 0.12,
    ("pucker", "smile"): -0.18,
    ("lips", "smile"): 0.10,
    ("brows", "jaw"): 0.25,
    ("press", "jaw"): -0.6,
}
# Eyes stay on their target while the head turns: shares of yaw and pitch they make up for.
_GAZE_AGAINST_YAW = 0.3
_GAZE_AGAINST_PITCH = 0.3
_EYE_LIMITS_RAD = {"gaze_x_rad": (-0.55, 0.55), "gaze_y_rad": (-0.4, 0.4)}

# The style of hair with the highest score: its own factor, a constant, and shares of the factors
# gender (positive: male), age, ancestry_1 (positive: african) and hair_curl. The constants make all
# styles of cards about equally frequent; the boundaries between styles are straight in z.
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
_HAT_FROM = 1.75  # of the factor: one in 25
# Of layouts 0 to 399 one in which seeds 0 to 19 of numpy.random.RandomState, whose first numbers
# are no fair draw, hold as many women as men and every style of hair; all layouts have the same
# distribution.
_LAYOUT_SEED = 31


def _permuted() -> tuple[tuple[str, ...], F32]:
    """Names and signs of the factors by their places in z."""
    rng = np.random.RandomState(_LAYOUT_SEED)
    names: list[str] = []
    for block in (_IDENTITY_NAMES, _SCENE_NAMES, POSE_NAMES):
        names += [block[i] for i in rng.permutation(len(block))]
    return tuple(names), np.where(rng.rand(len(names)) < 0.5, -1, 1).astype(np.float32)


class FaceFactors:
    """The latent's layout, and the maps between latents and parameters.

    `identity`, `scene`, `pose` and `filler` are slices of z; `names` and `signs` say which factor
    is at each place before the filler, and whether it is negated there.
    """

    names, signs = _permuted()
    identity = slice(0, len(_IDENTITY_NAMES))
    scene = slice(identity.stop, identity.stop + len(_SCENE_NAMES))
    pose = slice(scene.stop, scene.stop + len(POSE_NAMES))
    filler = slice(pose.stop, Z_DIM)
    _pose_names = names[pose]
    _pose_signs = signs[pose].astype(np.float64)

    def __init__(self, framing: FramingRange = CANONICAL) -> None:
        self.framing = framing
        f = framing
        framed = {
            "yaw_deg": (0.0, f.yaw_sigma_deg, -f.yaw_limit_deg, f.yaw_limit_deg),
            "pitch_deg": (0.0, f.pitch_sigma_deg, -f.pitch_limit_deg, f.pitch_limit_deg),
            "roll_deg": (0.0, f.roll_sigma_deg, -f.roll_limit_deg, f.roll_limit_deg),
            "shift_x": (0.0, f.shift_sigma, -f.shift_limit, f.shift_limit),
            "shift_y": (0.0, f.shift_sigma, -f.shift_limit, f.shift_limit),
            "head_fraction": (0.0, f.size_sigma, -f.size_limit, f.size_limit),  # logarithm
        }
        table = np.array([{**_POSE_RANGES, **framed}[name] for name in self._pose_names])
        self._mean, self._sigma, self._low, self._high = table.T
        self._tail = np.array([_TAIL * (name in _TAILED) for name in self._pose_names])

    def value(self, z: F32, name: str) -> float:
        """A factor by name, of z [256] (KeyError: there is none of that name)."""
        place = self._place(name)
        return float(z[place] * self.signs[place])

    def with_values(self, z: F32, **values: float) -> F32:
        """Z [256] with some factors set by name; the filler keeps the RMS at 1."""
        new = z.astype(np.float64)
        for name, value in values.items():
            place = self._place(name)
            new[place] = value * self.signs[place]
        return self._fill(new)

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise KeyError(name)
        return self.names.index(name)

    def columns(self) -> list[str]:
        """What each place of z before the filler holds; a dash before the name: negated."""
        return [
            f"-{name}" if sign < 0 else name
            for name, sign in zip(self.names, self.signs, strict=True)
        ]

    def sample(self, rng: np.random.Generator) -> F32:
        """A new person in a new scene and pose: z [256], RMS 1."""
        return self._fill(rng.standard_normal(Z_DIM))

    def vary(self, z: F32, rng: np.random.Generator) -> F32:
        """The same person in a new scene and pose: z [256], RMS 1."""
        new = rng.standard_normal(Z_DIM)
        new[self.identity] = z[self.identity]
        return self._fill(new)

    def combine(self, identity_from: F32, pose_from: F32, scene_from: F32 | None = None) -> F32:
        """A in the pose of B: the ground truth of recomposition.

        Args:
            identity_from: z of A, who also gives the filler.
            pose_from: z of B.
            scene_from: z of the light and background; A's own if None.
        """
        new = identity_from.astype(np.float64)
        new[self.pose] = pose_from[self.pose]
        if scene_from is not None:
            new[self.scene] = scene_from[self.scene]
        return self._fill(new)

    def with_poses(self, z: F32, factors: F32) -> F32:
        """Z in the poses of `factors` [T, P] (see `pose_factors`): [T, 256], each of RMS 1."""
        rows = []
        for row in factors:
            new = z.astype(np.float64)
            new[self.pose] = row
            rows.append(self._fill(new))
        return np.stack(rows)

    def pose_factors(self, pose: Pose) -> F32:
        """The factors [P] whose pose is `pose`, as far as it lies in the ranges."""
        values = np.array([getattr(pose, name) for name in self._pose_names])
        at = self._pose_names.index
        values[at("head_fraction")] = np.log(pose.head_fraction / self.framing.head_fraction)
        values[at("gaze_x_rad")] += _GAZE_AGAINST_YAW * np.radians(pose.yaw_deg)
        values[at("gaze_y_rad")] -= _GAZE_AGAINST_PITCH * np.radians(pose.pitch_deg)
        values = np.clip(values, self._low, self._high)
        for (target, source), share in _FOLLOWS.items():
            values[at(target)] -= share * (values[at(source)] - self._mean[at(source)])
        bent = (values - self._mean) / self._sigma
        return np.asarray(_unbend(bent, self._tail) * self._pose_signs, np.float32)

    def pose_of(self, z: F32) -> Pose:
        """Expression, head pose, gaze and framing of z [256]."""
        x = z[self.pose].astype(np.float64) * self._pose_signs
        drawn = self._mean + self._sigma * (x + self._tail * x**3)
        at = self._pose_names.index
        clipped = np.clip(drawn, self._low, self._high)
        for (target, source), share in _FOLLOWS.items():
            drawn[at(target)] += share * (clipped[at(source)] - self._mean[at(source)])
        clipped = np.clip(drawn, self._low, self._high)
        values = dict(zip(self._pose_names, clipped.tolist(), strict=True))
        values["head_fraction"] = self.framing.head_fraction * np.exp(values["head_fraction"])
        values["gaze_x_rad"] -= _GAZE_AGAINST_YAW * np.radians(values["yaw_deg"])
        values["gaze_y_rad"] += _GAZE_AGAINST_PITCH * np.radians(values["pitch_deg"])
        for name in ("gaze_x_rad", "gaze_y_rad"):
            values[name] = np.clip(values[name], *_EYE_LIMITS_RAD[name])
        return Pose(**{name: float(value) for name, value in values.items()})

    def identity_of(self, z: F32) -> Identity:
        """The person of z [256]."""
        f = self._named(z, self.identity)
        gender = float(_sigmoid(4.0 * f["gender"]))
        male = float(_sigmoid(14 * (gender - 0.5)))
        female = 1 - male
        age = float(0.31 + 0.61 * ndtr(f["age"]) ** 1.2)
        ancestry = _ancestry(f["ancestry_0"], f["ancestry_1"])
        tone = float(np.clip(average_tone(ancestry) + 0.09 * f["skin_tone"], 0.02, 0.95))
        ruddiness = float(max(0.42 + 0.18 * f["ruddiness"], 0) * (1 - 0.5 * tone))
        grown_up = float(smooth_step(0.4, 0.5, age))
        length = 0.65 * f["hair_length"] + 1.0 * (female - male) + 0.06
        tied = float(
            smooth_step(0.5, 1.3, f["hair_tied"] - 0.3 * male) * smooth_step(0, 0.5, length)
        )
        curl = float(smooth_step(-0.9, 2.2, f["hair_curl"] + 2.2 * ancestry[0] - 0.8 * ancestry[1]))
        fringe = float(np.clip(0.22 * f["fringe"] - 0.16, 0, 0.40) * (1 - tied))
        fringe *= float(smooth_step(0.02, 0.12, fringe) * _sigmoid(4 * (length + 0.3)))
        length = length + (-0.25 - length) * tied
        shade = hair_shade(ancestry, f["hair_shade"])
        shape = _SHAPE_SIGMA * np.clip(
            [f[f"shape_{i}"] for i in range(NUM_SHAPE_FACTORS)], -2.2, 2.2
        )
        grey = float(
            np.clip(3 * (age - 0.77) + 0.2 * f["hair_grey"], 0, 0.9) * smooth_step(0.55, 0.68, age)
        )
        shirt = tinted_color(
            0.24, 0.7 * f["shirt_light"], 0.16 * f["shirt_red"], 0.20 * f["shirt_blue"]
        )
        jacket = tinted_color(
            0.07, 0.7 * f["jacket_light"], 0.12 * f["jacket_red"], 0.16 * f["jacket_blue"]
        )
        collar = tuple(min(c * float(np.exp(0.5 * f["collar_light"])), 0.9) for c in shirt)
        return Identity(
            gender=gender,
            age=age,
            ancestry=ancestry,
            weight=float(np.clip(0.5 + 0.17 * f["weight"], 0.1, 0.95)),
            shape=tuple(shape.tolist()),
            skin_tone=tone,
            ruddiness=ruddiness,
            make_up=float(np.clip(0.15 + 0.4 * f["make_up"], 0, 1) * female),
            brow_height_dm=0.014 + 0.012 * f["brow_height"],
            brow_arch_dm=0.034 + 0.010 * f["brow_arch"],
            brow_thickness_dm=0.035 * female + 0.048 * male + 0.005 * f["brow_thickness"],
            brow_slant_dm=-0.002 + 0.007 * f["brow_slant"],
            beard=float(np.clip(0.6 * f["beard"] - 0.05, 0, 1) * male * grown_up),
            hair_color=hair_color(shade, f["hair_red"], grey, ancestry),
            hairline_dm=0.04 * f["hairline"],
            recession=float(
                np.clip(0.5 * f["recession"] - 0.1, 0, 1.2) * male * smooth_step(0.4, 0.6, age)
            ),
            hair_length_dm=float(np.clip(length, -0.9, 1.7)),
            fringe_dm=fringe,
            hair_volume_dm=float((0.15 + 0.05 * curl) * np.exp(0.28 * f["hair_volume"])),
            quiff=float(np.clip(0.15 + 0.3 * f["quiff"], 0, 0.8) * _sigmoid(-3 * length)),
            parting=float(np.clip(0.5 * f["parting"], -1, 1)),
            iris_shade=float(np.clip(hair_shade(ancestry, f["iris_shade"]) + 0.05, 0, 1)),
            shirt_color=shirt,
            collar_color=(collar[0], collar[1], collar[2]),
            neckline_dm=5.52 + 0.09 * f["neckline"],
            hair_curl=curl,
            hair_sweep=float(
                smooth_step(-1.6, 0.9, f["hair_sweep"])
                * (1 - tied)
                * (1 - smooth_step(0.0, 0.12, fringe))
            ),
            hair_tied=tied,
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
            jacket_color=jacket,
            hair_style=_hair_style(f),
            skin_variant=float(ndtr(1.5 * f["skin_variant"])),
            hat=0 if f["hat"] < _HAT_FROM else 1 + int(f["hat_tilt"] > 0),
            hat_color=tinted_color(
                0.10, 0.8 * f["hat_light"], 0.22 * f["hat_red"], 0.24 * f["hat_blue"]
            ),
        )

    def scene_of(self, z: F32) -> Scene:
        """Light and background of z [256]."""
        f = self._named(z, self.scene)
        return Scene(
            light_azimuth_deg=float(np.clip(38 * f["light_azimuth"], -85, 85)),
            light_elevation_deg=float(np.clip(32 + 13 * f["light_elevation"], 2, 70)),
            light_temperature=0.7 * f["light_temperature"],
            key_light=float(1.5 * np.exp(0.25 * f["key_light"])),
            sky_light=float(0.36 * np.exp(0.22 * f["sky_light"])),
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

    def _named(self, z: F32, block: slice) -> dict[str, float]:
        """The factors of a block by name."""
        values = z[block] * self.signs[block]
        return dict(zip(self.names[block], values.tolist(), strict=True))

    def _fill(self, draw: F64) -> F32:
        """Rescale the filler so that the RMS is 1; the factors stay as they are."""
        z = draw.astype(np.float32).astype(np.float64)
        used = z[: self.filler.start]
        filler = z[self.filler]
        rest = Z_DIM - float(used @ used)
        assert rest > 0, "factors so extreme do not occur"
        z[self.filler] = filler * np.sqrt(rest / float(filler @ filler))
        return z.astype(np.float32)


def _hair_style(f: dict[str, float]) -> int:
    """Index of the style with the highest score."""
    scores = [
        f[f"hair_style_{name}"]
        + constant
        + sum(share * f[of] for share, of in zip(shares, _HAIR_SCORE_FACTORS, strict=True))
        for name, (constant, *shares) in _HAIR_SCORES.items()
    ]
    return int(np.argmax(scores))


def _unbend(values: F64, tail: F64) -> F64:
    """The x [P] with x + tail · x³ = values, by Newton's method."""
    x = np.cbrt(values / np.maximum(tail, 1e-3))
    x = np.where(np.abs(x) < np.abs(values), x, values)
    for _ in range(40):
        x = x - (x + tail * x**3 - values) / (1 + 3 * tail * x * x)
    return np.asarray(x)


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def _ancestry(first: float, second: float) -> tuple[float, float, float]:
    """Two normals → three shares, symmetric in the three."""
    corners = np.array([[0.0, 1.0], [-(3**0.5) / 2, -0.5], [3**0.5 / 2, -0.5]])
    scores = np.exp(1.8 * (corners @ np.array([first, second])))
    shares = scores / scores.sum()
    return float(shares[0]), float(shares[1]), float(shares[2])
