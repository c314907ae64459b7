"""Measures of a face that can be carried from one face over to another.

    head's turn, place and size · openings of the eyes · gaze · brows · shape of the lips

All but the first are read in the face's own frame (`head_frame`), where movements are sums: what a
driver's face does beyond its rest is added to another face's rest. Eyes differ in how far they
open, most of all between photographs and renders, so that openings are shares of the usual one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.motion.head_frame import HeadFrames

F64 = NDArray[np.float64]

TURN = slice(0, 3)  # yaw, pitch, roll in degrees
PLACE = slice(3, 6)  # x and y of the point between the eyes, logarithm of their distance
EYES = slice(6, 8)  # openings of the right and the left one, by the usual one
GAZE = slice(8, 10)  # of both pupils, to the left side of the face and down
BROWS = slice(10, 14)  # heights: right inner and outer, left inner and outer
LIPS = slice(14, 94)  # x and y of 40 points from their middle
NUM_MEASURES = 94
USUAL_OPENING = 0.3  # of the eyes of people, lid from lid by corner from corner, about
_USUAL_QUANTILE = 0.75  # of the openings of a clip: eyes are open most of the time
_LEAST_USUAL = 0.8  # of `USUAL_OPENING`: a face seen with half-closed eyes opens them further

# Of each eye: its corners, pairs of points of its lids, and its pupil.
EYE_POINTS = (
    ((33, 133), ((160, 144), (159, 145), (158, 153)), 468),
    ((362, 263), ((385, 380), (386, 374), (387, 373)), 473),
)
_BROW_POINTS = ((107, 66, 55), (105, 63), (336, 296, 285), (334, 293))
LIP_POINTS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 95, 88, 178, 87, 14, 317, 402, 318, 324),
)
_LIP_MIDDLE = (61, 291, 0, 17)
_GAZE_SHARE = np.array([0.35, 1.0])  # looking aside pulls the head along, and hardly shows
_NUM_REST = 5  # frames whose mean is the rest
_SURELY_REST_DEG = 10.0  # of turning away, as bad as lips apart by half a distance of the eyes


def eye_openings(local: F64) -> F64:
    """How far the eyes are open [T, 2]: lid from lid by corner from corner."""
    return np.stack(
        [
            np.mean([_distance(local, *pair) for pair in lids], axis=0) / _distance(local, *corners)
            for corners, lids, _ in EYE_POINTS
        ],
        1,
    )


def gazes(local: F64) -> F64:
    """Where the pupils are from the middles of the eyes [T, 2], in widths of an eye."""
    places = [
        (local[:, pupil, :2] - local[:, list(corners), :2].mean(1))
        / _distance(local, *corners)[:, None]
        for corners, _, pupil in EYE_POINTS
    ]
    return np.asarray(np.mean(places, axis=0))


def usual_openings(openings: F64) -> F64:
    """The usual openings [2] of the eyes of a clip [T, 2]."""
    return np.maximum(np.quantile(openings, _USUAL_QUANTILE, axis=0), 1e-3)


def face_measures(heads: HeadFrames, usual: F64) -> F64:
    """The measures [T, 94] of heads, see above.

    Args:
        heads: of points in fractions of the frame, or in another unit if places do not matter.
        usual: [2] openings of these eyes, see `usual_openings`.
    """
    local = heads.local
    brows = np.stack([-local[:, list(some), 1].mean(1) for some in _BROW_POINTS], 1)
    lips = local[:, list(LIP_POINTS), :2]
    lips = lips - local[:, list(_LIP_MIDDLE), :2].mean(1, keepdims=True)
    size = np.log(heads.size)[:, None]
    openings = eye_openings(local) / usual
    parts = (heads.angles_deg, heads.place[:, :2], size, openings, gazes(local), brows)
    return np.concatenate([*parts, lips.reshape(len(lips), -1)], 1)


def still_usual_openings(openings: F64) -> F64:
    """The usual openings [2] of the eyes of one picture [1, 2], which may show them half closed."""
    return np.asarray(np.maximum(openings[0], _LEAST_USUAL * USUAL_OPENING))


def rest_frames(measures: F64) -> NDArray[np.intp]:
    """The frames of a clip in which the face is nearest to rest, the nearest first.

    At rest the head is where it mostly is, the eyes are as open as usual, and the lips are as they
    mostly are.

    Args:
        measures: [T, 94].
    """
    away = measures - np.median(measures, axis=0)
    turned = np.abs(away[:, TURN]).sum(1) / _SURELY_REST_DEG
    eyes = np.abs(measures[:, EYES] - 1).sum(1)
    lips = np.sqrt(np.square(away[:, LIPS]).sum(1))
    return np.argsort(turned + eyes + lips, kind="stable")[:_NUM_REST]


def carried_over(
    driver: F64, driver_rest: F64, person: F64, place_of_turn: F64, *, relative: bool
) -> F64:
    """The measures [T, 94] of a person who does what a driver does.

    Place and size are those that turning brings: the driver's own say how the camera was held.

    Args:
        driver: [T, 94].
        driver_rest: [94] of the driver's face at rest.
        person: [94] of the person at rest.
        place_of_turn: [3, 3], from angles to places and sizes.
        relative: the head turns from where the person's is by what the driver's turned since rest;
            else it is turned as the driver's.
    """
    target = person + (driver - driver_rest)
    target[:, EYES] = driver[:, EYES].mean(1, keepdims=True)
    target[:, GAZE] = person[GAZE] + _GAZE_SHARE * (driver - driver_rest)[:, GAZE]
    if not relative:
        target[:, TURN] = driver[:, TURN]
    target[:, PLACE] = person[PLACE] + (target[:, TURN] - person[TURN]) @ place_of_turn
    return np.asarray(target)


def _distance(local: F64, a: int, b: int) -> F64:
    return np.asarray(np.linalg.norm(local[:, a] - local[:, b], axis=1))
