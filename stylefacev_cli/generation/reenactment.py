"""What `stylefacev reenact` does: the driver's poses, the source's appearance, the sound."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.camera import Direction, check_mixes, doubts, mixes_of, transforms_of
from stylefacev_cli.generation.driving import MotionSource, open_motion, poses_of
from stylefacev_cli.generation.grid import Sheet, contact_sheet, layout, picked, plan_sheet
from stylefacev_cli.generation.identities import load_person, open_who
from stylefacev_cli.generation.output import Clock, describe_software, make_video, stream_video
from stylefacev_cli.generation.output_paths import Target, check_writable, without_existing
from stylefacev_cli.generation.plan import check_rate, planned_format
from stylefacev_cli.media import Frame
from stylefacev_cli.media.formats import SUFFIXES
from stylefacev_cli.media.sound import SOUND_FORMATS, add_sound, has_sound
from stylefacev_cli.weights.manifest import read_manifest

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Model, Person


@dataclass(frozen=True)
class ReenactWishes:
    """The options of the command, as given."""

    source: str
    driving: Path
    out: str
    relative: bool
    audio: bool
    crop: bool | None
    detector: str | None
    direction: Direction
    truncation: float
    model: str
    batch: int | None
    device: str
    dtype: str
    num_threads: int | None
    format_name: str | None  # None: by the name of `out`
    lossless: bool
    sheet_frames: int | None
    sheet_columns: int | None
    force: bool
    as_json: bool


def make_reenactment(wishes: ReenactWishes, terminal: Terminal) -> None:
    """Make the video; what can be known to fail is told before any network is loaded.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    clock = Clock(terminal.started_s)
    format_name = planned_format(
        wishes.out, wishes.format_name, lossless=wishes.lossless, as_json=wishes.as_json
    )
    manifest = read_manifest(wishes.model, for_videos=True)
    check_mixes(wishes.direction.mixes, manifest)
    who = open_who(wishes.source, manifest, "--source")
    if who.seed is None and wishes.truncation != 1:
        raise UsageError("--truncation is of seeds: leave it out with a latent or a photo")
    target = _target(wishes, format_name, who.seed or 0)
    driver = open_motion(wishes.driving, manifest)
    if wishes.audio:
        _check_audio(wishes, driver, format_name)
    check_rate(format_name, driver.fps)
    with clock.counting("import_s"), holding_signals():
        from stylefacev_cli.common.threads import set_num_threads
        from stylefacev_cli.pipeline import load_model
    with clock.counting("load_s"):
        if wishes.num_threads is not None:
            set_num_threads(wishes.num_threads)
        model = load_model(manifest.folder, wishes.device, wishes.dtype)
    for doubt in doubts(wishes.direction.camera, model):
        terminal.note(doubt)
    with terminal.progress(driver.num_frames, "frames of the driver") as advance:
        poses, about = poses_of(driver, model, wishes.crop, wishes.detector, advance)
    sheet = plan_sheet(format_name, wishes.sheet_frames, wishes.sheet_columns, len(poses))
    rows, columns = layout(
        target, grid=False, chain=False, tile_px=manifest.resolution, sheet=sheet
    )
    record = {
        **describe_software(manifest),
        **who.about,
        "driving": about,
        "motion": "relative" if wishes.relative else "absolute",
        "audio": wishes.audio,
        "frames": len(poses),
        "fps": driver.fps,
        "width": columns * manifest.resolution,
        "height": rows * manifest.resolution,
        "truncation": wishes.truncation,
        **wishes.direction.told(),
        "dtype": wishes.dtype,
        "format": format_name,
        "lossless": wishes.lossless,
    }
    person = load_person(who, model, wishes.truncation, terminal)
    frames = _frames(person, model, poses, wishes, sheet)
    if sheet is not None:
        frames = contact_sheet([frames], sheet, rows, columns)
    finish = None
    if wishes.audio:
        finish = partial(add_sound, sound_from=wishes.driving, format_name=format_name)
    with terminal.progress(1 if sheet else len(poses), "frames") as advance:
        if wishes.out == "-":
            stream_video(frames, target, record, clock, advance)
        else:
            made = make_video(frames, target, record, clock, advance, model, finish)
            if wishes.as_json:
                result = {"videos": [made], "timing": clock.summary()}
                terminal.result(json.dumps(result, indent=2))
            else:
                terminal.result(str(target.path))
    terminal.note(f"{len(poses)} frames in {clock.summary()['total_s']:.1f} s")


def _target(wishes: ReenactWishes, format_name: str, seed: int) -> Target:
    """Where the video goes, checked."""
    if wishes.out == "-":
        return Target((seed,), Path("stdout"))
    target = Target((seed,), expand_home(wishes.out, "--out"))
    suffix = SUFFIXES.get(format_name, f".{format_name}")
    if suffix and target.path.suffix.lower() != suffix:
        raise UsageError(f"--out {wishes.out}: give a name that ends in {suffix}")
    without_existing([target], format_name, force=wishes.force, skip_existing=False)
    check_writable([target])
    return target


def _check_audio(wishes: ReenactWishes, driver: MotionSource, format_name: str) -> None:
    if driver.track is not None:
        raise UsageError("--audio: a track has no sound; give --driving the video")
    if wishes.out == "-":
        raise UsageError("--audio: sound is added to files, not to -o -; give a name")
    if format_name not in SOUND_FORMATS:
        raise UsageError(f"--audio: a {format_name} has no sound; give an mp4, mkv or webm")
    if not has_sound(wishes.driving):
        raise UsageError(f"--audio: {wishes.driving} has no sound; leave --audio out")


def _frames(
    person: Person, model: Model, poses: torch.Tensor, wishes: ReenactWishes, sheet: Sheet | None
) -> Iterator[Frame]:
    """The frames of the video, or of a sheet those that it shows."""
    import torch

    num, direction = len(poses), wishes.direction
    followed = person.following(poses.to(model.device), wishes.relative)
    moves: Iterable[torch.Tensor] = torch.split(followed, 1)
    places = transforms_of(direction.camera, num, closed=False)
    if sheet is not None:
        picks = set(sheet.picks(num))
        moves = picked(moves, picks)
        places = None if places is None else picked(places, picks)
    mixes = mixes_of(direction.mixes, model, wishes.truncation)
    return person.play(moves, wishes.batch, mixes=mixes, transforms=places)
