"""A person who does what the face of a video does, by the face mesh on both.

    video → mesh → measures (turn, eyes, gaze, brows, lips)       (`motion.face_measures`)
    measures − those at rest + the person's own → poses           (the model's pose follower)

What the poses miss is found on some rendered frames of the same person, and aimed at once more;
all but the gaze, which hardly shows and would pull the head along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.detection.face_mesh import FaceMesh
    from stylefacev_cli.generation.requests import DriverSearchOptions
    from stylefacev_cli.networks.stylefacev.pose_follower import PoseFollower
    from stylefacev_cli.pipeline import Model, Person
    from stylefacev_cli.weights.manifest import Manifest

    F64 = NDArray[np.float64]
    U8 = NDArray[np.uint8]

AUTO = "auto"
_FIRST_REGION = (0.5, 0.52, 0.82, 0.0)  # around a generated face, in sides of the frame
_NUM_AIMED, _ROUNDS = 14, 2  # frames that are rendered to see what the poses miss, and how often
_DOUBT = 1.0  # of what is seen in one of them, in usual movements squared


@dataclass(frozen=True, eq=False)
class DrivingFace:
    """What the face of a video does.

    Attributes:
        measures: float64 [T, 94], see `motion.face_measures`.
        rest: float64 [94], of the face at rest.
        record: what records say of it.
    """

    measures: F64
    rest: F64
    record: dict[str, Any]


def follows_faces(manifest: Manifest, search: DriverSearchOptions) -> bool:
    """Whether poses come from the face mesh: the model can, and no other way is asked for."""
    from stylefacev_cli.detection import FACE_MESH

    is_asked = search.detector == FACE_MESH and search.crop is not False
    return "follower" in manifest.files and is_asked


def parse_rest(text: str) -> int | None:
    """The frame of `--rest`; None: `auto`.

    Raises:
        UsageError: anything else.
    """
    if text == AUTO:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"--rest {text[:40]!r}: give the number of a frame, from 0, or auto")
    return int(text)


def read_driving_face(
    path: Path,
    frames: Iterator[U8],
    fps: float,
    device: str,
    search: DriverSearchOptions,
    listener: Listener,
) -> DrivingFace:
    """The face of a video, frame by frame.

    Args:
        path: of the video, for messages.
        frames: uint8 [H, W, 3].
        fps: frames a second.
        device: for the face mesh.
        search: which face, smoothed or not, and its frame at rest.
        listener: receives notes and progress.

    Raises:
        DataError: the video cannot be read, or lacks a face for more than half a second.
        UsageError: it has no such frame at rest.
    """
    from stylefacev_cli.detection.face_finders import TrackRule
    from stylefacev_cli.detection.mesh_finder import MeshFinder
    from stylefacev_cli.motion.face_measures import (
        eye_openings,
        face_measures,
        rest_frames,
        usual_openings,
    )
    from stylefacev_cli.motion.head_frame import head_frames

    rest_frame = parse_rest(search.rest)
    with listener.doing(f"{path.name}: following the face with face-mesh"):
        finder = MeshFinder.load(device)
        rule = TrackRule(fps, face_number=search.face, smooth=search.smooth_face)
        track = finder.track(frames, rule, str(path))
    for note in track.notes:
        listener.note(f"{path}: {note}")
    track.check_whole(str(path))
    heads = head_frames(track.points)
    measures = face_measures(heads, usual_openings(eye_openings(heads.local)))
    if rest_frame is not None and rest_frame >= len(measures):
        raise UsageError(f"--rest {rest_frame}: {path} has the frames 0 to {len(measures) - 1}")
    at_rest = rest_frames(measures) if rest_frame is None else [rest_frame]
    record = {"finder": "face-mesh", "rest": int(at_rest[0])}
    return DrivingFace(measures, measures[at_rest].mean(0), record)


def poses_of_nobody(face: DrivingFace, model: Model) -> torch.Tensor:
    """The poses [T, 1, 8, 8] of a face on the model's mean person, for tracks."""
    import torch

    follower = _follower(model)
    rest = follower.mean_rest.double().cpu().numpy()
    targets = _targets(face, rest, follower, relative=False)
    pose = follower.mean_pose.view(1, 1, 8, 8)
    with torch.inference_mode():
        features = follower.features(_tensor(rest[None], model))
        poses: torch.Tensor = follower(follower.features(_tensor(targets, model)), features, pose)
    return poses.cpu()


def poses_of_person(face: DrivingFace, person: Person, *, relative: bool) -> torch.Tensor:
    """The poses [T, 1, 8, 8] in which a person does what a face does.

    Args:
        face: whose movements are followed.
        person: who follows.
        relative: see `carried_over`.
    """
    import torch

    from stylefacev_cli.detection.face_mesh import FaceMesh
    from stylefacev_cli.motion.face_measures import GAZE

    model = person.model
    follower = _follower(model)
    watched = _Watched(person, FaceMesh.load(model.device.type))
    targets = _targets(face, watched.rest, follower, relative=relative)
    with torch.inference_mode():
        rest = follower.features(_tensor(watched.rest[None], model))
        goals = follower.within_range(follower.features(_tensor(targets, model)))
        chosen, aims = _spread_out(goals, _NUM_AIMED), goals
        for _ in range(_ROUNDS):
            seen = watched.measures(follower(aims[chosen], rest, person.first_pose))
            missed = goals[chosen] - follower.features(_tensor(seen, model))
            missed[:, GAZE] = 0
            aims = aims + _interpolated(missed, goals[chosen], goals)
        poses: torch.Tensor = follower(aims, rest, person.first_pose)
    return poses.cpu()


class _Watched:
    """A person whose frames are seen by the face mesh.

    Attributes:
        rest: float64 [94], measures of the first pose.
    """

    def __init__(self, person: Person, mesh: FaceMesh) -> None:
        from stylefacev_cli.motion.face_measures import (
            eye_openings,
            face_measures,
            still_usual_openings,
        )
        from stylefacev_cli.motion.head_frame import head_frames

        self._person, self._mesh = person, mesh
        head = head_frames(self._points(person.first_pose))
        self._shape = head.local[0]
        self._usual = still_usual_openings(eye_openings(head.local))
        self.rest = face_measures(head, self._usual)[0]

    def measures(self, poses: torch.Tensor) -> F64:
        """The measures [N, 94] of the person in poses [N, 1, 8, 8]."""
        from stylefacev_cli.motion.face_measures import face_measures
        from stylefacev_cli.motion.head_frame import head_frames

        return face_measures(head_frames(self._points(poses), self._shape), self._usual)

    def _points(self, poses: torch.Tensor) -> NDArray[np.float32]:
        """The mesh [N, 478, 3] in fractions of the frame."""
        import numpy as np
        import torch

        found = []
        for frame in self._person.play(torch.split(poses, 1)):
            found.append(points_of_generated(self._mesh, frame))
        return np.stack(found)


def points_of_generated(mesh: FaceMesh, frame: U8) -> NDArray[np.float32]:
    """The mesh [478, 3] of the face of a generated frame [R, R, 3], in fractions of the frame."""
    import numpy as np

    from stylefacev_cli.detection.mesh_regions import region_of_points

    size = len(frame)
    x, y, side, angle = _FIRST_REGION
    region = np.array([x * size, y * size, side * size, angle])
    for _ in range(2):  # the first region is only about right
        (face,) = mesh.read(frame, [region])
        region = region_of_points(face.points)
    return np.asarray(face.points / size, np.float32)


def _targets(face: DrivingFace, rest: F64, follower: PoseFollower, *, relative: bool) -> F64:
    from stylefacev_cli.motion.face_measures import carried_over

    place_of_turn = follower.place_of_turn.double().cpu().numpy()
    return carried_over(face.measures, face.rest, rest, place_of_turn, relative=relative)


def _follower(model: Model) -> PoseFollower:
    from stylefacev_cli.weights.bundle import needed

    return needed(model.networks.follower, "follower")


def _tensor(values: F64, model: Model) -> torch.Tensor:
    import torch

    return torch.tensor(values, dtype=torch.float32, device=model.device)


def _spread_out(goals: torch.Tensor, num: int) -> list[int]:
    """Frames that differ most: the most usual one, then each time the one farthest from all."""
    import torch

    first = int((goals - goals.mean(0)).norm(dim=1).argmin())
    chosen, distance = [first], (goals - goals[first]).norm(dim=1)
    while len(chosen) < min(num, len(goals)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (goals - goals[chosen[-1]]).norm(dim=1))
    return sorted(chosen)


def _interpolated(missed: torch.Tensor, seen: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """What is missed at all goals [T, F], by ridge regression on what was at those seen [N, F]."""
    import torch

    middle, usual = goals.mean(0), missed.mean(0)
    away = seen - middle
    ridge = _DOUBT * torch.eye(len(seen), dtype=seen.dtype, device=seen.device)
    weights = torch.linalg.solve(away @ away.T + ridge, missed - usual)
    result: torch.Tensor = usual + (goals - middle) @ away.T @ weights
    return result
