"""The camera, and the head's rotation about the neck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

NECK_PIVOT = np.array([0.0, 6.75, 0.3])  # dm, the point about which the head turns
LOOK_AT = np.array([0.0, 7.31, 0.6])
FIELD_OF_VIEW_DEG = 12.0  # a portrait lens: a wide one swells the nose
_HEAD_HEIGHT_DM = 2.25


@dataclass(frozen=True)
class View:
    """A posed head seen by a camera.

    axis [3] and angle (rad) turn the head about the neck; view_projection [4, 4] takes the turned
    points to clip space; position [3] is the camera's; head_fraction the head's height in frames.
    """

    axis: F64
    angle: float
    view_projection: F64
    position: F64
    head_fraction: float


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> F64:
    """Rotation matrix [3, 3]: yaw to +x, pitch up, roll anticlockwise for the viewer."""
    y, p, r = np.radians([yaw_deg, -pitch_deg, roll_deg])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(turn @ nod @ tilt)


def axis_angle(matrix: F64) -> tuple[F64, float]:
    """Axis [3] (unit) and angle in radians of a rotation of less than half a turn."""
    angle = float(np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1)))
    skew = matrix - matrix.T
    axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    length = float(np.linalg.norm(axis))
    if length < 1e-9:
        return np.array([0.0, 1.0, 0.0]), 0.0
    return axis / length, angle


def make_view(
    yaw_deg: float,
    pitch_deg: float,
    roll_deg: float,
    head_fraction: float,
    shift_x: float,
    shift_y: float,
) -> View:
    """Place head and camera so that the head is `head_fraction` frames high (see `Pose`)."""
    axis, angle = axis_angle(rotation(yaw_deg, pitch_deg, roll_deg))
    focal = 1 / np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2)
    distance = focal * _HEAD_HEIGHT_DM / (2 * head_fraction)
    position = LOOK_AT + np.array([0, 0, distance])
    near, far = max(distance - 4, 0.3), distance + 5
    depth, offset = -(far + near) / (far - near), -2 * far * near / (far - near)
    projection = np.array(
        [[focal, 0, 0, 0], [0, focal, 0, 0], [0, 0, depth, offset], [0, 0, -1, 0]]
    )
    shift, move = np.eye(4), np.eye(4)
    shift[:2, 3] = 2 * shift_x, 2 * shift_y  # clip space is two units wide; acts on w
    move[:3, 3] = -position
    return View(axis, angle, shift @ projection @ move, position, head_fraction)


def turn_points(view: View, points: F64, shares: NDArray[np.floating]) -> F64:
    """Turn points [N, 3] about the neck, each by its share [N] of the head's angle."""
    a = (view.angle * shares)[:, None]
    q, axis = points - NECK_PIVOT, view.axis[None]
    along = (q @ view.axis)[:, None]
    turned = q * np.cos(a) + np.cross(axis, q) * np.sin(a) + axis * along * (1 - np.cos(a))
    return np.asarray(turned + NECK_PIVOT)


def project(view: View, points: F64) -> tuple[F64, F64]:
    """World points [N, 3] → (x right, y down) as fractions of the frame [N, 2], and depth [N].

    The depth is the window depth in [0, 1] that the depth buffer holds.
    """
    clip = np.column_stack([points, np.ones(len(points))]) @ view.view_projection.T
    ndc = clip[:, :3] / clip[:, 3:]
    place = np.stack([ndc[:, 0] * 0.5 + 0.5, 0.5 - ndc[:, 1] * 0.5], 1)
    return place, ndc[:, 2] * 0.5 + 0.5


def gaze_directions(gaze_x_rad: float, gaze_y_rad: float) -> F64:
    """Unit gaze vectors of left and right eye in the head's frame, [2, 3], slightly parted."""
    forward = [
        np.sin(gaze_x_rad) * np.cos(gaze_y_rad),
        np.sin(gaze_y_rad),
        np.cos(gaze_x_rad) * np.cos(gaze_y_rad),
    ]
    both = np.array([forward, forward])
    both[:, 0] += [0.03, -0.03]  # without it people look cross-eyed
    return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True))
