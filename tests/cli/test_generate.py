"""`stylefacev generate` with the tiny model, in this process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import TINY_FPS, TINY_RESOLUTION_PX

import stylefacev_cli
from stylefacev_cli import pipeline
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.media import read_frames
from stylefacev_cli.pipeline import load_model


@pytest.fixture(autouse=True)
def five_frames(workplace: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEFACEV_FRAMES", "5")


Outcome = tuple[int, str, str]


def listing(folder: str = ".") -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
    )


def test_paths_on_stdout_and_a_summary_on_stderr(generate: Callable[..., Outcome]) -> None:
    code, out, err = generate("--seeds", "0-1,5")
    assert code == 0
    assert out.splitlines() == ["videos/0.mp4", "videos/1.mp4", "videos/5.mp4"]
    assert err.startswith("3 videos, 15 frames in ") and err.count("\n") == 1
    assert listing("videos") == sorted(
        name for seed in (0, 1, 5) for name in (f"{seed}.mp4", f"{seed}.mp4.json")
    )
    frames = list(read_frames(Path("videos/5.mp4")))
    assert len(frames) == 5 and frames[0].shape == (TINY_RESOLUTION_PX, TINY_RESOLUTION_PX, 3)


def test_record_beside_the_video(generate: Callable[..., Outcome], tiny_model: Path) -> None:
    generate("--seeds", "5", "--motion-seed", "6", "--truncation", "0.7", "--fps", "20")
    record = json.loads(Path("videos/5.mp4.json").read_text())
    manifest = load_model(tiny_model, device="cpu").manifest
    expected = {
        **{"ai_generated": True, "software": "stylefacev", "file": "5.mp4", "format": "mp4"},
        **{"version": stylefacev_cli.__version__, "seed": 5, "motion_seed": 6, "frames": 5},
        **{"fps": 20.0, "truncation": 0.7, "dtype": "float32", "device": "cpu"},
        "model": {"name": "tiny", "sha256": manifest.sha256, "licence": "CC0-1.0"},
    }
    assert {key: record[key] for key in expected} == expected
    assert record["seconds"]["total"] >= record["seconds"]["synthesis"] > 0


def test_json_document(generate: Callable[..., Outcome]) -> None:
    generate("--seeds", "1")
    code, out, err = generate("--seeds", "0-1", "--skip-existing", "--json", "-q")
    document = json.loads(out)
    assert code == 0 and err == ""
    assert [video["path"] for video in document["videos"]] == ["videos/0.mp4"]
    assert document["videos"][0]["fps"] == TINY_FPS
    assert document["skipped"] == ["videos/1.mp4"]
    timing = document["timing"]
    parts = {"import_s", "load_s", "warm_up_s", "search_s", "fit_s", "synthesis_s"}
    parts |= {"encode_wait_s", "other_s"}
    assert set(timing) == {"total_s"} | parts
    assert timing["total_s"] == pytest.approx(sum(timing.values()) - timing["total_s"], abs=1e-3)


def frames_of(folder: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([np.asarray(Image.open(p)) for p in sorted(Path(folder).glob("*.png"))])


def test_a_seed_is_the_same_whatever_is_around_it(
    generate: Callable[..., Outcome], tiny_model: Path
) -> None:
    generate("--seeds", "3,1", "--format", "png", "-o", "a", "--batch", "2")
    generate("--seeds", "3", "--format", "png", "-o", "b", "--batch", "100", "--threads", "1")
    a, b = frames_of("a/3").astype(int), frames_of("b/3").astype(int)
    assert np.abs(a - b).max() <= 2
    api = np.stack(list(load_model(tiny_model, device="cpu").sample(3, 5))).astype(int)
    assert np.abs(a - api).max() <= 2
    assert listing("b") == ["3.json", *(f"3/{index:06d}.png" for index in range(5))]


def test_identical_bytes_from_run_to_run(generate: Callable[..., Outcome]) -> None:
    generate("--seeds", "3", "-o", "a.mp4")
    generate("--seeds", "3", "-o", "b.mp4")
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes()


def test_grid(generate: Callable[..., Outcome]) -> None:
    code, out, _ = generate("--seeds", "0-4", "--grid", "-o", "all.webm")
    assert (code, out) == (0, "all.webm\n")
    frames = list(read_frames(Path("all.webm")))
    assert len(frames) == 5
    assert frames[0].shape == (2 * TINY_RESOLUTION_PX, 3 * TINY_RESOLUTION_PX, 3)
    assert frames[0][-8:, -8:].max() < 20  # the place of a sixth video is black
    record = json.loads(Path("all.webm.json").read_text())
    assert record["seeds"] == record["motion_seeds"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("format_name", ["gif", "mkv"])
def test_formats(generate: Callable[..., Outcome], format_name: str) -> None:
    assert generate("--format", format_name, "-o", "{seed:03}")[0] == 0
    assert len(list(read_frames(Path(f"000.{format_name}")))) == 5


def test_bfloat16(generate: Callable[..., Outcome]) -> None:
    assert generate("--dtype", "bfloat16")[0] == 0
    assert json.loads(Path("videos/0.mp4.json").read_text())["dtype"] == "bfloat16"


def test_nothing_is_overwritten_without_force(generate: Callable[..., Outcome]) -> None:
    generate("--seeds", "1")
    before = Path("videos/1.mp4").read_bytes()
    code, out, err = generate("--seeds", "0-2", "--frames", "7")
    assert (code, out) == (2, "") and "--force" in err and "--skip-existing" in err
    assert "0.mp4" not in listing("videos")  # refused before any work
    code, out, err = generate("--seeds", "0-2", "--skip-existing", "--frames", "7")
    assert out.splitlines() == ["videos/0.mp4", "videos/2.mp4"]
    assert "1 of 3 videos are there already" in err
    assert Path("videos/1.mp4").read_bytes() == before
    assert generate("--seeds", "1", "--frames", "7", "--force")[0] == 0
    assert Path("videos/1.mp4").read_bytes() != before
    assert generate("--seeds", "1", "--skip-existing")[:2] == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--seeds", text] for text in ("9-0", "-1", "", "4294967296", "0-2000000", "x")),
        *(["--frames", text] for text in ("0", "-3", "10000001", "many", "1.5")),
        *(["--fps", text] for text in ("0", "-1", "241", "nan", "inf")),
        *(["--batch", text] for text in ("0", "-1", "99999")),
        *(["--truncation", text] for text in ("3", "nan")),
        *(["--motion-seed", text] for text in ("-1", "4294967296")),
        *(["--threads", "0"], ["--device", "tpu"], ["--dtype", "int8"], ["--format", "avi"]),
        *(["-o", text] for text in ("", "{seed}{x}.mp4", "a.avi", "a.png")),
        *(["-o", "a.mp4", "--seeds", "0-1"], ["-o", "a.mp4", "--format", "gif"]),
        *(["--format", "raw"], ["--format", "gif", "--fps", "60"]),
        *(["-o", "-", "--seeds", "0-1"], ["-o", "-", "--json"], ["-o", "-", "--format", "png"]),
        *(
            ["--force", "--skip-existing"],
            ["--grid", "--seeds", "0-999999"],
            ["--nonsense"],
            ["extra"],
        ),
    ],
    ids=" ".join,
)
def test_wrong_usage(generate: Callable[..., Outcome], arguments: list[str]) -> None:
    code, out, err = generate(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("error: ")
    assert listing() == []


def test_cuda_that_is_not_there(generate: Callable[..., Outcome]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("it is there")
    code, _, err = generate("--device", "cuda")
    assert code == 2 and "no cuda device" in err


def test_unknown_model(generate: Callable[..., Outcome]) -> None:
    code, out, err = generate("--model", "nobody")
    assert (code, out) == (3, "") and "unknown model 'nobody'" in err and err.count("\n") == 1


def test_damaged_model(generate: Callable[..., Outcome], tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, "spoilt")
    with Path("spoilt/motion.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    code, out, err = generate("--model", "./spoilt")
    assert (code, out) == (4, "") and "motion.safetensors is damaged" in err
    assert err.count("\n") == 1 and not Path("videos").exists()


def test_folder_that_cannot_be_written(generate: Callable[..., Outcome]) -> None:
    Path("file").touch()
    code, out, err = generate("-o", "file/videos")
    assert (code, out) == (1, "") and "cannot write to file/videos" in err
    assert err.count("\n") == 1


def test_verbose_tells_the_settings_and_shows_tracebacks(generate: Callable[..., Outcome]) -> None:
    _, _, err = generate("-v")
    assert "cpu, float32" in err and "threads" in err
    code, _, err = generate("-v", "--model", "nobody")
    assert code == 3 and "Traceback" in err and err.splitlines()[-1].startswith("error: unknown")


def failing_motion(error: BaseException) -> Callable[..., Iterator[Any]]:
    """Two poses of the second video, then an error."""
    motion = pipeline.Model.motion

    def fail(self: pipeline.Model, first_pose: Any, seed: int, *rest: Any) -> Iterator[Any]:
        for index, pose in enumerate(motion(self, first_pose, seed, *rest)):
            if seed == 1 and index == 2:
                raise error
            yield pose

    return fail


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "interrupted; --skip-existing goes on"),
        (RuntimeError("sur\nprise"), 1, "this is a bug"),
        (MemoryError(), 1, "smaller --batch"),
        (StyleFaceVError("no luck"), 1, "error: no luck"),
    ],
)
def test_failing_halfway_leaves_whole_videos_only(
    generate: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    told: str,
) -> None:
    monkeypatch.setattr(pipeline.Model, "motion", failing_motion(error))
    outcome = generate("--seeds", "0-2")
    assert outcome[:2] == (code, "videos/0.mp4\n")
    assert told in outcome[2] and outcome[2].count("\n") == 1
    assert listing("videos") == ["0.mp4", "0.mp4.json"]


def test_failing_halfway_in_json(
    generate: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.Model, "motion", failing_motion(StyleFaceVError("no luck")))
    code, out, _ = generate("--seeds", "0-2", "--json")
    document = json.loads(out)
    assert code == 1 and document["error"] == "no luck" and document["exit_code"] == 1
    assert [video["seed"] for video in document["videos"]] == [0]


def test_encoder_that_cannot_write(
    generate: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path("ffmpeg")
    script.write_text("#!/bin/sh\necho 'No space left on device' >&2\nexit 228\n")
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script.absolute()))
    code, out, err = generate()
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "No space left on device; free some space" in err
    assert listing("videos") == []
