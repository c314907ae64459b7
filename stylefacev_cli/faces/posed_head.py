"""A head in a pose: vertices with expression, gaze, camera, and landmarks in the picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.camera import (
    NECK_PIVOT,
    View,
    gaze_directions,
    make_view,
    project,
    turn_points,
)
from stylefacev_cli.faces.eyes import lid_curves
from stylefacev_cli.faces.head import Head
from stylefacev_cli.faces.landmarks import (
    FACE_AXIS,
    INNER_LIPS,
    JAW,
    jaw_rows,
    landmark_points,
    lids_meeting,
    march,
)
from stylefacev_cli.faces.mesh import FaceMesh
from stylefacev_cli.faces.palette import smooth_step
from stylefacev_cli.faces.parameters import Pose, expression_weights
from stylefacev_cli.faces.wrinkles import wrinkle_depths

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_LIT_GAP_DM = 0.06  # between the lips, from which light reaches the teeth fully
_TURNED_AWAY = 0.02  # head heights between the jaw's line and the outline that hides it


class SeenLandmarks(NamedTuple):
    """The 98 landmarks before the camera."""

    points: F64  # [98, 2] fractions of the frame, x right, y down
    depth: F64  # [98] window depth
    turned_away: NDArray[np.bool_]  # [98] the jaw's line itself lies behind the outline


class PosedHead(NamedTuple):
    """A head with an expression, before the camera.

    The vertices are not yet turned about the neck; the shaders and `landmarks` do that.
    """

    head: Head
    vertices: F32  # [V, 3]
    expressions: F32  # [52]
    gaze: F64  # [2, 3] unit vectors of left and right eye in the head's frame
    view: View
    wrinkles: F64  # [4] depths of the groups of folds

    def lips_parted(self) -> float:
        """How far the lips are open, 0 closed … 1 clearly open; decides the light on the teeth."""
        upper, lower = landmark_points(self.head.landmarks, self.vertices)[list(INNER_LIPS)]
        return float(smooth_step(0.0, _LIT_GAP_DM, upper[1] - lower[1]))

    def lid_curves(self) -> F32:
        """Where the lids cross the eyeballs (see `eyes.lid_curves`)."""
        points = lids_meeting(landmark_points(self.head.landmarks, self.vertices))
        return lid_curves(points, self.head.eye_centers, self.head.eye_radius)

    def world_gaze(self) -> F64:
        """Unit vectors of the gaze [2, 3], left and right eye, after the head's rotation."""
        both = np.ones(len(self.gaze))
        turned: F64 = turn_points(self.view, NECK_PIVOT + self.gaze, both) - NECK_PIVOT
        return turned

    def landmarks(self) -> SeenLandmarks:
        """The landmarks in the picture; those of the jaw lie on the visible outline."""
        points = lids_meeting(landmark_points(self.head.landmarks, self.vertices))
        pupils = self.head.eye_centers + self.head.eye_radius * self.gaze
        points = np.concatenate([points, pupils[::-1]])  # 96 is the right pupil, 97 the left
        shares = self.head.landmark_shares
        seen, depth = project(self.view, turn_points(self.view, points, shares))

        jaw = jaw_rows()
        row_points = landmark_points(jaw, self.vertices).reshape(-1, 3)
        row_shares = np.repeat(shares[JAW], jaw.vertices.shape[1])
        rows, row_depth = project(self.view, turn_points(self.view, row_points, row_shares))
        rows = rows.reshape(*jaw.vertices.shape[:2], 2)
        row_depth = row_depth.reshape(rows.shape[:2])
        axis, _ = project(self.view, turn_points(self.view, FACE_AXIS[None], np.ones(1)))
        chosen = march(rows, axis[0], self.view.head_fraction)
        outline = (rows * chosen[..., None]).sum(1)
        turned_away = np.zeros(len(seen), np.bool_)
        slid = np.linalg.norm(outline - seen[JAW], axis=1)
        turned_away[JAW] = slid > _TURNED_AWAY * self.view.head_fraction
        seen[JAW], depth[JAW] = outline, (row_depth * chosen).sum(1)
        return SeenLandmarks(seen, depth, turned_away)


def pose_head(mesh: FaceMesh, head: Head, pose: Pose) -> PosedHead:
    """The head in a pose: with expression, gaze and place before the camera."""
    expressions = expression_weights(pose, mesh.expression_names)
    active = np.flatnonzero(expressions > 1e-4)
    offsets = np.einsum("e,ev->v", expressions[active], mesh.expression_offsets[active])
    return PosedHead(
        head=head,
        vertices=head.vertices + offsets.reshape(-1, 3),
        expressions=expressions,
        gaze=gaze_directions(pose.gaze_x_rad, pose.gaze_y_rad),
        view=make_view(
            pose.yaw_deg,
            pose.pitch_deg,
            pose.roll_deg,
            pose.head_fraction,
            pose.shift_x,
            pose.shift_y,
        ),
        wrinkles=wrinkle_depths(head.identity, pose, pictured=head.skin is not None),
    )
