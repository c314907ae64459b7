"""Reenactment: the driver's motion on the source's appearance, with the driver's sound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.camera import parse_camera
from stylefacev_cli.generation.driving import DrivingMotion, open_driving, read_motion_of
from stylefacev_cli.generation.identities import Identity, open_identity
from stylefacev_cli.generation.mixing import check_mixes, parse_mixes
from stylefacev_cli.generation.motion_plan import Motion, MotionPlan
from stylefacev_cli.generation.outputs.grid import layout, plan_sheet
from stylefacev_cli.generation.outputs.output_paths import (
    Target,
    check_rate,
    check_writable,
    video_format,
    without_existing,
)
from stylefacev_cli.generation.requests import CameraOptions
from stylefacev_cli.generation.requests.kind_options import check_own
from stylefacev_cli.generation.spec import FaceSpec, Plan, RenderSettings, VideoSpec
from stylefacev_cli.media.formats import SUFFIXES
from stylefacev_cli.weights.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from stylefacev_cli.generation.requests import ReenactRequest
    from stylefacev_cli.generation.run import Session


@dataclass(frozen=True)
class ReenactmentPlan:
    """A reenactment whose driver has not been read yet.

    Attributes:
        request: what is asked for.
        settings: of the video, but for its motion.
        identity: of the source.
        driver: whose motion is followed.
        path: of the video; None: a stream or memory.
    """

    request: ReenactRequest
    settings: RenderSettings
    identity: Identity
    driver: DrivingMotion
    path: Path | None

    @property
    def outputs(self) -> list[list[Path]]:
        """What is written, as `claimed` takes it."""
        return [] if self.path is None else [[self.path]]


def plan_reenactment(request: ReenactRequest, manifest: Manifest | None = None) -> ReenactmentPlan:
    """The reenactment of a request, checked before any network is loaded.

    Args:
        request: what is asked for.
        manifest: of the model; None: of `request.compute.model`.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    form = request.form
    format_name = video_format(request.out, form.format, lossless=form.lossless)
    camera = None if request.camera == CameraOptions() else parse_camera(request.camera)
    mixes = parse_mixes(request.mix)
    manifest = manifest or read_manifest(request.compute.model, for_videos=True, any_kind=True)
    check_own(manifest, "reenact")
    check_mixes(mixes, manifest)
    identity = open_identity(request.source, manifest, "--source")
    if identity.seed is None and request.truncation != 1:
        raise UsageError("--truncation is of seeds: leave it out with a latent or a photo")
    path = _path(request, format_name)
    driver = open_driving(request.driving, manifest)
    if request.audio:
        _check_audio(request, driver, format_name)
    check_rate(format_name, driver.fps)
    settings = RenderSettings(
        manifest,
        MotionPlan((Motion(),), max(1, driver.num_frames), driver.fps),
        camera,
        mixes,
        truncation=request.truncation,
        batch=request.compute.batch,
        dtype=request.compute.dtype,
        format=format_name,
        lossless=form.lossless,
        # The number of frames is that of the driver as it is read; options are checked now.
        sheet=plan_sheet(format_name, form.sheet_frames, form.sheet_columns, 1),
        search=request.search,
        sound_from=driver.path if request.audio else None,
    )
    return ReenactmentPlan(request, settings, identity, driver, path)


def read_driver(plan: ReenactmentPlan, session: Session) -> Plan:
    """The plan of the video, with the poses of its driver.

    Raises:
        DataError: there is not one face in all frames of the driver, or it cannot be read.
    """
    from stylefacev_cli.motion.pose_tracks import PoseTrack

    request, driver, manifest = plan.request, plan.driver, plan.settings.manifest
    with session.clock.counting("search_s"):
        person = session.person(plan.identity, plan.settings)
        poses, source = read_motion_of(
            driver, person, request.search, session.listener, relative=request.relative
        )
    track = PoseTrack(poses.numpy(), driver.fps, manifest.pose_space or "")
    motion = Motion(track=track, source=source)
    form, format_name = request.form, plan.settings.format
    sheet = plan_sheet(format_name, form.sheet_frames, form.sheet_columns, len(track))
    settings = replace(
        plan.settings, motion=MotionPlan((motion,), len(track), driver.fps), sheet=sheet
    )
    target = Target((plan.identity.seed or 0,), plan.path or Path("memory"))
    tile_px = manifest.resolution
    rows, columns = layout(target, grid=False, chain=False, tile_px=tile_px, sheet=sheet)
    record = {
        **plan.identity.record,
        "driving": source,
        "motion": "relative" if request.relative else "absolute",
        "audio": request.audio,
    }
    face = FaceSpec((plan.identity,), motion)
    spec = VideoSpec(plan.identity.name, (face,), rows, columns, settings, record, plan.path)
    return Plan(settings, (spec,), to_stream=request.out == "-")


def _path(request: ReenactRequest, format_name: str) -> Path | None:
    """Where the video goes, checked."""
    if request.out is None or request.out == "-":
        return None
    path = expand_home(request.out, "--out")
    suffix = SUFFIXES.get(format_name, f".{format_name}")
    if suffix and path.suffix.lower() != suffix:
        raise UsageError(f"--out {request.out}: give a name that ends in {suffix}")
    targets = [Target((0,), path)]
    without_existing(targets, format_name, force=request.force, skip_existing=None)
    check_writable(targets)
    return path


def _check_audio(request: ReenactRequest, driver: DrivingMotion, format_name: str) -> None:
    from stylefacev_cli.media.sound import SOUND_FORMATS, has_sound

    if driver.track is not None or driver.path is None:
        raise UsageError("--audio: a track has no sound; give --driving the video")
    if request.out == "-":
        raise UsageError("--audio: sound is added to files, not to -o -; give a name")
    if format_name not in SOUND_FORMATS:
        raise UsageError(f"--audio: a {format_name} has no sound; give an mp4, mkv or webm")
    if not has_sound(driver.path):
        raise UsageError(f"--audio: {driver.path} has no sound; leave --audio out")
