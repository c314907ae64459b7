"""Plan → videos: load the model, render each spec, write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.camera import camera_path, camera_warnings
from stylefacev_cli.generation.identities import Identity, load_person
from stylefacev_cli.generation.mixing import load_mixes
from stylefacev_cli.generation.motion_plan import appearance_and_poses, make_track
from stylefacev_cli.generation.outputs.grid import contact_sheet, select, tiled
from stylefacev_cli.generation.outputs.output import Clock, Feed, stream_video, write_video

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.generation.requests import ComputeOptions
    from stylefacev_cli.generation.spec import FaceSpec, Plan, RenderSettings, VideoSpec
    from stylefacev_cli.media.frames import Frame
    from stylefacev_cli.pipeline import Mix, Model, Person, VideoModel
    from stylefacev_cli.weights.manifest import Manifest

Poses = list["torch.Tensor"]  # [1, 1, 8, 8] each


@dataclass(frozen=True)
class Result:
    """A video that was written.

    Attributes:
        spec: that it was rendered from.
        record: what its JSON file says; of a stream its provenance.
    """

    spec: VideoSpec
    record: dict[str, Any]

    @property
    def path(self) -> Path | None:
        """Of the file or folder; None for a stream."""
        return self.spec.path


@dataclass(frozen=True)
class Session:
    """A loaded model, and the people who were loaded for it.

    Attributes:
        model: that renders; one of another kind than StyleFaceV's own can only sample.
        listener: receives notes and progress.
        clock: keeps the time.
    """

    model: Model | VideoModel
    listener: Listener
    clock: Clock = field(default_factory=Clock)
    _people: dict[Identity, Person] = field(default_factory=dict)
    _mixes: dict[Any, list[Mix]] = field(default_factory=dict)

    @property
    def own_model(self) -> Model:
        """The model, which has people and poses: plans refuse others where those are needed."""
        return cast("Model", self.model)

    def person(self, identity: Identity, settings: RenderSettings) -> Person:
        """The person of an identity; those of files are loaded once."""
        if identity.seed is not None:
            return self.own_model.person(identity.seed, settings.truncation)
        if identity not in self._people:
            self._people[identity] = load_person(
                identity, self.own_model, settings.search, self.listener
            )
        return self._people[identity]

    def mixes(self, settings: RenderSettings) -> list[Mix]:
        """The mixes with their appearances, loaded once."""
        key = (settings.mixes, settings.truncation)
        if key not in self._mixes:
            self._mixes[key] = load_mixes(settings.mixes, self.own_model, settings.truncation)
        return self._mixes[key]


def open_session(
    manifest: Manifest,
    compute: ComputeOptions,
    listener: Listener,
    clock: Clock,
    *,
    dtype: str = "float32",
    renders: bool = True,
) -> Session:
    """Load a model.

    Args:
        manifest: of the model.
        compute: where, and with how many threads.
        listener: receives notes and progress.
        clock: keeps the time.
        dtype: of the generator's convolutions.
        renders: frames will be rendered, so that kernels are compiled now.

    Raises:
        UsageError: there is no such device.
        MissingWeightsError: a file of the model is not there.
        IntegrityError: the model is damaged.
    """
    with clock.counting("import_s"), listener.doing("importing torch"), holding_signals():
        from stylefacev_cli.common.threads import num_threads, set_num_threads
        from stylefacev_cli.pipeline import load_model
    with clock.counting("load_s"), listener.doing(f"loading the model {manifest.name}"):
        if compute.threads is not None:
            set_num_threads(compute.threads)
        model = load_model(manifest, compute.device, dtype)
    if renders:
        with clock.counting("warm_up_s"), listener.doing("compiling kernels"):
            model.warm_up()
    listener.detail(
        f"model {manifest.name} ({manifest.sha256[:12]}) from {manifest.folder}, "
        f"{model.device.type}, {dtype}, {num_threads()} threads"
    )
    return Session(model, listener, clock)


def prepare(plan: Plan, session: Session) -> None:
    """Load the people of files, and warn of settings that the model handles badly."""
    if plan.settings.camera is not None:
        for warning in camera_warnings(plan.settings.camera, session.own_model):
            session.listener.note(warning)
    for identity in plan.identities:
        with session.clock.counting("load_s" if identity.photo is None else "fit_s"):
            session.person(identity, plan.settings)


def run(plan: Plan, session: Session, stream: BinaryIO | None = None) -> Iterator[Result]:
    """Render and write the videos of a plan, one after the other.

    Args:
        plan: what is rendered.
        session: by whom.
        stream: for the video of a plan that goes to one.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
        BrokenPipeError: nobody reads the stream any more.
    """
    if plan.to_stream and stream is None:
        raise UsageError("out - is a stream of the command line; give a name, or none")
    prepare(plan, session)
    total = sum(spec.num_frames for spec in plan.specs)
    with session.listener.progress(total, "frames") as advance:
        for spec in plan.specs:
            yield _write(spec, session, advance, stream)


def _write(
    spec: VideoSpec, session: Session, advance: Callable[[str], None], stream: BinaryIO | None
) -> Result:
    saved: dict[FaceSpec, Poses] = {}
    about, settings = spec.about, spec.settings
    feed = Feed(render(spec, session, saved), about, session.clock, lambda: advance(spec.name))

    def finish(part: Path) -> None:
        if settings.sound_from is not None:
            from stylefacev_cli.media.sound import add_sound

            add_sound(part, settings.sound_from, settings.format)
        _save_tracks(spec, saved, session)

    if spec.path is None:
        assert stream is not None
        stream_video(feed, stream)
        _save_tracks(spec, saved, session)
        return Result(spec, about)
    return Result(spec, write_video(feed, spec.path, session.model.device.type, finish))


def render(
    spec: VideoSpec, session: Session, saved: dict[FaceSpec, Poses] | None = None
) -> Iterator[Frame]:
    """The frames of a video.

    Args:
        spec: of the video.
        session: that renders it.
        saved: takes the poses of the faces whose tracks are saved.

    Returns:
        An iterator of uint8 [H, W, 3] arrays.
    """
    faces = [_render_face(face, spec.settings, session, saved) for face in spec.faces]
    sheet = spec.settings.sheet
    if sheet is not None:
        return contact_sheet(faces, sheet, spec.rows, spec.columns)
    return tiled(faces, spec.rows, spec.columns) if spec.settings.is_grid else faces[0]


def _render_face(
    face: FaceSpec,
    settings: RenderSettings,
    session: Session,
    saved: dict[FaceSpec, Poses] | None,
) -> Iterator[Frame]:
    """The frames of one face; of a contact sheet those that it shows."""
    motion = settings.motion
    if not settings.manifest.is_own:
        yield from _sample(face, settings, session)
        return
    model = session.own_model
    if model.manifest.missing:  # a single frame, which takes the generator alone
        from stylefacev_cli.pipeline import as_pictures

        yield from as_pictures(model.first_frame(face.own_seed, settings.truncation))
        return
    people = [session.person(one, settings) for one in face.identities]
    appearance, poses = appearance_and_poses(
        model, motion, face.motion, people, face.own_seed, settings.stabilise, session.listener
    )
    if face.track_path is not None and saved is not None:
        poses = _recording(poses, saved.setdefault(face, []))
    transforms = None
    if settings.camera is not None:
        transforms = camera_path(settings.camera, motion.num_frames, motion.loops)
    if settings.sheet is not None:  # only what is shown is rendered
        shown = set(settings.sheet.picks(motion.num_frames))
        poses = select(poses, shown)
        transforms = None if transforms is None else select(transforms, shown)
        appearance = select(appearance, shown) if isinstance(appearance, Iterator) else appearance
    batch = settings.batch or model.default_batch
    mixes = session.mixes(settings) if settings.mixes else ()
    yield from people[0].model.play(appearance, poses, batch, mixes=mixes, transforms=transforms)


def _sample(face: FaceSpec, settings: RenderSettings, session: Session) -> Iterator[Frame]:
    """The frames of one face by a model of another kind; of a contact sheet those that it shows."""
    frames = session.model.sample(
        face.own_seed,
        settings.motion.num_frames,
        motion_seed=face.motion.motion_seed,
        truncation=settings.truncation,
    )
    shown = None if settings.sheet is None else settings.sheet.picks(settings.motion.num_frames)
    return frames if shown is None else select(frames, set(shown))


def _recording(poses: Iterator[torch.Tensor], into: Poses) -> Iterator[torch.Tensor]:
    """Pass poses on, and keep them."""
    for pose in poses:
        into.append(pose.cpu())
        yield pose


def _save_tracks(spec: VideoSpec, saved: dict[FaceSpec, Poses], session: Session) -> None:
    """Write the tracks of a video before it bears its name."""
    if not saved:
        return
    import torch

    from stylefacev_cli.motion.pose_tracks import write_track

    motion = spec.settings.motion
    for face, poses in saved.items():
        assert face.track_path is not None
        origin = {**spec.about, **face.record}
        track = make_track(torch.cat(poses), session.own_model, motion.fps, origin, motion.loops)
        write_track(face.track_path, track)
