"""The generation engine as functions: what the commands do, with results in memory or in files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.common.options import with_keywords
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.outputs.claims import claimed, claimed_videos
from stylefacev_cli.generation.outputs.output import Clock
from stylefacev_cli.generation.outputs.video import Video
from stylefacev_cli.generation.requests import (
    GenerateRequest,
    InvertRequest,
    ReenactRequest,
    RenderOptions,
    TrackRequest,
)
from stylefacev_cli.generation.run import Session, open_session, prepare, render, run

if TYPE_CHECKING:
    from stylefacev_cli.generation.inversions import InvertedPerson
    from stylefacev_cli.generation.spec import Plan, VideoSpec
    from stylefacev_cli.motion.pose_tracks import PoseTrack
    from stylefacev_cli.pipeline import Model, VideoModel
    from stylefacev_cli.weights.manifest import Manifest

    AnyModel: TypeAlias = str | Path | Model | VideoModel


@with_keywords(GenerateRequest)
def generate(
    request: GenerateRequest, model: AnyModel | None = None, listener: Listener | None = None
) -> Video | list[Video]:
    """Generate face videos of seeds or people.

        sf.generate(seeds="0-3", motion_seeds=5, grid=True, frames=48, loop=True)

    Args:
        request: the options of `stylefacev generate`, by their names. Without `out` nothing is
            written, and frames are rendered when they are looked at.
        model: a loaded model, or the name or folder of one.
        listener: receives notes and progress; None: the log `stylefacev_cli`.

    Returns:
        The video, or a list where the request is for several.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.plan import plan_videos

    if request.save_track is not None and request.out is None:
        raise UsageError("save_track: tracks are saved with the files of videos; give out, too")
    request, manifest = _with_model(request, model)
    with claimed_videos(plan_videos(request, manifest)) as plan:
        if not plan.specs:
            return []
        return _videos(plan, _session(plan.settings.manifest, model, request, listener))


@with_keywords(ReenactRequest, "source", "driving")
def reenact(
    request: ReenactRequest, model: AnyModel | None = None, listener: Listener | None = None
) -> Video:
    """Let one person follow another one's motion.

        sf.reenact("me.jpg", "clip.mp4", audio=True, out="me.mp4")

    Args:
        request: the options of `stylefacev reenact`, by their names; `source` may be a person of
            `sf.invert`, `driving` a track of `sf.track`. Without `out` nothing is written.
        model: a loaded model, or the name or folder of one.
        listener: receives notes and progress; None: the log `stylefacev_cli`.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.reenactment import plan_reenactment, read_driver

    request, manifest = _with_model(request, model)
    plan = plan_reenactment(request, manifest)
    with claimed(plan.outputs, force=request.force):
        session = _session(plan.settings.manifest, model, request, listener)
        videos = _videos(read_driver(plan, session), session)
    assert isinstance(videos, Video)
    return videos


@with_keywords(InvertRequest)
def invert(
    request: InvertRequest, model: AnyModel | None = None, listener: Listener | None = None
) -> InvertedPerson | list[InvertedPerson]:
    """Find the person of a photo in a model.

        me = sf.invert("me.jpg")
        sf.generate(from_=me)

    Args:
        request: the options of `stylefacev invert`, by their names. Without `out` nothing is
            written.
        model: a loaded model, or the name or folder of one.
        listener: receives notes and progress; None: the log `stylefacev_cli`.

    Returns:
        The person of the photo, or a list of several.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.inversions import plan_inversions, run_inversions

    request, manifest = _with_model(request, model)
    plan = plan_inversions(request, manifest)
    with claimed(plan.outputs, force=request.force):
        session = _session(plan.manifest, model, request, listener, renders=False)
        people = list(run_inversions(plan, session))
    return people[0] if len(people) == 1 else people


@with_keywords(TrackRequest)
def track(
    request: TrackRequest, model: AnyModel | None = None, listener: Listener | None = None
) -> PoseTrack:
    """Read the motion of a video as a pose track, or edit a track.

        motion = sf.track("clip.mp4", smooth=5, loop=True)
        sf.generate(seeds="0-3", track=motion)

    Args:
        request: the options of `stylefacev track`, by their names; `source` may be a track of
            `sf.track`. Without `out` nothing is written.
        model: a loaded model, or the name or folder of one.
        listener: receives notes and progress; None: the log `stylefacev_cli`.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.tracking import plan_track, run_track

    request, manifest = _with_model(request, model)
    plan = plan_track(request, manifest)
    with claimed(plan.outputs, force=plan.force):
        return run_track(plan, _session(plan.manifest, model, request, listener, renders=False))


def _with_model(request: Any, model: AnyModel | None) -> tuple[Any, Manifest | None]:
    """The request with a model's name or settings, and the manifest of a loaded model."""
    compute = request.compute
    if model is None:
        return request, None
    if isinstance(model, str | Path):
        return replace(request, compute=replace(compute, model=str(model))), None
    if not hasattr(model, "manifest"):  # looked at without importing torch
        raise UsageError(f"model {str(model)[:60]!r}: give a name, a folder, or sf.load_model's")
    if compute.device != "auto":
        raise UsageError("device is that of the loaded model; leave it out")
    if isinstance(compute, RenderOptions):
        dtype = str(model.dtype).removeprefix("torch.")
        request = replace(request, compute=replace(compute, dtype=dtype))
    return request, model.manifest


def _session(
    manifest: Manifest,
    model: AnyModel | None,
    request: Any,
    listener: Listener | None,
    *,
    renders: bool = True,
) -> Session:
    listener, clock, compute = listener or LogListener(), Clock(), request.compute
    if model is not None and not isinstance(model, str | Path):
        if compute.threads is not None:
            from stylefacev_cli.common.threads import set_num_threads

            set_num_threads(compute.threads)
        return Session(model, listener, clock)
    dtype = getattr(compute, "dtype", "float32")
    return open_session(manifest, compute, listener, clock, dtype=dtype, renders=renders)


def _videos(plan: Plan, session: Session) -> Video | list[Video]:
    if plan.specs[0].path is None and not plan.to_stream:
        prepare(plan, session)
        specs = plan.specs
    else:
        specs = tuple(result.spec for result in run(plan, session))
    videos = [_video(spec, session) for spec in specs]
    return videos[0] if len(videos) == 1 and not plan.skipped else videos


def _video(spec: VideoSpec, session: Session) -> Video:
    return Video(
        partial(render, spec, session),
        num_frames=spec.num_frames,
        name=spec.name,
        about=spec.about,
        device=session.model.device.type,
        path=spec.path,
        sound_from=spec.settings.sound_from,
    )
