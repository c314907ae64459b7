"""`invert`, `reenact --source` and `generate --from` through the front door."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from stylefacev_cli.common.listener import LogListener
from stylefacev_cli.detection.crop_window import face_squares
from stylefacev_cli.detection.face_finders import Face
from stylefacev_cli.errors import DataError, MissingWeightsError, UsageError
from stylefacev_cli.generation import photo_crop
from stylefacev_cli.generation.inversions import plan_latents
from stylefacev_cli.generation.requests import FaceSearchOptions
from stylefacev_cli.metrics.key_point_tracks import detect_landmarks
from stylefacev_cli.motion.pose_tracks import PoseTrack, write_track
from stylefacev_cli.pipeline import load_model
from stylefacev_cli.weights.latents import read_latent
from stylefacev_cli.weights.manifest import read_manifest

Outcome = tuple[int, str, str]


@pytest.fixture(autouse=True)
def offline(workplace: None, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a perceptual and an identity network, which is told."""
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def photo(tiny_model: Path) -> Path:
    """What the tiny model draws of seed 7."""
    Image.fromarray(next(load_model(tiny_model, device="cpu").sample(7, 1))).save("me.png")
    return Path("me.png")


def pictures(folder: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(p)) for p in sorted(Path(folder).glob("*.png"))])


def invert(call: Callable[..., Outcome], *arguments: str) -> Outcome:
    return call("invert", *arguments, "--no-crop", "--steps", "5")


def test_a_photo_becomes_a_person(
    call: Callable[..., Outcome], photo: Path, tiny_model: Path
) -> None:
    code, out, err = invert(call, "me.png", "-o", "me.safetensors", "--tune")
    assert (code, out) == (0, "me.safetensors\n"), err
    assert "PSNR" in err and "similarity is not measured" in err and "pixels alone" in err
    latent = read_latent(Path("me.safetensors"), read_manifest(tiny_model))
    assert latent.origin["settings"]["steps"] == 5 and latent.tune
    assert latent.origin["window"] == [0, 0, 16] and latent.origin["photo"] == "me.png"
    with Image.open("me.safetensors.png") as sheet:
        assert sheet.size == (48, 16)
        found = np.asarray(sheet)[:, 32:]
        assert np.array_equal(np.asarray(sheet)[:, :16], np.asarray(Image.open(photo)))
    # The first frame of every motion is what was found.
    code, out, err = call(
        *("generate", "--from", "me.safetensors", "--motion-seeds", "3,4", "--frames", "3"),
        *("--format", "png", "-o", "v", "--batch", "1"),  # others round otherwise
    )
    assert (code, out) == (0, "v/me-3\nv/me-4\n"), err
    three, four = pictures("v/me-3"), pictures("v/me-4")
    assert np.array_equal(three[0], found) and np.array_equal(four[0], found)
    assert (three[2] != four[2]).any()
    record = json.loads(Path("v/me-3.json").read_text())
    assert record["latent"]["file"] == "me.safetensors" and record["motion_seed"] == 3
    assert "seed" not in record


def test_people_in_a_matrix(call: Callable[..., Outcome], photo: Path) -> None:
    Path("you.png").write_bytes(photo.read_bytes())
    assert invert(call, "me.png", "you.png", "-o", "p")[0] == 0
    both = ("--from", "p/me.safetensors", "--from", "p/you.safetensors", "--motion-seeds", "1-2")
    how = ("--frames", "2", "--format", "png")
    code, out, err = call("generate", *both, *how, "-o", "v/{from}_{motion_seed}")
    assert (code, out.split()) == (0, ["v/me_1", "v/me_2", "v/you_1", "v/you_2"]), err
    code, out, err = call("generate", *both, *how, "--grid", "-o", "g")
    assert (code, out) == (0, "g/grid\n"), err
    rows = [[pictures(f"v/{name}_{seed}")[1] for seed in (1, 2)] for name in ("me", "you")]
    whole = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    assert np.array_equal(pictures("g/grid")[1], whole)
    record = json.loads(Path("g/grid.json").read_text())
    assert [one["latent"]["file"] for one in record["people"]] == [
        "me.safetensors",
        "you.safetensors",
    ]
    assert record["motion_seeds"] == [1, 2]
    # Somebody else's layers take nothing of what the photo added to the person's own.
    every = ("--mix", "5:0-", *how, "--motion-seeds", "1")
    for who, name in (("--from", "p/me.safetensors"), ("--seeds", "5")):
        code, _, err = call("generate", who, name, *every, "-o", f"m{who}")
        assert code == 0, err
    mine, theirs = pictures("m--from/me")[0], pictures("m--seeds/5")[0]
    assert mine.shape == theirs.shape
    for wrong, told in (
        (("--from", "p/me.safetensors", "--from", "./p/me.safetensors"), "one name"),
        (("--from", "p/me.safetensors", "--interpolate", "1:2"), "contradict"),
        (("--from", "p/me.safetensors", "-o", "{seed}.mp4"), "{from}"),
    ):
        code, _, err = call("generate", *wrong)
        assert code == 2 and told in err, err


def test_several_photos_and_json(call: Callable[..., Outcome], photo: Path) -> None:
    Path("you.png").write_bytes(photo.read_bytes())
    code, out, err = invert(call, "me.png", "you.png", "-o", "p/{name}-1", "--json")
    assert code == 0, err
    made = json.loads(out)["people"]
    assert [one["path"] for one in made] == ["p/me-1.safetensors", "p/you-1.safetensors"]
    assert all(one["seconds"] >= 0 and one["found"]["psnr"] > 0 for one in made)
    code, _, err = invert(call, "me.png", "-o", "p/me-1.safetensors")
    assert code == 2 and "--force" in err
    assert invert(call, "me.png", "-o", "p/me-1.safetensors", "--force")[0] == 0


def test_reenactment_of_seeds_latents_and_photos(
    call: Callable[..., Outcome], photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = read_manifest(tiny_model).pose_space
    poses = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)
    write_track(Path("t.safetensors"), PoseTrack(poses, 10.0, space or ""))
    assert invert(call, "me.png", "-o", "me.safetensors")[0] == 0
    find_window, no_crop = photo_crop.find_window, FaceSearchOptions(crop=False)
    monkeypatch.setattr(
        photo_crop,
        "find_window",
        lambda photo, name, model, _, listener: find_window(photo, name, model, no_crop, listener),
    )
    for source, key in (("5", "seed"), ("me.safetensors", "latent"), ("me.png", "photo")):
        out = f"{key}.mkv"
        arguments = ("reenact", "--source", source, "--driving", "t.safetensors", "-o", out)
        code, _, err = call(*arguments)
        assert code == 0, err
        assert ("inverted first" in err) == (key == "photo")
        assert key in json.loads(Path(f"{out}.json").read_text())
        # Truncation is of seeds.
        code, _, err = call(*arguments, "--force", "--truncation", "0.5")
        assert code == (0 if key == "seed" else 2)


def wrong_photos() -> None:
    Path("text.jpg").write_text("hello")
    Image.new("RGB", (40, 30)).save("wide.png")
    Image.new("RGB", (40, 40)).save("empty.png")
    Image.new("1", (9000, 9000)).save("huge.png")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["invert", "no.jpg", "-o", "a"], 5, "no such photo"),
        (["invert", "text.jpg", "-o", "a"], 5, "cannot be read as an image"),
        (["invert", "me.png", "text.jpg", "--no-crop", "-o", "a"], 5, "text.jpg: cannot be read"),
        (["invert", "huge.png", "-o", "a"], 5, "too many"),
        (["invert", "wide.png", "-o", "a", "--no-crop"], 2, "not square"),
        (["invert", "empty.png", "-o", "a"], 5, "no face found"),
        (["invert", "empty.png", "-o", "a", "--detector", "face-alignment"], 3, "no weights"),
        (["invert", "me.png", "wide.png", "-o", "a.safetensors"], 2, "a-{name}.safetensors"),
        (["invert", "me.png", "me.png", "-o", "a"], 2, "rename"),
        (["invert", "me.png", "-o", "a/{seed}"], 2, "only field"),
        (["generate", "--from", "7"], 2, "latent file"),
        (["generate", "--from", "me.png", "--truncation", "0.5"], 2, "--truncation"),
        (["generate", "--from", "no.safetensors"], 5, "no such latent"),
        (["generate", "--from", "me.safetensors"], 4, "no latent file"),
        (["reenact", "--source", "me", "--driving", "t", "-o", "a.mp4"], 2, "seed, a latent"),
        (["reenact", "--source", "4294967296", "--driving", "t", "-o", "a.mp4"], 2, "from 0 to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_usage(
    call: Callable[..., Outcome], photo: Path, arguments: list[str], code: int, told: str
) -> None:
    wrong_photos()
    Path("me.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    outcome = call(*arguments)
    assert (outcome[0], outcome[1]) == (code, ""), outcome
    assert told in outcome[2] and outcome[2].splitlines()[-1].startswith("error: ")
    assert not any(Path(name).exists() for name in ("a", "a.safetensors", "a.mp4", "videos"))


def face(x: float, y: float, side: float, turn: float = 0.0, tilt_deg: float = 0.0) -> Face:
    """68 points whose square has that centre and side, about."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = [-0.125, -0.03], [0.125, -0.03]
    points[48:54], points[30] = [0, 0.24], [0.25 * turn, 0.1]
    angle = np.radians(tilt_deg)
    turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    landmarks = (turned * side + [x, y]).astype(np.float32)
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    return Face(landmarks, np.ones(68, np.float32), box)


class Finder:
    facts: dict[str, Any] = {"name": "found"}

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def find(self, picture: np.ndarray) -> list[Face]:
        return self.faces


def found_window(picture: np.ndarray, name: str, **options: Any) -> Any:
    no_model: Any = None
    search = FaceSearchOptions(**options)
    return photo_crop.find_window(picture, name, no_model, search, LogListener())


def test_of_several_faces_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    several = face(140, 75, 60), face(60, 75, 80)
    monkeypatch.setattr(photo_crop, "face_finder", lambda model, detector: Finder(*several))
    monkeypatch.setattr(photo_crop, "window_scale", lambda model: 1.0)
    picture = np.zeros((150, 200, 3), np.uint8)
    for number, x, side in ((None, 60, 80), (1, 60, 80), (2, 140, 60)):
        caplog.clear()
        (left, _, width), _ = found_window(picture, "me.jpg", face=number)
        assert abs(left + width / 2 - x) <= 2 and width == pytest.approx(side, rel=0.1)
        assert ("me.jpg: 2 faces found" in caplog.text) == (number is None)
    with pytest.raises(DataError, match="no --face 3"):
        found_window(picture, "me.jpg", face=3)


@pytest.mark.parametrize(
    ("faces", "told"),
    [
        ([], "no face"),
        ([face(60, 60, 40)], "tiny"),
        ([face(100, 75, 100, turn=0.6)], "turned too far"),
        ([face(100, 75, 100, turn=-0.6)], "turned too far"),
        ([face(100, 75, 100, tilt_deg=40)], "tilted"),
        ([face(100, 75, 220)], "leaves"),
    ],
)
def test_faces_that_are_refused(
    faces: list[Face], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_crop, "face_finder", lambda model, detector: Finder(*faces))
    monkeypatch.setattr(photo_crop, "window_scale", lambda model: 1.0)
    picture = np.zeros((150, 200, 3), np.uint8)
    with pytest.raises(DataError, match=told) as error:
        found_window(picture, "me.jpg")
    assert str(error.value).startswith("me.jpg: ")


def test_the_window_of_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    def window(crop: bool | None, width: int, *where: float, scale: float = 1.0) -> list[int]:
        monkeypatch.setattr(photo_crop, "face_finder", lambda *_: Finder(face(*where, turn=0.2)))
        monkeypatch.setattr(photo_crop, "window_scale", lambda model: scale)
        picture = np.zeros((150, width, 3), np.uint8)
        found, facts = found_window(picture, "x", crop=crop)
        assert facts["window"] == list(found)
        return list(found)

    left, top, side = window(None, 200, 100, 75, 90)
    assert abs(left + side / 2 - 100) <= 1 and abs(top + side / 2 - 75) <= 2 and 85 < side < 95
    left, top, looser = window(None, 200, 100, 75, 90, scale=1.3)
    assert abs(left + looser / 2 - 100) <= 1 and looser == pytest.approx(1.3 * side, abs=2)
    assert window(None, 150, 75, 75, 100) != [0, 0, 150]
    assert window(None, 150, 75, 75, 100, scale=1.3) == [0, 0, 150]
    assert window(None, 150, 75, 75, 140) == [0, 0, 150]  # it fills the square
    assert window(True, 150, 75, 75, 130) != [0, 0, 150]


def test_cameras_note_which_way_is_up(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20)
    exif = picture.getexif()
    exif[0x112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "p.png", exif=exif)
    turned = photo_crop.read_photo(tmp_path / "p.png")
    assert np.array_equal(turned, np.rot90(np.asarray(picture), -1))


def model_square(frame: np.ndarray) -> np.ndarray:
    """Centre and side of the square around the face, as the default model's detector has it."""
    detector = load_model(device="cpu").networks.landmark_detector
    assert detector is not None
    return np.array(face_squares(detect_landmarks(detector, frame[None])[0] * len(frame)))


def test_the_default_model_finds_and_inverts_a_face(call: Callable[..., Outcome]) -> None:
    small = next(load_model(device="cpu").sample(3, 1))
    behind = Image.new("RGB", (200, 150), (90, 120, 150))
    behind.paste(Image.fromarray(small).resize((110, 110), Image.Resampling.LANCZOS), (60, 20))
    behind.save("wide.png")
    code, out, err = call(
        "invert", "wide.png", "-m", "default-128", "--steps", "20", "-o", "out", "--json"
    )
    assert code == 0, err
    made = json.loads(out)["people"][0]
    left, top, side = made["origin"]["window"]
    x, y, width = model_square(small) * 110 / small.shape[0]
    assert np.allclose([left + side / 2, top + side / 2], [60 + x, 20 + y], atol=4)
    room = photo_crop.window_scale(load_model(device="cpu"))
    assert 1.1 < room < 1.2  # faces have room in the frames of default-128
    assert side / width == pytest.approx(room, rel=0.1)
    assert made["found"]["psnr"] > made["encoder"]["psnr"] + 1
    assert made["origin"]["finder"] == "face-mesh"


def test_networks_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("default-64", device="cpu")
    with pytest.raises(MissingWeightsError, match="no weights"):
        photo_crop.face_finder(model, "face-alignment")
    assert photo_crop.face_finder(model, "default-64").facts["name"] == "default-64"


NAMES = st.from_regex(r"[a-z]{1,3}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.sampled_from(["o", "o/{name}-x"]))
def test_every_photo_has_its_file(names: list[str], out: str) -> None:
    targets = plan_latents(out, [Path(f"in/{name}.jpg") for name in names])
    assert len(set(targets)) == len(names)
    assert all(path.suffix == ".safetensors" for path in targets)
    assert all(name in path.name for name, path in zip(names, targets, strict=True))


@given(st.text(max_size=12))
@example("~0")
def test_places_are_planned_or_refused(out: str) -> None:
    try:
        targets = plan_latents(out, [Path("me.jpg")])
    except UsageError as error:
        assert "--out" in str(error)
    else:
        assert len(targets) == 1 and str(targets[0]).lower().endswith(".safetensors")
