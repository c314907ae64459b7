"""What `stylefacev reenact` does: the driver's poses, the source's appearance, the sound."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stylefacev_cli.cli.delivery import Clock, describe_software, make_video
from stylefacev_cli.cli.motion_sources import open_motion, poses_of
from stylefacev_cli.cli.outputs import Target, choose_format
from stylefacev_cli.cli.people import load_person, open_who
from stylefacev_cli.cli.terminal import Terminal, holding_signals
from stylefacev_cli.cli.tracking_motion import check_out
from stylefacev_cli.errors import UsageError
from stylefacev_cli.video.formats import GIF_MAX_FPS
from stylefacev_cli.video.sound import SOUND_FORMATS, add_sound, has_sound
from stylefacev_cli.weights.manifest import read_manifest


@dataclass(frozen=True)
class ReenactWishes:
    """The options of the command, as given."""

    source: str
    driving: Path
    out: Path
    relative: bool
    audio: bool
    crop: bool | None
    detector: str | None
    truncation: float
    model: str
    batch: int | None
    device: str
    dtype: str
    num_threads: int | None
    force: bool
    as_json: bool


def make_reenactment(wishes: ReenactWishes, terminal: Terminal) -> None:
    """Make the video; what can be known to fail is told before any network is loaded.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    clock = Clock(terminal.started_s)
    format_name = choose_format(str(wishes.out), None)
    check_out(wishes.out, f".{format_name}", wishes.force)
    manifest = read_manifest(wishes.model)
    manifest.check_complete()
    who = open_who(wishes.source, manifest, "--source")
    if who.seed is None and wishes.truncation != 1:
        raise UsageError("--truncation is of seeds: leave it out with a latent or a photo")
    driver = open_motion(wishes.driving, manifest)
    if wishes.audio:
        if driver.track is not None:
            raise UsageError("--audio: a track has no sound; give --driving the video")
        if format_name not in SOUND_FORMATS:
            raise UsageError(f"--audio: a {format_name} has no sound; give an mp4, mkv or webm")
        if not has_sound(wishes.driving):
            raise UsageError(f"--audio: {wishes.driving} has no sound; leave --audio out")
    if format_name == "gif" and driver.fps > GIF_MAX_FPS:
        raise UsageError(f"a gif has at most {GIF_MAX_FPS:g} frames per second; make an mp4")
    with clock.counting("import_s"), holding_signals():
        from stylefacev_cli.networks.threads import set_num_threads
        from stylefacev_cli.pipeline import load_model
    with clock.counting("load_s"):
        if wishes.num_threads is not None:
            set_num_threads(wishes.num_threads)
        model = load_model(manifest.folder, wishes.device, wishes.dtype)
    with terminal.progress(driver.num_frames, "frames of the driver") as advance:
        poses, about = poses_of(driver, model, wishes.crop, wishes.detector, advance)
    record = {
        **describe_software(manifest),
        **who.about,
        "driving": about,
        "motion": "relative" if wishes.relative else "absolute",
        "audio": wishes.audio,
        "frames": len(poses),
        "fps": driver.fps,
        "width": manifest.resolution,
        "height": manifest.resolution,
        "truncation": wishes.truncation,
        "dtype": wishes.dtype,
        "format": format_name,
    }
    frames = model.reenact(
        load_person(who, model, wishes.truncation, terminal),
        poses,
        relative=wishes.relative,
        batch=wishes.batch,
    )
    sound = partial(add_sound, sound_from=wishes.driving, format_name=format_name)
    target = Target((who.seed or 0,), wishes.out)
    with terminal.progress(len(poses), "frames") as advance:
        finish = sound if wishes.audio else None
        made = make_video(frames, target, record, clock, advance, model, finish)
    if wishes.as_json:
        terminal.result(json.dumps({"videos": [made], "timing": clock.summary()}, indent=2))
    else:
        terminal.result(str(wishes.out))
    terminal.note(f"{len(poses)} frames in {clock.summary()['total_s']:.1f} s")
