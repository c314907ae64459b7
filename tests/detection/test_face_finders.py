from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import HEIGHT, U8, WIDTH, background, placed

from stylefacev_cli.detection import alignment_finder
from stylefacev_cli.detection.alignment_finder import AlignmentFinder
from stylefacev_cli.detection.bundle_finder import BundleFinder
from stylefacev_cli.detection.crop_window import face_squares
from stylefacev_cli.detection.face_finders import (
    SEARCH_SIDE_PX,
    Face,
    FaceFinder,
    find_in_picture,
    open_face_finder,
)
from stylefacev_cli.detection.face_track import PHOTO_SIDE_PX, find_in_photo
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.networks.stylefacev.landmarks import landmarks_from_heatmaps


@pytest.fixture(scope="module")
def finder() -> BundleFinder:
    found = open_face_finder("default-64", "cpu", 80)
    assert isinstance(found, BundleFinder)
    return found


def test_a_face_is_found_where_it_is(finder: BundleFinder, faces: list[U8]) -> None:
    import torch

    for person, (left, top) in zip(faces, [(0, 24), (37, 11), (64, 0)], strict=True):
        alone = torch.tensor(person[:1]).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            truth = landmarks_from_heatmaps(finder._detector(alone))[0].numpy() * 96 + [left, top]
        found = finder.find(placed(person[:1], left, top, background())[0])
        assert len(found) == 1 and found[0].scores.mean() > 0.8
        eyes_px = np.linalg.norm(truth[60] - truth[72])
        error = np.linalg.norm(found[0].landmarks - truth, axis=1).mean()
        assert error < 0.08 * eyes_px


def test_a_face_is_followed(finder: BundleFinder, faces: list[U8]) -> None:
    pictures = [placed(faces[0][i : i + 1], 10 + 4 * i, 12, background())[0] for i in range(5)]
    face: Face | None = finder.find(pictures[0])[0]
    lefts = []
    for picture in pictures:
        assert face is not None
        face = finder.follow(picture, face)
        assert face is not None
        lefts.append(face_squares(face.landmarks)[0])
    assert lefts[-1] - lefts[0] == pytest.approx(16, abs=5)
    assert finder.follow(background(), face) is None


def test_two_faces_and_none(finder: BundleFinder, faces: list[U8]) -> None:
    wide = np.concatenate([background(), background(1)], axis=1)
    both = placed(faces[0][:1], 5, 10, wide)
    both = placed(faces[1][:1], 190, 20, both[0])
    assert len(finder.find(both[0])) == 2
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    rows = np.linspace(0, 255, HEIGHT).astype(np.uint8)
    sky = np.broadcast_to(rows[:, None, None], (HEIGHT, WIDTH, 3)).copy()
    for picture in (background(2), noise, sky, np.full_like(sky, 90)):
        assert finder.find(picture) == []


def test_the_face_mesh_by_its_name() -> None:
    assert open_face_finder("face-mesh", "cpu", 80).facts["name"] == "face-mesh"
    with pytest.raises(UsageError, match="--device teapot"):
        open_face_finder("face-mesh", "teapot", 80)


def test_models_without_a_detector_and_odd_devices() -> None:
    with pytest.raises(MissingWeightsError, match="unknown model"):
        open_face_finder("nobody", "cpu", 80)
    with pytest.raises(UsageError, match="--device teapot"):
        open_face_finder("default-64", "teapot", 80)


# --- face_alignment --------------------------------------------------------------------------


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError) as told:
        open_face_finder("face-alignment", "cpu", 80)
    folder = tmp_path / "hub" / "checkpoints"
    for part in ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar", "https://", "--detector"):
        assert part in str(told.value)
    assert str(folder) in str(told.value) and "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())  # nothing was fetched
    folder.mkdir(parents=True)
    for name in alignment_finder.FILES:
        (folder / name).write_bytes(b"no weights")
    with pytest.raises(IntegrityError, match="damaged"):
        open_face_finder("face-alignment", "cpu", 80)


def test_the_library_is_used_as_it_wants_to_be(fake_face_alignment: list[dict[str, Any]]) -> None:
    finder = open_face_finder("face-alignment", "cpu", 80)
    assert isinstance(finder, AlignmentFinder)
    assert fake_face_alignment == [{"device": "cpu", "flip_input": False, "compile": False}]
    picture = np.zeros((50, 60, 3), np.uint8)
    assert finder.find(picture) == []
    picture[10:30, 20:40, 1] = 255
    face = finder.find(picture)[0]
    assert face.landmarks.shape == (68, 2) and face.box.tolist() == [20, 10, 40, 30]
    picture[:] = 0
    picture[12:32, 25:45, 1] = 255
    moved = finder.follow(picture, face)
    assert moved is not None and moved.box == pytest.approx([25, 12, 45, 32], abs=0.01)
    assert finder.follow(np.zeros_like(picture), face) is None


class _Brightest:
    """Finds the brightest pixel if it is bright, and notes the sizes of pictures."""

    num_landmarks = 1
    facts: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.sides_px: list[int] = []

    def find(self, picture: U8) -> list[Face]:
        self.sides_px.append(max(picture.shape[:2]))
        y, x = divmod(int(picture[..., 0].argmax()), picture.shape[1])
        if picture[y, x, 0] < 200:
            return []
        place = np.array([[x + 0.5, y + 0.5]], np.float32)
        return [Face(place, np.ones(1, np.float32), np.array([x, y, x + 1, y + 1], np.float32))]

    def follow(self, picture: U8, face: Face) -> Face | None:
        return face


@pytest.mark.parametrize(
    ("spot_px", "expected"), [(12, [1334]), (3, [1334, 2000]), (1, [1334, 2000])]
)
def test_large_photos_are_searched_in_a_smaller_copy(spot_px: int, expected: list[int]) -> None:
    photo = np.zeros((3000, 4000, 3), np.uint8)
    photo[1500 : 1500 + spot_px, 2400 : 2400 + spot_px] = 255 if spot_px > 3 else 120
    finder = _Brightest()
    faces = find_in_picture(finder, photo)
    assert finder.sides_px == expected
    if spot_px > 3:
        np.testing.assert_allclose(faces[0].landmarks, [[2401.5, 1501.5]], atol=3)
    else:
        assert not faces
    small = photo[:, :SEARCH_SIDE_PX][:SEARCH_SIDE_PX]
    find_in_picture(finder, small)
    assert finder.sides_px[-1] == SEARCH_SIDE_PX


@pytest.mark.parametrize(("spot_px", "expected"), [(40, [308]), (8, [308, 1334])])
def test_photos_of_a_person_are_searched_in_a_small_copy_first(
    spot_px: int, expected: list[int]
) -> None:
    photo = np.zeros((3000, 4000, 3), np.uint8)
    photo[1500 : 1500 + spot_px, 2400 : 2400 + spot_px] = 255
    finder = _Brightest()
    faces = find_in_photo(finder, photo)
    assert finder.sides_px == expected and expected[0] <= PHOTO_SIDE_PX
    np.testing.assert_allclose(
        faces[0].landmarks, [[2400 + spot_px / 2, 1500 + spot_px / 2]], atol=30
    )


def test_a_face_of_a_photo_lies_where_a_whole_search_finds_it(
    finder: FaceFinder, faces: list[U8]
) -> None:
    from PIL import Image

    small = placed(faces[0][:1], 37, 11, background())[0]
    large = np.asarray(Image.fromarray(small).resize((5 * WIDTH, 5 * HEIGHT)))
    (quick,), (slow,) = find_in_photo(finder, large), finder.find(small)
    truth = 5 * slow.landmarks
    eyes_px = np.linalg.norm(truth[60] - truth[72])
    assert np.linalg.norm(quick.landmarks - truth, axis=1).mean() < 0.05 * eyes_px
