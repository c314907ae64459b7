"""The generation engine as functions: what the commands do, with results in memory or in files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.common.options import documented, option_fields, request_of_call
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.outputs.output import Clock
from stylefacev_cli.generation.outputs.video import Video
from stylefacev_cli.generation.requests import (
    GenerateRequest,
    InvertRequest,
    MotionInMemory,
    PersonInMemory,
    ReenactRequest,
    TrackRequest,
)
from stylefacev_cli.generation.run import Session, open_session, prepare, render, run

if TYPE_CHECKING:
    from stylefacev_cli.generation.inversions import InvertedPerson
    from stylefacev_cli.generation.spec import Plan, VideoSpec
    from stylefacev_cli.motion.pose_tracks import PoseTrack
    from stylefacev_cli.pipeline import Model
    from stylefacev_cli.weights.manifest import Manifest

    AnyModel: TypeAlias = str | Path | Model


@documented(GenerateRequest)
def generate(
    *, model: AnyModel | None = None, listener: Listener | None = None, **options: Any
) -> Video | list[Video]:
    """Generate face videos of seeds or people.

        sf.generate(seeds="0-3", motion_seeds=5, grid=True, frames=48, loop=True)

    Args:
        model: a loaded model, or the name or folder of one.
        listener: is told how it goes; None: the log `stylefacev_cli`.
        options: those of `stylefacev generate`. Without `out` nothing is written, and frames are
            rendered when they are looked at.

    Returns:
        The video, or a list where the request is for several.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.plan import plan_videos

    request, manifest = _request(GenerateRequest, model, options)
    if request.save_track is not None and request.out is None:
        raise UsageError("save_track: tracks are saved with the files of videos; give out, too")
    plan = plan_videos(request, manifest)
    if not plan.specs:
        return []
    session = _session(plan.settings.manifest, model, request, listener)
    return _videos(plan, session)


@documented(ReenactRequest, "source", "driving")
def reenact(
    source: str | int | Path | PersonInMemory,
    driving: str | Path | MotionInMemory,
    *,
    model: AnyModel | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> Video:
    """Let a person follow somebody else's motion.

        sf.reenact("me.jpg", "clip.mp4", audio=True, out="me.mp4")

    Args:
        source: a seed, a photo, a file of `stylefacev invert`, or a person of `sf.invert`.
        driving: a video, a pose track, or a track of `sf.track`.
        model: a loaded model, or the name or folder of one.
        listener: is told how it goes; None: the log `stylefacev_cli`.
        options: those of `stylefacev reenact`. Without `out` nothing is written.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.reenactment import plan_reenactment, read_driver

    options |= {"source": source, "driving": driving}
    request, manifest = _request(ReenactRequest, model, options)
    plan = plan_reenactment(request, manifest)
    session = _session(plan.settings.manifest, model, request, listener)
    videos = _videos(read_driver(plan, session), session)
    assert isinstance(videos, Video)
    return videos


@documented(InvertRequest, "photos")
def invert(
    photos: str | Path | Sequence[str | Path],
    *,
    model: AnyModel | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> InvertedPerson | list[InvertedPerson]:
    """Find the person of a photo in a model.

        me = sf.invert("me.jpg")
        sf.generate(from_=me)

    Args:
        photos: a photo's file, or several.
        model: a loaded model, or the name or folder of one.
        listener: is told how it goes; None: the log `stylefacev_cli`.
        options: those of `stylefacev invert`. Without `out` nothing is written.

    Returns:
        The person of a photo, or a list for a list.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.inversions import plan_inversions, run_inversions

    request, manifest = _request(InvertRequest, model, {**options, "photos": photos})
    plan = plan_inversions(request, manifest)
    session = _session(plan.manifest, model, request, listener, renders=False)
    people = list(run_inversions(plan, session))
    return people[0] if isinstance(photos, str | Path) else people


@documented(TrackRequest, "source")
def track(
    source: str | Path | MotionInMemory,
    *,
    model: AnyModel | None = None,
    listener: Listener | None = None,
    **options: Any,
) -> PoseTrack:
    """Read the motion of a video as a pose track, or edit a track.

        motion = sf.track("clip.mp4", smooth=5, loop=True)
        sf.generate(seeds="0-3", track=motion)

    Args:
        source: a video of one face, a pose track, or a track of `sf.track`.
        model: a loaded model, or the name or folder of one.
        listener: is told how it goes; None: the log `stylefacev_cli`.
        options: those of `stylefacev track`. Without `out` nothing is written.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.generation.tracking import plan_track, run_track

    request, manifest = _request(TrackRequest, model, {**options, "source": source})
    plan = plan_track(request, manifest)
    return run_track(plan, _session(plan.manifest, model, request, listener, renders=False))


def _request(
    kind: type, model: AnyModel | None, options: dict[str, Any]
) -> tuple[Any, Manifest | None]:
    """The request of a call, and the manifest of a model that is loaded already."""
    values = {"out": None, **options}
    if model is None or isinstance(model, str | Path):
        return request_of_call(kind, values | ({} if model is None else {"model": model})), None
    for name in ("device", "dtype"):
        if name in options:
            raise UsageError(f"{name} is that of the loaded model; leave it out")
    if any(one.name == "dtype" for one in option_fields(kind)):
        values["dtype"] = str(model.dtype).removeprefix("torch.")
    return request_of_call(kind, values), model.manifest


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
    return videos[0] if len(videos) == 1 else videos


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
