"""Faces found by the library `face_alignment`: any footage of people; 68 points of 300-W.

The library comes without weights and would download them without asking, so
the files are looked for, and checked by the hash in their names, before it is started.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.detection import FACE_ALIGNMENT
from stylefacev_cli.detection.face_finders import U8, Face, Track, TrackRule
from stylefacev_cli.detection.face_track import follow_face
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.networks.stylefacev.landmarks import NUM_LANDMARKS_68

# Of version 1.5; the digits in a name are the first of the file's SHA-256.
_ADDRESS = "https://www.adrianbulat.com/downloads/python-fan/"
FILES = {"s3fd-619a316812.pth": "619a316812", "2DFAN4-11f355bf06.pth.tar": "11f355bf06"}
_LOST = 0.2  # mean peak of the heatmaps below which a followed face counts as lost


def weights_folder() -> Path:
    """The folder where the library looks: `$TORCH_HOME/hub/checkpoints`."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def check_weights() -> dict[str, str]:
    """Make sure that the library finds its weights and need not fetch them.

    Returns:
        The SHA-256 of each file.

    Raises:
        MissingWeightsError: a file is not there; the message says which and where it must be.
        IntegrityError: a file is not what its name says.
    """
    folder = weights_folder()
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        addresses = " and ".join(_ADDRESS + name for name in missing)
        raise MissingWeightsError(
            f"face-alignment has no weights on this machine: fetch {addresses} and put "
            f"{'them' if len(missing) > 1 else 'it'} into {folder}; or, for rendered footage, "
            "choose a model's landmark detector: --detector MODEL, such as --detector default-128"
        )
    found = {name: sha256_of(folder / name) for name in FILES}
    for name, begins in FILES.items():
        if not found[name].startswith(begins):
            raise IntegrityError(f"{folder / name} is damaged: delete it and fetch it again")
    return found


class AlignmentFinder:
    """Finds faces with the library `face_alignment`, see above."""

    num_landmarks = NUM_LANDMARKS_68

    def __init__(self, device: str) -> None:
        """Load both networks (errors as for `open_face_finder`)."""
        hashes = check_weights()
        import face_alignment

        self.facts: dict[str, Any] = {
            "name": f"{FACE_ALIGNMENT} {face_alignment.__version__}",
            "sha256": hashes,
            "landmarks": "68 300-W",
        }
        try:
            self._library = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=device,
                flip_input=False,
                compile=False,
            )
        except (RuntimeError, AssertionError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"face-alignment does not start on --device {device}: {reason}") from (
                error
            )

    def find(self, picture: U8) -> list[Face]:
        """All faces of a picture [H, W, 3], the surest first."""
        boxes = self._library.face_detector.detect_from_image(picture.copy())
        boxes = sorted((np.asarray(box, np.float32) for box in boxes), key=lambda b: -b[-1])
        return self._landmarks(picture, [box[:4] for box in boxes])

    def follow(self, picture: U8, face: Face) -> Face | None:
        """A face of the frame before in this one; None if it is lost.

        The detector is not asked again: its box goes along with the landmarks.
        """
        again = self._landmarks(picture, [face.box])[0]
        if float(again.scores.mean()) < _LOST:
            return None
        return Face(again.landmarks, again.scores, moved_box(face, again))

    def track(self, frames: Iterator[U8], rule: TrackRule, name: str) -> Track:
        """The face of every frame of a video, see `follow_face`."""
        return follow_face(self, frames, rule, name)

    def _landmarks(self, picture: U8, boxes: list[np.ndarray]) -> list[Face]:
        if not boxes:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where it finds nothing; the result says so
            points, scores, _ = self._library.get_landmarks_from_image(
                picture, detected_faces=boxes, return_landmark_score=True
            )
        return [
            Face(np.asarray(p, np.float32), np.asarray(s, np.float32).reshape(-1), box)
            for p, s, box in zip(points, scores, boxes, strict=True)
        ]


def moved_box(before: Face, after: Face) -> np.ndarray:
    """The box of a face, moved and scaled as its landmarks have."""
    centres = [face.landmarks.mean(0) for face in (before, after)]
    spreads = [face.landmarks.std(0).mean() for face in (before, after)]
    corners = before.box.reshape(2, 2)
    moved = (corners - centres[0]) * (spreads[1] / max(spreads[0], 1e-3)) + centres[1]
    return np.asarray(moved.reshape(4), np.float32)
