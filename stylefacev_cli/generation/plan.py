"""Request → plan: one `VideoSpec` for each output, checked before any network is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from stylefacev_cli.common.seed_ranges import MAX_NUM_SEEDS, parse_seeds
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.camera import check_closed, parse_camera
from stylefacev_cli.generation.identities import Identity, open_person
from stylefacev_cli.generation.mixing import check_mixes, parse_interpolation, parse_mixes
from stylefacev_cli.generation.motion_edits import parse_edits
from stylefacev_cli.generation.motion_plan import Pace, plan_motions
from stylefacev_cli.generation.outputs.grid import layout, plan_sheet
from stylefacev_cli.generation.outputs.output_paths import (
    Target,
    check_rate,
    check_writable,
    plan_targets,
    video_format,
    without_existing,
)
from stylefacev_cli.generation.requests import CameraOptions, GenerateRequest, MotionEdits
from stylefacev_cli.generation.requests.kind_options import check_options
from stylefacev_cli.generation.spec import FaceSpec, Plan, RenderSettings, VideoSpec
from stylefacev_cli.weights.manifest import Manifest, read_manifest

Cell = tuple[tuple[int, ...], int]
"""One face in one motion: its seed (or place), or those it becomes, and the motion's column."""


def plan_videos(request: GenerateRequest, manifest: Manifest | None = None) -> Plan:
    """The videos of a request, checked against the model's manifest and the disk.

    Args:
        request: what is asked for.
        manifest: of the model; None: of `request.compute.model`.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    if request.force and request.skip_existing:
        raise UsageError("--force and --skip-existing contradict each other; give one of them")
    chain = parse_interpolation(request.interpolate) if request.interpolate else ()
    camera = None if request.camera == CameraOptions() else parse_camera(request.camera)
    mixes = parse_mixes(request.mix) if request.mix else ()
    edits = None if request.edits == MotionEdits() else parse_edits(request.edits)
    form = request.form
    format_name = video_format(request.out, form.format, lossless=form.lossless)
    pace = Pace(request.frames, request.seconds, request.fps, request.resample)
    manifest = manifest or read_manifest(
        request.compute.model, for_videos=pace.is_of_videos, any_kind=True
    )
    check_options(request, manifest)
    people = _open_people(request, manifest)
    seeds = list(chain) or list(range(len(people))) or parse_seeds(request.seeds)
    motion_seeds = [0] if people and not request.track else []
    if request.motion_seeds:
        motion_seeds = parse_seeds(",".join(request.motion_seeds), "--motion-seeds")
    motion = plan_motions(manifest, request.track, motion_seeds, pace, edits)
    if len(seeds) * len(motion.motions) > MAX_NUM_SEEDS:
        raise UsageError(f"more than {MAX_NUM_SEEDS} videos at once; give fewer seeds")
    settings = RenderSettings(
        manifest,
        motion,
        camera,
        mixes,
        truncation=request.truncation,
        stabilise=request.stabilise,
        batch=request.compute.batch,
        dtype=request.compute.dtype,
        format=format_name,
        lossless=form.lossless,
        sheet=plan_sheet(format_name, form.sheet_frames, form.sheet_columns, motion.num_frames),
        is_grid=request.grid,
    )
    builder = _Builder(request, settings, people, chain)
    targets = builder.targets(seeds)
    builder.check_settings()
    builder.layout(targets[0])
    skipped: list[str] = []
    if request.out not in (None, "-"):
        missing = without_existing(
            targets, format_name, force=request.force, skip_existing=request.skip_existing
        )
        left = set(missing)
        skipped = [str(target.path) for target in targets if target not in left]
        check_writable(missing)
        targets = missing
    tracks = builder.track_paths(targets)
    specs = tuple(builder.spec(target, tracks) for target in targets)
    return Plan(
        settings,
        specs,
        tuple(skipped),
        to_stream=request.out == "-",
        force=request.force,
        skip_existing=request.skip_existing,
    )


def _open_people(request: GenerateRequest, manifest: Manifest) -> tuple[Identity, ...]:
    """Those who are not of seeds, read and checked."""
    people = tuple(open_person(source, manifest, "--from") for source in request.from_)
    if people and request.truncation != 1:
        raise UsageError("--truncation is of seeds: leave it out with --from")
    if len({one.stem for one in people}) < len(people):
        raise UsageError("--from: two files have one name, and so would their videos; rename one")
    return people


@dataclass(frozen=True)
class _Builder:
    """Makes the specs of a request's videos.

    Attributes:
        request: what is asked for.
        settings: of all videos.
        people: of files; the seeds of targets are then their places. Empty: they are seeds.
        chain: seeds that follow each other in one video.
    """

    request: GenerateRequest
    settings: RenderSettings
    people: tuple[Identity, ...]
    chain: tuple[int, ...]

    def targets(self, seeds: list[int]) -> list[Target]:
        """Paths, seeds and columns of all videos."""
        targets = plan_targets(
            {"-": "stdout", None: "memory"}.get(self.request.out, self.request.out or ""),
            self.settings.format,
            seeds,
            grid=self.request.grid,
            columns=self.settings.motion.columns,
            chain=bool(self.chain),
            people=[one.stem for one in self.people],
        )
        if self.request.out == "-" and len(targets) > 1:
            raise UsageError(
                f"-o - carries one video, not {len(targets)}: give one seed and motion, or --grid"
            )
        return targets

    def check_settings(self) -> None:
        """Check the settings against the model and against each other."""
        settings, motion = self.settings, self.settings.motion
        manifest = settings.manifest
        plain = not (self.chain or settings.mixes or settings.camera)
        networks = self.request.track or self.request.save_track or self.people
        # A single frame as it is takes the generator alone.
        if motion.num_frames > 1 or networks or motion.needs_all_poses or not plain:
            manifest.check_complete()
        if settings.mixes:
            check_mixes(settings.mixes, manifest)
        if motion.loops:
            check_closed(self.chain, settings.camera)
        check_rate(settings.format, settings.motion.fps)

    def layout(self, target: Target) -> tuple[int, int]:
        """Rows and columns of tiles in the pictures of a video."""
        return layout(
            target,
            grid=self.request.grid,
            chain=bool(self.chain),
            tile_px=self.settings.manifest.resolution,
            sheet=self.settings.sheet,
        )

    def cells(self, target: Target) -> list[Cell]:
        """The faces and motions of a video, row by row."""
        rows = [target.seeds] if self.chain else [(seed,) for seed in target.seeds]
        return list(product(rows, target.columns))

    def track_paths(self, targets: list[Target]) -> dict[Cell, Path]:
        """Where the poses of each face are saved; empty if they are not."""
        request, motion = self.request, self.settings.motion
        if request.save_track is None or not targets:
            return {}
        from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

        if motion.num_frames > MAX_TRACK_FRAMES:
            raise UsageError(f"--save-track: a track has at most {MAX_TRACK_FRAMES} frames")
        if request.save_track == "-":
            raise UsageError("--save-track - : tracks go to files; give a folder or a name")
        seeds = dict.fromkeys(seed for target in targets for seed in target.seeds)
        planned = plan_targets(
            request.save_track,
            "safetensors",
            list(self.chain or seeds),
            grid=False,
            option="--save-track",
            columns=motion.columns,
            chain=bool(self.chain),
            people=[one.stem for one in self.people],
        )
        rendered = {cell for target in targets for cell in self.cells(target)}
        planned = [one for one in planned if (one.seeds, one.columns[0]) in rendered]
        videos = {target.path for target in targets}
        both = [one.path for one in planned if {one.path, *one.path.parents} & videos]
        if both:
            raise UsageError(f"--save-track and --out would both write {both[0]}; rename one")
        planned = without_existing(
            planned, "safetensors", force=request.force, skip_existing=request.skip_existing
        )
        check_writable(planned, beside="")
        return {(one.seeds, one.columns[0]): one.path for one in planned}

    def spec(self, target: Target, tracks: Mapping[Cell, Path]) -> VideoSpec:
        """The spec of a video."""
        cells = self.cells(target)
        rows, columns = self.layout(target)
        faces = tuple(self._face(cell, tracks.get(cell)) for cell in cells)
        first = faces[0].identities[0].name
        return VideoSpec(
            name=first if len(cells) == 1 else f"{len(cells)} faces",
            faces=faces,
            rows=rows,
            columns=columns,
            settings=self.settings,
            record={**self._identity_record(target), **self._motion_record(target)},
            path=None if self.request.out in (None, "-") else target.path,
        )

    def _face(self, cell: Cell, track_path: Path | None) -> FaceSpec:
        seeds, column = cell
        identities = tuple(self._identity(seed) for seed in seeds)
        face = FaceSpec(identities, self.settings.motion.motions[column], seeds[0], track_path)
        return face if track_path is None else replace(face, record=self._track_record(cell))

    def _identity(self, seed: int) -> Identity:
        return self.people[seed] if self.people else Identity({"seed": seed}, f"seed {seed}", seed)

    def _track_record(self, cell: Cell) -> dict[str, Any]:
        """What a saved track says of its face and motion, beside the video's record."""
        seeds, column = cell
        record: dict[str, Any] = {"seed": seeds[0] if len(seeds) == 1 else list(seeds)}
        if self.people:
            record = dict(self.people[seeds[0]].record)
        motion = self.settings.motion.motions[column]
        if len(self.settings.motion.motions) > 1:
            record |= {"motion_seed": motion.motion_seed} if motion.track is None else {}
            record |= {"track": motion.source} if motion.track is not None else {}
        return record

    def _identity_record(self, target: Target) -> dict[str, Any]:
        one_face = bool(self.chain) or not self.request.grid
        if self.people:
            shown = [self.people[place].record for place in target.seeds]
            return dict(shown[0]) if one_face else {"people": shown}
        return {"seed": target.seeds[0]} if one_face else {"seeds": list(target.seeds)}

    def _motion_record(self, target: Target) -> dict[str, Any]:
        """The motion of a video, or those of the columns of a matrix."""
        plan = self.settings.motion
        motions = [plan.motions[column] for column in target.columns]
        is_matrix, first = len(motions) > 1, motions[0]
        record: dict[str, Any] = {}
        if first.track is not None:
            tracks = [motion.source for motion in motions]
            record = {"tracks": tracks} if is_matrix else {"track": tracks[0]}
        elif is_matrix:
            record = {"motion_seeds": [motion.motion_seed for motion in motions]}
        else:
            own = [
                seed if first.motion_seed is None else first.motion_seed for seed in target.seeds
            ]
            several = self.request.grid and not self.chain
            record = {"motion_seeds": own} if several else {"motion_seed": own[0]}
        rates = [plan.fps * motion.step for motion in motions]
        if any(motion.step != 1 for motion in motions):
            record["resampled_from_fps"] = _one_or_all(rates)
        return record


def _one_or_all(values: Sequence[float]) -> Any:
    return list(values) if len(set(values)) > 1 else values[0]
