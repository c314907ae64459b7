"""Videos as phones, browsers, editors and cameras leave them: time, length, shape and colour."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_videos import (
    CODECS,
    NUM_FRAMES,
    at_rate,
    beep_begins_s,
    ffmpeg,
    grey_source,
    level,
    numbers,
    of_unlike_frames,
    with_beep,
)
from PIL import Image

from stylefacev_cli.errors import DataError
from stylefacev_cli.media import VideoSettings, frame_rate, read_frames, video_writer
from stylefacev_cli.media.facts import UNSPECIFIED, probe
from stylefacev_cli.media.reader import claimed_frames, notes_on
from stylefacev_cli.media.reading_filters import reading_filters
from stylefacev_cli.media.sound import add_sound

ALL = list(range(NUM_FRAMES))
NTSC = Fraction(24000, 1001)
TIMED = [name for name in CODECS if name not in ("avi", "mpg", "3gp", "ogv")]  # can vary


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grey_source(tmp_path_factory.mktemp("grey") / "source.mkv")


# --- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [NTSC, Fraction(25), Fraction(60)])
@pytest.mark.parametrize("suffix", CODECS)
def test_constant_rates(source: Path, tmp_path: Path, suffix: str, rate: Fraction) -> None:
    path = at_rate(source, tmp_path / f"a.{suffix}", rate)
    assert probe(path).timing.rate == rate
    assert numbers(list(read_frames(path))) == ALL
    assert claimed_frames(path) == NUM_FRAMES and frame_rate(path) == float(rate)


def _shown(times_s: Sequence[float], length_s: float, fps: float) -> list[set[int]]:
    """Which frames may be seen at each tick: those shown at some time within half a tick of it."""
    ends = [*times_s[1:], length_s + 1 / fps]
    shown = []
    for tick in range(round(length_s * fps)):
        first, last = (tick - 0.501) / fps, (tick + 0.501) / fps
        is_on = [a <= last and b >= first for a, b in zip(times_s, ends, strict=True)]
        shown.append({n for n, on in enumerate(is_on) if on})
    return shown


UNLIKE_S = [n * 0.02 if n < 12 else 0.24 + (n - 12) * 0.08 for n in ALL]


@pytest.mark.parametrize("suffix", TIMED)
def test_varying_rate(source: Path, tmp_path: Path, suffix: str) -> None:
    path = of_unlike_frames(source, tmp_path / f"a.{suffix}")
    timing, found = probe(path).timing, numbers(list(read_frames(path)))
    assert timing.rate == pytest.approx(20, rel=0.06) and not timing.is_constant
    allowed = _shown(UNLIKE_S, float(timing.length_s), float(timing.rate))
    assert abs(len(found) - len(allowed)) <= 1 and abs(claimed_frames(path) - len(found)) <= 1
    assert all(number in places for number, places in zip(found, allowed, strict=False))
    assert "varies" in notes_on(path)[0]


def test_rate_of_choice(source: Path, tmp_path: Path) -> None:
    path = of_unlike_frames(source, tmp_path / "a.mp4")
    assert numbers(list(read_frames(path, fps=50)))[:12] == ALL[:12]
    assert len(list(read_frames(path, fps=50))) == 60
    assert numbers(list(read_frames(source, fps=12.5, max_frames=3))) in ([0, 2, 4], [1, 3, 5])


def test_gif_of_unlike_delays(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((48, 64, 3), level(n), np.uint8)) for n in range(12)]
    path, delays = tmp_path / "a.gif", [40] * 6 + [200] * 6
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays)
    times_s = [n * 0.04 if n < 6 else 0.24 + (n - 6) * 0.2 for n in range(12)]
    found, rate = numbers(list(read_frames(path))), probe(path).timing.rate
    assert rate == Fraction(25, 3)
    allowed = _shown(times_s, 1.44, float(rate))
    assert len(found) == 12
    assert all(number in places for number, places in zip(found, allowed, strict=True))


@pytest.mark.parametrize("delays", [[40], [40] * 6 + [200] * 6])
def test_apng(tmp_path: Path, delays: list[int]) -> None:
    frames = [Image.fromarray(np.full((48, 64, 3), level(n), np.uint8)) for n in range(12)]
    path = tmp_path / "a.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=(delays * 12)[:12])
    found, timing = numbers(list(read_frames(path))), probe(path).timing
    if len(delays) == 1:
        assert found == list(range(12)) and timing.rate == 25 and timing.is_constant
        return
    assert timing.rate == Fraction(25, 3) and not timing.is_constant
    times_s = [n * 0.04 if n < 6 else 0.24 + (n - 6) * 0.2 for n in range(12)]
    allowed = _shown(times_s, 1.44, float(timing.rate))
    assert all(number in places for number, places in zip(found, allowed, strict=True))


def test_transparent_apng(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    frames = [Image.new("RGBA", (48, 48), (255, 0, 0, 0)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste((0, 0, 255, 255), (number * 10, 0, number * 10 + 10, 20))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, disposal=1)
    found = list(read_frames(path))
    assert len(found) == 3 and found[1][40, 40].tolist() == [128] * 3
    assert found[1][5, 15].tolist() == [0, 0, 255] and "neutral grey" in notes_on(path)[0]


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_webm_without_durations(source: Path, tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.webm"
    ffmpeg("-i", source, "-vf", "format=yuv420p", "-c:v", codec, "-live", "1", path)
    assert probe(path).timing.rate == 25 and numbers(list(read_frames(path))) == ALL


def test_webm_with_hidden_frames(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    hidden = ("-auto-alt-ref", "1", "-lag-in-frames", "16")
    ffmpeg("-i", source, "-vf", "format=yuv420p", "-c:v", "libvpx", *hidden, path)
    assert claimed_frames(path) == NUM_FRAMES and len(list(read_frames(path))) == NUM_FRAMES


@pytest.mark.parametrize(
    ("rate", "later_s", "beep_s"), [(NTSC, 0.0, 0.6), (Fraction(25), 0.2, 0.6), (60, -0.2, 0.1)]
)
@pytest.mark.parametrize("suffix", CODECS)
def test_sound_stays_in_step(
    source: Path, tmp_path: Path, suffix: str, rate: Fraction, later_s: float, beep_s: float
) -> None:
    silent = at_rate(source, tmp_path / f"silent.{suffix}", rate)
    driver = with_beep(silent, tmp_path / f"a.{suffix}", beep_s, later_s)
    _check_step(driver, tmp_path)


@pytest.mark.parametrize("format_name", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("suffix", TIMED)
def test_sound_of_varying_rate(source: Path, tmp_path: Path, suffix: str, format_name: str) -> None:
    silent = of_unlike_frames(source, tmp_path / f"silent.{suffix}")
    _check_step(with_beep(silent, tmp_path / f"a.{suffix}", 0.4), tmp_path, format_name)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_sound_of_webm_without_durations(source: Path, tmp_path: Path, codec: str) -> None:
    live = ("-vf", "format=yuv420p", "-c:v", codec, "-c:a", "libopus", "-live", "1")
    beep = "aevalsrc='if(gte(t,0.6),0.5*sin(2*PI*1000*t),0)':d=1.2:s=48000"
    path = tmp_path / "a.webm"
    ffmpeg("-i", source, "-f", "lavfi", "-i", beep, *live, path)
    assert probe(path).timing.rate == 25
    _check_step(path, tmp_path, "webm")


def _check_step(driver: Path, folder: Path, format_name: str = "mp4") -> None:
    rate = frame_rate(driver)
    assert rate is not None
    out = folder / f"out.{format_name}"
    with video_writer(out, format_name, VideoSettings(16, 16, rate)) as writer:
        for frame in read_frames(driver):
            writer.write(frame[:16, :16].copy())
    add_sound(out, driver, format_name)
    assert beep_begins_s(out) == pytest.approx(beep_begins_s(driver), abs=0.02)


# --- length ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "ts", "flv", "wmv"])
def test_sound_may_be_longer(source: Path, tmp_path: Path, suffix: str) -> None:
    silent = at_rate(source, tmp_path / f"silent.{suffix}", Fraction(25))
    path = with_beep(silent, tmp_path / f"a.{suffix}", 0.5)
    assert probe(path).num_audio == 1
    assert numbers(list(read_frames(path))) == ALL


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv", "avi"])
def test_text_is_no_fact(source: Path, tmp_path: Path, suffix: str) -> None:
    text = ("-metadata", "title=Video: x, 12.5 fps", "-metadata", "comment=Duration: 09:00:00.00,")
    path = at_rate(source, tmp_path / f"a.{suffix}", Fraction(25), *text)
    assert frame_rate(path) == 25 and len(list(read_frames(path))) == NUM_FRAMES


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "flv"])
def test_cut_off(source: Path, tmp_path: Path, suffix: str) -> None:
    more = ("-movflags", "+faststart") if suffix in ("mp4", "mov") else ()
    path = at_rate(source, tmp_path / f"a.{suffix}", Fraction(25), *more)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 85 // 100])
    with pytest.raises(DataError, match=rf"a\.{suffix}"):
        list(read_frames(path))


def test_cover_picture_is_no_video(source: Path, tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "a.mp4"
    Image.new("RGB", (32, 32), "red").save(cover)
    film = at_rate(source, tmp_path / "film.mp4", Fraction(25))
    maps = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-i", film, "-i", cover, *maps, path)
    assert numbers(list(read_frames(path))) == ALL


# --- shape and colour ------------------------------------------------------------------------


def _pattern(path: Path, *arguments: str) -> Path:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=50:d=0.5", *arguments, path)
    return path


@pytest.mark.parametrize(("sar", "shape"), [("2/1", (96, 256)), ("1/2", (192, 128))])
def test_square_pixels(tmp_path: Path, sar: str, shape: tuple[int, int]) -> None:
    path = _pattern(tmp_path / "a.mp4", "-vf", f"setsar={sar},format=yuv420p")
    assert next(iter(read_frames(path))).shape == (*shape, 3)
    assert "made square" in notes_on(path)[0]
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", path, "-c", "copy", turned)
    assert next(iter(read_frames(turned))).shape == (shape[1], shape[0], 3)


def test_pixels_of_no_shape_are_refused(tmp_path: Path) -> None:
    path = _pattern(tmp_path / "a.mp4", "-vf", "setsar=20/1,format=yuv420p")
    with pytest.raises(DataError, match="not made square"):
        list(read_frames(path))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mpg", "mpeg2video"), ("mkv", "ffv1")]
)
def test_interlaced(tmp_path: Path, suffix: str, codec: str) -> None:
    moving = "color=black:s=96x96:r=50:d=0.6[a];color=white:s=24x96:r=50:d=0.6[b];"
    moving += "[a][b]overlay=x='n*2',interlace=scan=tff,format=yuv420p"
    path, how = tmp_path / f"a.{suffix}", ("-flags", "+ilme+ildct", "-q:v", "2")
    ffmpeg("-f", "lavfi", "-i", moving, "-c:v", codec, *how, path)
    frames = [frame.astype(int) for frame in read_frames(path)]
    assert len(frames) == 15 and "interlaced" in notes_on(path)[0]
    inner = frames[3:-3]
    combs = [np.abs(f[1:-1] - (f[:-2] + f[2:]) / 2).mean() for f in inner]
    assert max(combs) < 2.0


@pytest.mark.parametrize(("name", "transfer"), [("PQ", "smpte2084"), ("HLG", "arib-std-b67")])
def test_hdr(source: Path, tmp_path: Path, name: str, transfer: str) -> None:
    path = tmp_path / "a.mp4"
    filters = "format=gbrp,setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr,"
    filters += "zscale=transfer=linear:npl=203,format=gbrpf32le,"
    filters += f"zscale=primaries=bt2020:transfer={transfer}:matrix=bt2020nc:range=tv:npl=203,"
    tags = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc")
    ffmpeg("-i", source, "-vf", filters + "format=yuv420p10", "-c:v", "libx264", *tags, path)
    assert name in notes_on(path)[0]
    shown = np.array([np.median(frame) for frame in read_frames(path)])
    meant = np.array([level(number) for number in ALL])
    assert (np.diff(shown) > 0).all()
    assert np.abs(shown - meant)[meant < 180].max() < 8 and np.abs(shown - meant).max() < 24


@pytest.mark.parametrize(
    ("how", "is_read"),
    [
        ((), False),  # as profile 5: colours that only Dolby Vision explains
        (("-vf", "setparams=color_trc=smpte2084:color_primaries=bt2020"), True),  # HDR10 below it
        (("-vf", "setparams=color_trc=bt709:color_primaries=bt709"), True),  # SDR below it
    ],
)
def test_dolby_vision(tmp_path: Path, how: tuple[str, ...], is_read: bool) -> None:
    path = _pattern(
        tmp_path / "a.mp4", "-pix_fmt", "yuv420p10", "-c:v", "libx265", "-x265-params",
        "log-level=error", "-tag:v", "dvh1", "-strict", "unofficial", *how,
    )  # fmt: skip
    if is_read:
        assert len(list(read_frames(path))) == 25
        return
    with pytest.raises(DataError, match="Dolby Vision"):
        list(read_frames(path))


def test_metadata_of_dolby_vision_count_as_its_tag(source: Path) -> None:
    """In Matroska there is no tag: frames have it beside them."""
    facts = replace(probe(source), has_dolby_vision=True, is_yuv=True, transfer=UNSPECIFIED)
    with pytest.raises(DataError, match="Dolby Vision"):
        reading_filters(source, facts, None)


def test_untagged_hd_is_bt709(tmp_path: Path) -> None:
    for size, matrix in (("64x64", "bt601"), ("1280x720", "bt709")):
        path = tmp_path / f"{size}.mp4"
        colour = f"color=0xc04020:s={size}:r=25:d=0.1,format=gbrp"
        filters = f"scale=out_color_matrix={matrix},format=yuv444p,setparams=colorspace=unknown"
        ffmpeg("-f", "lavfi", "-i", colour, "-vf", filters, "-c:v", "libx264", "-qp", "0", path)
        pixel = next(iter(read_frames(path)))[10, 10].astype(int)
        assert np.abs(pixel - (0xC0, 0x40, 0x20)).max() <= 3


@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        ("mov", ("-c:v", "qtrle")),
        ("webm", ("-vf", "format=yuva420p", "-c:v", "libvpx-vp9")),
        ("webm", ("-vf", "format=yuva420p", "-c:v", "libvpx", "-auto-alt-ref", "0")),
    ],
)
def test_transparency_is_grey(tmp_path: Path, suffix: str, how: tuple[str, ...]) -> None:
    path = tmp_path / f"a.{suffix}"
    clear = "color=red@0.0:s=64x48:r=10:d=0.5,format=rgba"
    ffmpeg("-f", "lavfi", "-i", clear, *how, path)
    frames = list(read_frames(path))
    assert len(frames) == 5 and (np.abs(frames[0].astype(int) - 128) <= 1).all()
    assert "neutral grey" in notes_on(path)[0]


def test_transparent_gif(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (63, 48), (255, 0, 0, 0)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste((0, 0, 255, 255), (number * 10, 0, number * 10 + 10, 20))
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, disposal=2)
    found = next(iter(read_frames(path)))
    assert found[40, 40].tolist() == [128] * 3 and found[5, 5].tolist() == [0, 0, 255]
    assert "neutral grey" in notes_on(path)[0]


@pytest.mark.parametrize("format_name", ["mp4", "webm", "mkv", "gif"])
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_own_files_go_through_no_filter(
    tmp_path: Path, format_name: str, size: tuple[int, int]
) -> None:
    path, settings = tmp_path / f"a.{format_name}", VideoSettings(*size, 25, provenance="made")
    with video_writer(path, format_name, settings) as writer:
        for number in ALL:
            writer.write(np.full((size[1], size[0], 3), level(number), np.uint8))
    facts = probe(path)
    assert facts.timing.is_constant and facts.timing.rate == 25
    assert claimed_frames(path) == NUM_FRAMES  # without what follows the last one of a GIF
    assert reading_filters(path, facts, None) == [] and notes_on(path) == []
    plain = tmp_path / "%03d.ppm"
    ffmpeg("-i", path, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", plain)
    for number, frame in enumerate(read_frames(path), start=1):
        assert np.array_equal(frame, np.asarray(Image.open(tmp_path / f"{number:03d}.ppm")))


# --- a second implementation -----------------------------------------------------------------


def _ffprobe(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_frames", "-of", "json"]
    done = subprocess.run([*command, str(path)], capture_output=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe")
@pytest.mark.parametrize("suffix", CODECS)
def test_facts_are_those_of_ffprobe(source: Path, tmp_path: Path, suffix: str) -> None:
    made = [at_rate(source, tmp_path / f"{n}.{suffix}", r) for n, r in enumerate((25, NTSC))]
    made.append(with_beep(made[0], tmp_path / f"beep.{suffix}", 0.6, 0.2))
    if suffix in TIMED:
        made.append(of_unlike_frames(source, tmp_path / f"unlike.{suffix}"))
    for path in made:
        told, facts = _ffprobe(path), probe(path)
        video = next(one for one in told["streams"] if one["codec_type"] == "video")
        frames = [one for one in told["frames"] if one["media_type"] == "video"]
        assert (facts.width_px, facts.height_px) == (video["width"], video["height"])
        assert facts.timing.num_frames == len(frames)
        sounds = [one for one in told["streams"] if one["codec_type"] == "audio"]
        assert facts.num_audio == len(sounds)
        first_s = float(frames[0]["best_effort_timestamp_time"])
        assert float(facts.timing.start_s) == pytest.approx(first_s, abs=0.002)
        aspect = video.get("sample_aspect_ratio", "1:1")
        assert facts.sample_aspect == Fraction(aspect.replace(":", "/"))
        assert facts.is_interlaced == any(one["interlaced_frame"] for one in frames[:5])
        declared, _, unit_s = video["avg_frame_rate"].partition("/")
        if facts.timing.is_constant and path.stem != "beep" and declared != "0":
            told_rate = float(declared) / float(unit_s)
            assert float(facts.timing.rate or 0) == pytest.approx(told_rate, rel=2e-3)


COLOURS = {"bt709": 1, "smpte170m": 6, "bt2020nc": 9, "bt2020": 9, "smpte2084": 16, "unknown": 2}


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe")
@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        ("gif", ()),
        ("png", ("-f", "apng")),
        ("mp4", ("-vf", "setsar=4/3,setparams=colorspace=bt709:color_primaries=bt709")),
        ("mp4", ("-vf", "setparams=colorspace=smpte170m:range=pc", "-pix_fmt", "yuv420p")),
        (
            "mkv",
            ("-vf", "format=yuv420p10,setparams=colorspace=bt2020nc:color_trc=smpte2084"),
        ),
        ("webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")),
        ("mpg", ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-vf", "setfield=tff")),
    ],
)
def test_shapes_and_colours_are_those_of_ffprobe(
    tmp_path: Path, suffix: str, how: tuple[str, ...]
) -> None:
    path = _pattern(tmp_path / f"a.{suffix}", *how)
    told, facts = _ffprobe(path), probe(path)
    video = next(one for one in told["streams"] if one["codec_type"] == "video")
    assert facts.codec.removeprefix("lib").split("-")[0] in (video["codec_name"], "vpx")
    assert facts.sample_aspect == Fraction(
        video.get("sample_aspect_ratio", "1:1").replace(":", "/").replace("0/1", "1/1")
    )
    named = {"matrix": "color_space", "transfer": "color_transfer", "primaries": "color_primaries"}
    for ours, theirs in named.items():
        if facts.is_yuv:
            assert getattr(facts, ours) == COLOURS[video.get(theirs, "unknown")]
    assert facts.is_full_range == (video.get("color_range") == "pc") or not facts.is_yuv
    assert facts.is_interlaced == (video.get("field_order", "progressive") != "progressive")
    assert facts.timing.num_frames == len(told["frames"]) == 25
