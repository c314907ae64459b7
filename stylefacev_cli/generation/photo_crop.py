"""The window of a photo that a model's training images are cut by, or why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.detection.crop_window import Window
    from stylefacev_cli.detection.face_finders import Face, FaceFinder
    from stylefacev_cli.generation.requests import FaceSearchOptions
    from stylefacev_cli.pipeline import Model

    Picture = NDArray[np.uint8]  # [H, W, 3]

MAX_SIDE_PX = 3840  # of a photo as it is looked at
MIN_FACE_PX = 48  # of the square around a face
_FILLS = 0.8  # of a square picture's side: a face's square of that size or more fills it
_MAX_TURN = 0.42  # of the nose's tip aside of the eyes' middle, in their distance; 0.2 is 20°
_MAX_TILT_DEG = 30.0
_EYES_AND_NOSE = {98: ((60, 68), (68, 76), 54), 68: ((36, 42), (42, 48), 30)}


def read_photo(path: Path) -> Picture:
    """A photo as uint8 [H, W, 3], upright; a larger one than is searched for faces is shrunk.

    Raises:
        DataError: there is no such file, it is no picture, damaged, or too large.
    """
    from stylefacev_cli.media.images import read_image

    if not path.is_file():
        raise DataError(f"no such photo: {path}")
    return read_image(path, max_side_px=MAX_SIDE_PX)


def face_finder(model: Model, detector: str) -> FaceFinder:
    """A finder of faces on the model's device.

    Args:
        model: that will render the face.
        detector: see `open_face_finder`.

    Raises:
        StyleFaceVError: as `open_face_finder`.
    """
    from stylefacev_cli.detection.face_finders import open_face_finder

    return open_face_finder(detector, model.device.type, MIN_FACE_PX)


def find_window(
    photo: Picture, name: str, model: Model, search: FaceSearchOptions, listener: Listener
) -> tuple[Window, dict[str, Any]]:
    """The part of a photo that is inverted, and what records say of it.

    Args:
        photo: uint8 [H, W, 3], upright.
        name: of the photo, for messages.
        model: that will render it.
        search: whether the face is cut out, and which finder looks for it.
        listener: receives notes and progress.

    Raises:
        UsageError: the photo is not square, and is not to be cropped.
        DataError: there is no face, or it is tiny, turned or cut off.
        StyleFaceVError: as `open_face_finder`.
    """
    import numpy as np

    from stylefacev_cli.detection.crop_window import face_squares, steady_window
    from stylefacev_cli.detection.face_track import choose_face, find_in_photo

    height, width = photo.shape[:2]
    if search.crop is False:
        return (whole := whole_window(photo, name)), {"window": list(whole), "finder": None}
    with listener.doing(f"{name}: loading the finder of faces"):
        finder = face_finder(model, search.detector)
    with listener.doing(f"{name}: looking for the face with {finder.facts['name']}"):
        faces = find_in_photo(finder, photo)
    if not faces:
        hint = ", or --no-crop to take it as it is" if height == width else ""
        raise DataError(f"{name}: no face found; give a photo of a face{hint}")
    notes: list[str] = []
    face = choose_face(faces, search.face, notes, name)
    for note in notes:
        listener.note(f"{name}: {note}")
    landmarks = face.landmarks
    side_px = face_squares(landmarks)[2]
    if side_px < MIN_FACE_PX:
        raise DataError(
            f"{name}: the face is tiny, {side_px:.0f} px; give one of {MIN_FACE_PX} or more"
        )
    check_frontal(landmarks, name)
    facts = {"finder": finder.facts["name"]}
    scale = window_scale(model)
    if search.crop is None and fills_frame(face, photo, scale):
        return (whole := whole_window(photo, name)), {"window": list(whole), **facts}
    square = np.asarray(face_squares(landmarks, scale))
    window = steady_window(square[None], landmarks[None], width, height)
    if isinstance(window, str):
        raise DataError(f"{name}: {window}; give a photo with more room around the face")
    return window, {"window": list(window), **facts}


def whole_window(picture: Picture, name: str) -> Window:
    """All of a square picture.

    Raises:
        UsageError: it is not square.
    """
    from stylefacev_cli.detection.crop_window import Window

    height, width = picture.shape[:2]
    if height != width:
        raise UsageError(f"--no-crop: {name} is {width}×{height} px, not square")
    return Window(0, 0, width)


def window_scale(model: Model) -> float:
    """Side of a model's frames over that of the squares around the faces in them.

    1 for a model without a landmark detector of its own.
    """
    from stylefacev_cli.detection.bundle_finder import detector_statistics

    detector = model.networks.landmark_detector
    return (
        1.0
        if detector is None
        else detector_statistics(detector, model.networks.generator).face_scale
    )


def fills_frame(face: Face, picture: Picture, scale: float) -> bool:
    """Whether a face fills a square picture, which then needs no cropping.

    Args:
        face: found in the picture.
        picture: uint8 [H, W, 3].
        scale: of windows, see `window_scale`.
    """
    from stylefacev_cli.detection.crop_window import face_squares

    height, width = picture.shape[:2]
    side_px = float(face_squares(face.landmarks, scale)[2])
    return bool(height == width and side_px >= _FILLS * width)


def check_frontal(landmarks: NDArray[np.floating], name: str) -> None:
    """Check that the face of landmarks [98 or 68, 2] looks into the camera, about.

    Raises:
        DataError: it is turned too far, or tilted.
    """
    import numpy as np

    right, left, tip = _EYES_AND_NOSE[len(landmarks)]
    eyes = [landmarks[slice(*part)].mean(0).astype(np.float64) for part in (right, left)]
    across = eyes[1] - eyes[0]
    apart = float(np.linalg.norm(across))
    tilt_deg = float(np.degrees(np.arctan2(across[1], across[0])))
    turn = float((landmarks[tip] - (eyes[0] + eyes[1]) / 2) @ across) / max(apart, 1e-6) ** 2
    if abs(turn) > _MAX_TURN:
        raise DataError(f"{name}: the face is turned too far aside; give one that looks ahead")
    if abs(tilt_deg) > _MAX_TILT_DEG:
        raise DataError(f"{name}: the face is tilted by {tilt_deg:.0f}°; turn the photo upright")


def as_frame(photo: Picture, window: Window, size_px: int) -> torch.Tensor:
    """A window of a photo as a frame [1, 3, size_px, size_px] in [−1, 1]."""
    import torch

    cut = torch.tensor(window.cut(photo, size_px))
    return cut.permute(2, 0, 1)[None].float() / 127.5 - 1
