"""What is rendered: a `VideoSpec` for each output, which needs nothing of the request any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylefacev_cli.generation.camera import Camera
from stylefacev_cli.generation.identities import Identity
from stylefacev_cli.generation.mixing import LayerMix
from stylefacev_cli.generation.motion_plan import Motion, MotionPlan
from stylefacev_cli.generation.outputs.grid import Sheet
from stylefacev_cli.generation.outputs.output import describe_software
from stylefacev_cli.generation.requests import FaceSearchOptions
from stylefacev_cli.weights.manifest import Manifest


@dataclass(frozen=True)
class RenderSettings:
    """What all videos of a request share.

    Attributes:
        manifest: of the model.
        motion: motions, length, rate and edits.
        camera: its moves; None: the picture stays as it is.
        mixes: layers of other seeds.
        truncation: of seeds.
        stabilise: keep the poses of long videos near the first ones.
        batch: frames rendered at once; None: by resolution.
        dtype: of the generator's convolutions.
        format: of the file or stream.
        lossless: keep every colour.
        sheet: of a contact sheet; None for videos.
        is_grid: several faces side by side.
        search: how the face is found in photos that have to be inverted first.
        sound_from: the file whose sound is added.
    """

    manifest: Manifest
    motion: MotionPlan
    camera: Camera | None = None
    mixes: tuple[LayerMix, ...] = ()
    truncation: float = 1.0
    stabilise: bool = True
    batch: int | None = None
    dtype: str = "float32"
    format: str = "mp4"
    lossless: bool = False
    sheet: Sheet | None = None
    is_grid: bool = False
    search: FaceSearchOptions = FaceSearchOptions()
    sound_from: Path | None = None


@dataclass(frozen=True, eq=False)
class FaceSpec:
    """One face of a video.

    Attributes:
        identities: one, or several that become each other over the video.
        motion: that it follows.
        own_seed: of the motion where that names none.
        track_path: where its poses are saved.
        record: what a saved track says of it.
    """

    identities: tuple[Identity, ...]
    motion: Motion
    own_seed: int = 0
    track_path: Path | None = None
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoSpec:
    """One output: everything that rendering it needs.

    Attributes:
        name: for progress and for a video in memory.
        faces: row by row.
        rows: of tiles in its pictures.
        columns: of tiles.
        settings: shared with the other videos of the request.
        record: what its provenance says of faces and motions.
        path: of the file or folder; None: a stream or memory.
    """

    name: str
    faces: tuple[FaceSpec, ...]
    rows: int
    columns: int
    settings: RenderSettings
    record: Mapping[str, Any]
    path: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that is written: the video, and the tracks of its faces."""
        paths = (self.path, *(face.track_path for face in self.faces))
        return tuple(path for path in paths if path is not None)

    @property
    def num_frames(self) -> int:
        """The frames that are rendered: 1 of a contact sheet."""
        return 1 if self.settings.sheet else self.settings.motion.num_frames

    @property
    def about(self) -> dict[str, Any]:
        """The provenance: nothing that differs from run to run."""
        settings = self.settings
        how: dict[str, Any] = {}
        if len(seeds := self.faces[0].identities) > 1:
            how["interpolate"] = [one.seed for one in seeds]
        if settings.mixes:
            how["mix"] = [mix.as_record() for mix in settings.mixes]
        if settings.camera is not None:
            how["camera"] = settings.camera.as_record()
        if settings.motion.edits is not None and settings.motion.needs_all_poses:
            how["edits"] = settings.motion.edits.as_record()
        if settings.sheet is not None:
            how["sheet"] = vars(settings.sheet)
        return {
            **describe_software(settings.manifest),
            **self.record,
            "frames": settings.motion.num_frames,
            "fps": settings.motion.fps,
            "width": self.columns * settings.manifest.resolution,
            "height": self.rows * settings.manifest.resolution,
            "truncation": settings.truncation,
            "stabilise": settings.stabilise,
            **how,
            "dtype": settings.dtype,
            "format": settings.format,
            "lossless": settings.lossless,
        }


@dataclass(frozen=True)
class Plan:
    """What a request will make.

    Attributes:
        settings: of all videos.
        specs: of each video.
        skipped: paths of videos that are there already.
        to_stream: the one video goes to a stream.
        force: what is there is overwritten.
        skip_existing: what is there is left out; None: there is no such option.
    """

    settings: RenderSettings
    specs: tuple[VideoSpec, ...]
    skipped: tuple[str, ...] = ()
    to_stream: bool = False
    force: bool = False
    skip_existing: bool | None = None

    @property
    def identities(self) -> Iterator[Identity]:
        """The people of files, each once; seeds cost nothing to read."""
        faces = (face for spec in self.specs for face in spec.faces)
        people = (one for face in faces for one in face.identities if one.seed is None)
        return iter(dict.fromkeys(people))
