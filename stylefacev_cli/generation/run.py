"""What `stylefacev generate` does: check everything, then make one video after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.generation.camera import doubts, mixes_of, transforms_of
from stylefacev_cli.generation.grid import contact_sheet, picked, tiled
from stylefacev_cli.generation.identities import load_person
from stylefacev_cli.generation.motion_plan import kept, moving, save_poses
from stylefacev_cli.generation.output import Clock, describe_software, make_video, stream_video
from stylefacev_cli.generation.output_paths import Target
from stylefacev_cli.generation.plan import Cell, Plan, Wishes, cells_of, layout_of, plan_videos
from stylefacev_cli.media import Frame

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Mix, Model, Person

Poses = dict[Cell, list["torch.Tensor"]]  # each [1, 1, 8, 8]


def make_videos(wishes: Wishes, terminal: Terminal) -> None:
    """Make what is wished for; everything that can be known to fail is told before any work.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
        ClosedPipe: the reader of stdout has gone.
    """
    clock = Clock(terminal.started_s)
    to_stdout = wishes.out == "-"
    plan = plan_videos(wishes, terminal)
    terminal.way_on = "; --skip-existing goes on from here"
    manifest, targets, num_frames = plan.manifest, plan.targets, plan.playing.num_frames
    made: list[dict[str, Any]] = []
    results: dict[str, Any] = {"videos": made, "skipped": plan.skipped}
    try:
        if targets:
            with clock.counting("import_s"), holding_signals():
                from stylefacev_cli.common.memory import keep_freed_memory
                from stylefacev_cli.common.threads import num_threads, set_num_threads
                from stylefacev_cli.pipeline import load_model
            with clock.counting("load_s"):
                keep_freed_memory()
                if wishes.num_threads is not None:
                    set_num_threads(wishes.num_threads)
                model = load_model(manifest.folder, wishes.device, wishes.dtype)
            with clock.counting("warm_up_s"):
                model.warm_up()
            terminal.detail(
                f"model {manifest.name} ({manifest.sha256[:12]}) from {manifest.folder}, "
                f"{model.device.type}, {wishes.dtype}, {num_threads()} threads"
            )
            for doubt in doubts(wishes.direction.camera, model):
                terminal.note(doubt)
            with clock.counting("load_s"):
                people = [load_person(who, model, 1.0, terminal) for who in plan.people]
            mixes = mixes_of(wishes.direction.mixes, model, wishes.truncation)
            per_video = 1 if plan.sheet else num_frames
            with terminal.progress(len(targets) * per_video, "frames") as advance:
                for target in targets:
                    record = _describe(wishes, plan, target)
                    poses: Poses = {}
                    frames = _frames(model, wishes, plan, target, people, mixes, poses, terminal)
                    if to_stdout:
                        stream_video(frames, target, record, clock, advance)
                        _save_tracks(plan, model, poses, record)
                        continue

                    def finish(
                        part: Path, poses: Poses = poses, record: dict[str, Any] = record
                    ) -> None:
                        _save_tracks(plan, model, poses, record)

                    made.append(make_video(frames, target, record, clock, advance, model, finish))
                    if not wishes.as_json:
                        terminal.result(str(target.path))
    except StyleFaceVError as error:
        if wishes.as_json:  # what was made before stays, and is told
            results.update(error=str(error), exit_code=error.exit_code, timing=clock.summary())
            terminal.result(json.dumps(results, indent=2))
        raise
    timing = clock.summary()
    if wishes.as_json:
        terminal.result(json.dumps({**results, "timing": timing}, indent=2))
    terminal.note(_summary(len(targets), num_frames, timing))


def _save_tracks(plan: Plan, model: Model, poses: Poses, record: dict[str, Any]) -> None:
    """Before a video bears its name: where it is, its poses are too."""
    playing = plan.playing
    for cell, of_cell in poses.items():
        seeds, column = cell
        if plan.people:
            origin = {**record, **plan.people[seeds[0]].about}
        else:
            origin = {**record, "seed": seeds[0] if len(seeds) == 1 else list(seeds)}
        if len(playing.motions) > 1:
            motion = playing.motions[column]
            origin |= {"motion_seed": motion.motion_seed} if motion.track is None else {}
            origin |= {"track": motion.source} if motion.track is not None else {}
        save_poses(plan.tracks[cell], of_cell, model, playing.fps, origin, playing.edits.loop)


def _frames(
    model: Model, wishes: Wishes, plan: Plan, target: Target, people: list[Person],
    mixes: list[Mix], poses: Poses, terminal: Terminal,
) -> Iterator[Frame]:  # fmt: skip
    """The frames of a video; the poses of those that are to be saved go into `poses`."""
    playing, direction, sheet = plan.playing, wishes.direction, plan.sheet
    num = playing.num_frames

    def frames_of(cell: Cell) -> Iterator[Frame]:
        seeds, column = cell
        motion = playing.motions[column]
        simple = motion.track is None and motion.step == 1 and cell not in plan.tracks
        simple = simple and not people
        simple = simple and direction.is_plain and not playing.edits.changes
        if simple and (sheet is None or num == 1):
            return model.sample(
                seeds[0],
                num,
                motion_seed=motion.motion_seed,
                truncation=wishes.truncation,
                stabilise=wishes.stabilise,
                batch=wishes.batch,
            )
        shown = [
            people[seed] if people else model.person(seed, wishes.truncation) for seed in seeds
        ]
        faces, moves = moving(
            model, playing, motion, shown, seeds[0], wishes.stabilise, terminal.note
        )
        if cell in plan.tracks:
            moves = kept(moves, poses.setdefault(cell, []))
        places = transforms_of(direction.camera, num, playing.edits.loop)
        if sheet is not None:  # only what is shown is drawn
            picks = set(sheet.picks(num))
            moves = picked(moves, picks)
            places = None if places is None else picked(places, picks)
            faces = picked(faces, picks) if isinstance(faces, Iterator) else faces
        batch = wishes.batch or model.default_batch
        return shown[0].model.play(faces, moves, batch, mixes=mixes, transforms=places)

    videos = [frames_of(cell) for cell in cells_of(wishes, target)]
    if sheet is None and not wishes.grid:
        return videos[0]
    shape = layout_of(wishes, plan, target)
    return tiled(videos, *shape) if sheet is None else contact_sheet(videos, sheet, *shape)


def _describe(wishes: Wishes, plan: Plan, target: Target) -> dict[str, Any]:
    """The provenance that goes into the file: nothing that differs from run to run."""
    manifest, playing = plan.manifest, plan.playing
    rows, columns = layout_of(wishes, plan, target)
    how: dict[str, Any] = dict(wishes.direction.told())
    if playing.edits.changes:
        how["edits"] = playing.edits.told()
    if plan.sheet is not None:
        how["sheet"] = vars(plan.sheet)
    return {
        **describe_software(manifest),
        **_who(wishes, plan, target),
        "frames": playing.num_frames,
        "fps": playing.fps,
        "width": columns * manifest.resolution,
        "height": rows * manifest.resolution,
        "truncation": wishes.truncation,
        "stabilise": wishes.stabilise,
        **how,
        "dtype": wishes.dtype,
        "format": plan.format_name,
        "lossless": wishes.lossless,
    }


def _who(wishes: Wishes, plan: Plan, target: Target) -> dict[str, Any]:
    """Faces and motions of a video: one, or those of the rows and columns of a matrix."""
    playing = plan.playing
    seeds, motions = target.seeds, [playing.motions[column] for column in target.columns]
    chain, matrix = wishes.direction.chain, len(motions) > 1
    who: dict[str, Any] = {"seed": seeds[0]} if chain or not wishes.grid else {"seeds": list(seeds)}
    if plan.people:
        shown = [plan.people[place].about for place in seeds]
        who = {"people": shown} if wishes.grid else dict(shown[0])
    first = motions[0]
    if first.track is not None:
        tracks = [motion.source for motion in motions]
        who |= {"tracks": tracks} if matrix else {"track": tracks[0]}
    elif matrix:
        who["motion_seeds"] = [motion.motion_seed for motion in motions]
    else:
        own = [seed if first.motion_seed is None else first.motion_seed for seed in seeds]
        is_list = wishes.grid and not chain
        who |= {"motion_seeds": own} if is_list else {"motion_seed": own[0]}
    steps = [motion.step for motion in motions]
    if any(step != 1 for step in steps):
        rates = [playing.fps * step for step in steps]
        who["resampled_from_fps"] = rates if len(set(rates)) > 1 else rates[0]
    return who


def _summary(num_videos: int, num_frames: int, timing: dict[str, float]) -> str:
    total_s, synthesis_s = timing["total_s"], timing["synthesis_s"]
    num_all = num_videos * num_frames
    videos = f"{num_videos} video" + ("" if num_videos == 1 else "s")
    frames = f"{num_all} frame" + ("" if num_all == 1 else "s")
    return (
        f"{videos}, {frames} in {total_s:.1f} s: "
        f"synthesis {synthesis_s:.1f} s ({synthesis_s / total_s:.0%}), "
        f"imports {timing['import_s']:.1f} s, loading {timing['load_s']:.1f} s, "
        f"kernels {timing['warm_up_s']:.1f} s, encoder {timing['encode_wait_s']:.1f} s"
    )
