"""The parameters of a picture as named numbers: identity, scene and pose.

These three dataclasses are the renderer's only input. `factors.FaceFactors` maps latents to them
and back; labels are written from them. Colours are linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


# Ten styles of cards (see `hair_cards`), shells that grow from the scalp, and a shaved head.
HAIR_STYLES = (
    *("bob01", "bob02", "long01", "ponytail01", "braid01"),
    *("short01", "short02", "short03", "short04", "afro01"),
    *("shells", "shaved"),
)


@dataclass(frozen=True)
class Identity:
    """A person with hair and clothes: what stays the same in all clips of the person."""

    gender: float  # 0 female … 1 male
    age: float  # MakeHuman's: 0.5 about 25 years, 1 about 90
    ancestry: tuple[float, float, float]  # african, asian, caucasian shares, sum 1
    weight: float  # 0 thin … 1 heavy
    shape: tuple[float, ...]  # [20] standard deviations along the mesh's shape basis
    skin_tone: float  # 0 light … 1 dark
    ruddiness: float  # 0 … 1
    make_up: float  # 0 none … 1 full: lips, lids, cheeks
    brow_height_dm: float  # offset from the average
    brow_arch_dm: float  # height of the arch
    brow_thickness_dm: float  # half thickness at the inner end
    brow_slant_dm: float  # how much lower the inner end is
    beard: float  # 0 none … 1 full
    hair_color: tuple[float, float, float]  # linear RGB of the strands
    hairline_dm: float  # offset of the hairline's height
    recession: float  # 0 … 1.2, receding temples
    hair_length_dm: float  # length below the hairline at the sides; ≤ 0 short
    fringe_dm: float  # length of the hair over the forehead
    hair_volume_dm: float  # thickness over the scalp
    quiff: float  # extra height above the forehead, short hair
    parting: float  # -1 right … 1 left
    iris_shade: float  # 0 dark brown … 1 grey
    shirt_color: tuple[float, float, float]
    collar_color: tuple[float, float, float]
    neckline_dm: float  # height of the shirt's neckline
    hair_curl: float  # 0 straight … 1 tight curls
    hair_sweep: float  # 0 combed back or down … 1 from the parting to the sides
    hair_tied: float  # 0 loose … 1 tied behind the head
    glasses: float  # 0 none … 1 worn; between, frames fade in
    glasses_width: float  # -1 narrow … 1 wide
    glasses_height: float  # -1 low … 1 high
    glasses_square: float  # 0 round … 1 square
    glasses_weight: float  # 0 thin wire … 1 thick
    glasses_color: tuple[float, float, float]
    earrings: float  # 0 none … 1 worn; between, they grow
    earring_drop: float  # 0 stud … 1 hanging
    earring_gold: float  # 0 silver … 1 gold
    neckline_v: float  # 0 round … 1 pointed
    jacket: float  # 0 none … 1 worn open over the shirt
    jacket_color: tuple[float, float, float]
    hair_style: int  # index into HAIR_STYLES
    skin_unevenness: float  # 0 smooth … 1 pores, blotches and, on light skin, freckles
    hat: int  # 0 none, 1 worn straight, 2 worn aslant
    hat_color: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """Light and background: constant in a clip."""

    light_azimuth_deg: float  # 0 front, positive from +x (the viewer's right)
    light_elevation_deg: float
    light_temperature: float  # -1 cold … 1 warm
    key_light: float  # strength of the main light
    sky_light: float  # strength of the ambient light
    side_light: float  # fill light from a side, positive from +x
    background_color: tuple[float, float, float]
    background_shading: tuple[float, float, float]  # log gradients: right, up, centre
    backdrop_floor: tuple[float, float]  # height of the wall's lower part, and its log brightness
    backdrop_panel: tuple[float, float, float]  # a door, window or shelf: place, width, brightness
    backdrop_lights: tuple[float, float, float]  # blurred lamps: brightness, and where
    backdrop_warmth: float  # of floor, panel and lights against the wall
    backdrop_blur: float  # width of the blurred edges, frames


@dataclass(frozen=True)
class Pose:
    """Expression, head pose, gaze and framing: all that moves in a clip."""

    jaw: float = 0.0  # 0 closed … 0.8 open
    smile: float = 0.0  # -1 frown … 1 smile
    pucker: float = 0.0  # -1 stretched … 1 puckered
    lips: float = 0.0  # 0 … 0.6, lips drawn from the teeth
    press: float = 0.0  # 0 … 0.6, lips pressed
    brows: float = 0.0  # -1 drawn down … 1 raised
    blink: float = 0.0  # 0 open … 1 closed
    squint: float = 0.0  # -1 wide open … 1 squinting
    gaze_x_rad: float = 0.0  # relative to the head, positive to +x
    gaze_y_rad: float = 0.0  # positive up
    yaw_deg: float = 0.0  # positive to +x, the viewer's right
    pitch_deg: float = 0.0  # positive up
    roll_deg: float = 0.0  # positive anticlockwise for the viewer
    shift_x: float = 0.0  # fraction of the frame, positive right
    shift_y: float = 0.0  # fraction of the frame, positive up
    head_fraction: float = 0.84  # height of the head in frames


POSE_NAMES = tuple(field.name for field in fields(Pose))


def flatten(parameters: Identity | Scene | Pose) -> tuple[list[str], F32]:
    """Names and values of all numbers of a dataclass; tuples give `name[0]`, `name[1]`, …."""
    names: list[str] = []
    values: list[float] = []
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if isinstance(value, tuple):
            names += [f"{field.name}[{i}]" for i in range(len(value))]
            values += value
        else:
            names.append(field.name)
            values.append(value)
    return names, np.array(values, np.float32)


_LIDS_AT_REST = 0.02


def expression_weights(pose: Pose, names: NDArray[np.str_]) -> F32:
    """The 52 expression weights of a pose, [52] in [0, 1.1], in the order of `names`.

    A name without Left or Right stands for both sides.
    """
    eyes_open = 1.0 - pose.blink
    smile, frown = max(pose.smile, 0.0), max(-pose.smile, 0.0)
    pucker, stretch = max(pose.pucker, 0.0), max(-pose.pucker, 0.0)
    raised, lowered = max(pose.brows, 0.0), max(-pose.brows, 0.0)
    gaze_x, gaze_y = pose.gaze_x_rad, pose.gaze_y_rad
    wanted = {
        "jawOpen": pose.jaw,
        # At rest the corners of the mouth lie a little higher than the mesh has them.
        "mouthSmile": 0.18 * (1.0 - min(frown, 1.0)) + 0.85 * smile + 0.25 * stretch,
        "mouthDimple": 0.3 * smile,
        "cheekSquint": 0.5 * smile * eyes_open,
        "mouthFrown": 0.6 * frown,
        "mouthPucker": 0.9 * pucker,
        "mouthFunnel": 0.5 * pucker,
        "mouthStretch": 0.5 * stretch + 0.12 * smile,
        "mouthUpperUp": 0.6 * pose.lips + 0.12 * pose.jaw,
        "mouthLowerDown": pose.lips,
        "mouthPress": pose.press,
        "mouthRollLower": 0.5 * pose.press,
        "browInnerUp": 0.6 * raised,
        "browOuterUp": 0.8 * raised,
        "browDown": 0.6 * lowered,
        # The mesh's eyes are wide open; at rest the lids cover some of the iris.
        "eyeBlink": pose.blink + _LIDS_AT_REST * eyes_open,
        "eyeSquint": (max(pose.squint, 0.0) + 0.08 * smile) * eyes_open,
        "eyeWide": max(-pose.squint, 0.0) * eyes_open,
        # Lids and the skin around the eyes follow the gaze.
        "eyeLookOutLeft": 1.3 * max(gaze_x, 0.0),
        "eyeLookInLeft": 1.3 * max(-gaze_x, 0.0),
        "eyeLookOutRight": 1.3 * max(-gaze_x, 0.0),
        "eyeLookInRight": 1.3 * max(gaze_x, 0.0),
        "eyeLookUp": 1.6 * max(gaze_y, 0.0),
        "eyeLookDown": 1.6 * max(-gaze_y, 0.0),
    }
    weights = np.zeros(len(names), np.float32)
    for i, name in enumerate(names):
        stem = str(name).removesuffix("Left").removesuffix("Right")
        weights[i] = wanted.get(str(name), wanted.get(stem, 0.0))
    return np.clip(weights, 0.0, 1.1)
