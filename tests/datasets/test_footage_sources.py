from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stylefacev_cli.datasets.footage_sources import (
    AUDIO_ONLY,
    NO_LANDMARKS,
    OTHER_CHANNEL,
    OTHER_NAME,
    SAME_PICTURES,
    find_sources,
    with_ffhq_landmarks,
)
from stylefacev_cli.datasets.splits import identity_number, is_held_out
from stylefacev_cli.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_ravdess_names(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "Actor_03/01-01-06-01-02-01-03.mp4",  # with sound
        "Actor_03/02-01-06-01-02-01-03.mp4",  # the same without
        "Actor_03/02-02-06-01-02-01-03.mp4",  # a song, without sound only
        "Actor_24/03-01-06-01-02-01-24.wav",
        "Actor_24/03-01-06-01-02-01-24.mp4",
        "notes.mp4",
        ".hidden.mp4",
        "readme.txt",
    )
    found = find_sources("ravdess", tmp_path, vocal="both", person_from="folder")
    assert {source.name: (source.person, source.skip) for source in found} == {
        "Actor_03/01-01-06-01-02-01-03.mp4": ("3", None),
        "Actor_03/02-01-06-01-02-01-03.mp4": ("3", SAME_PICTURES),
        "Actor_03/02-02-06-01-02-01-03.mp4": ("3", None),
        "Actor_24/03-01-06-01-02-01-24.mp4": ("24", AUDIO_ONLY),
        "Actor_24/03-01-06-01-02-01-24.wav": ("24", AUDIO_ONLY),
        "notes.mp4": ("", OTHER_NAME),
        "readme.txt": ("", "not a video that is read here"),
    }
    songs = find_sources("ravdess", tmp_path, vocal="song", person_from="folder")
    assert [source.name for source in songs if source.skip is None] == [
        "Actor_03/02-02-06-01-02-01-03.mp4"
    ]
    assert OTHER_CHANNEL in {source.skip for source in songs}


def test_persons_of_other_footage(tmp_path: Path) -> None:
    touch(tmp_path, "anna/1.png", "anna/2.JPG", "ben.png")
    by_folder = find_sources("images", tmp_path, vocal="both", person_from="folder")
    assert [(s.name, s.person) for s in by_folder] == [
        ("anna/1.png", "anna"), ("anna/2.JPG", "anna"), ("ben.png", "ben"),
    ]  # fmt: skip
    by_file = find_sources("images", tmp_path, vocal="both", person_from="file")
    assert [source.person for source in by_file] == ["1", "2", "ben"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_sources("videos", tmp_path / "no", vocal="both", person_from="folder")
    with pytest.raises(DataError, match="holds no files of videos"):
        find_sources("videos", tmp_path, vocal="both", person_from="folder")


def write_ffhq(path: Path, numbers: list[int]) -> None:
    entries = {
        str(number): {
            "category": "training" if number < 2 else "validation",
            "in_the_wild": {
                "file_path": f"in-the-wild-images/00000/{number:05d}.png",
                "face_landmarks": [[number, i] for i in range(68)],
            },
        }
        for number in numbers
    }
    path.write_text(json.dumps(entries, indent=1) + "\n")


def test_landmarks_of_ffhq(tmp_path: Path) -> None:
    touch(tmp_path / "wild", "00000/00000.png", "00000/00002.png", "00000/00007.png")
    write_ffhq(tmp_path / "ffhq.json", [0, 1, 2])
    sources = find_sources("ffhq", tmp_path / "wild", vocal="both", person_from="file")
    first, second, third = with_ffhq_landmarks(sources, tmp_path / "ffhq.json")
    assert (first.split, second.split, third.skip) == ("train", "val", NO_LANDMARKS)
    assert second.landmarks is not None
    np.testing.assert_array_equal(second.landmarks[3], [2.5, 3.5])


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"0": {"in_the_wild": {}}}', '{"0": 1', "{" * 100_000]
)
def test_other_files_are_no_landmarks(tmp_path: Path, text: str) -> None:
    (tmp_path / "ffhq.json").write_text(text)
    with pytest.raises(DataError, match="ffhq-dataset-v2.json"):
        with_ffhq_landmarks([], tmp_path / "ffhq.json")
    with pytest.raises(DataError, match="cannot read"):
        with_ffhq_landmarks([], tmp_path / "none.json")


def test_persons_have_numbers_and_stay_on_their_side() -> None:
    assert identity_number("24") == 24 and identity_number("00017") == 17
    assert identity_number("anna") == identity_number("anna") != identity_number("ben")
    assert identity_number("anna") >= 10**9
    # The rule of the sets that the default model was trained on: it must not change.
    assert [i for i in range(40) if is_held_out("clips-a", i, 100)] == [1, 10, 14, 15, 20, 33]
    share = np.mean([is_held_out("ravdess", i, 100) for i in range(5000)])
    assert share == pytest.approx(0.1, abs=0.02)
