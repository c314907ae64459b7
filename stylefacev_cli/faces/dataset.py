"""Rendering sets of clips or stills: deterministic by seed, in parallel, resumable."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from stylefacev_cli.common.files import holds_nothing, only_run, write_atomic
from stylefacev_cli.common.listener import Advance, Listener
from stylefacev_cli.datasets.clips import (
    INDEX_NAME,
    MANIFEST_NAME,
    ClipEntry,
    parse_entry,
    read_manifest,
    write_clip,
)
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.faces.camera import FIELD_OF_VIEW_DEG
from stylefacev_cli.faces.factors import Z_DIM, FaceFactors, FramingRange
from stylefacev_cli.faces.latent_renderer import LatentRenderer
from stylefacev_cli.faces.looks import (
    assets_of,
    content_of,
    fetch_assets,
    obtain_assets,
)
from stylefacev_cli.faces.motion import sample_motion
from stylefacev_cli.faces.parameters import flatten
from stylefacev_cli.faces.render_request import RenderRequest, RenderSettings
from stylefacev_cli.version import __version__

F32 = NDArray[np.float32]

RECIPE = 3  # counts up when the same seed gives other pictures
_NOTE_EVERY_S = 60.0


class Progress(NamedTuple):
    """Progress of a set."""

    num_done: int  # clips finished, also by earlier runs
    num_clips: int


def render(request: RenderRequest, listener: Listener) -> Path:
    """Render a set of clips or stills; an interrupted run goes on where it stopped.

    Args:
        request: what to render, and where to.
        listener: shown how many clips are done; told the pace once a minute.

    Returns:
        The path of the index.

    Raises:
        As `render_set`.
    """
    settings = request.settings
    check_folder(request.out, settings)
    obtain_assets(settings.look)
    with listener.progress(settings.num_identities, "clips") as advance:
        report = _reporter(listener, advance)
        return render_set(settings, request.out, num_processes=request.processes, report=report)


def _reporter(listener: Listener, advance: Advance) -> Callable[[Progress], None]:
    """Count clips; and note where things stand once a minute, for logs without a bar."""
    num_shown = 0
    first: tuple[int, float] | None = None
    noted_s = time.perf_counter()

    def report(progress: Progress) -> None:
        nonlocal num_shown, first, noted_s
        now_s = time.perf_counter()
        first = first or (progress.num_done, now_s)
        for _ in range(progress.num_done - num_shown):
            advance("rendering")
        num_shown = progress.num_done
        if now_s - noted_s < _NOTE_EVERY_S:
            return
        noted_s = now_s
        rate = (progress.num_done - first[0]) / (now_s - first[1])
        left_min = (progress.num_clips - progress.num_done) / rate / 60 if rate else 0.0
        listener.note(
            f"{progress.num_done} of {progress.num_clips} clips, {rate:.1f} clips/s, "
            f"{left_min:.0f} min left"
        )

    return report


def render_set(
    settings: RenderSettings,
    folder: str | Path,
    *,
    num_processes: int = 1,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Render a set of clips into a folder; an interrupted run goes on where it stopped.

    The same settings give the same bytes whatever the number of processes.

    Args:
        settings: what to render.
        folder: where to; new, or of an earlier run with the same settings (the number of
            identities may grow).
        num_processes: each has its own GL context.
        report: called after each clip.

    Returns:
        The path of the index.

    Raises:
        UsageError: the folder holds something else.
        DataError: the folder cannot be written, or its index is damaged.
        MissingWeightsError, IntegrityError: as `looks.fetch_assets`.
        StyleFaceVError: no EGL, or another run renders into the folder.
    """
    if num_processes < 1:
        raise UsageError(f"--processes {num_processes}: give at least 1")
    folder = Path(folder)
    index = folder / INDEX_NAME
    try:
        check_folder(folder, settings)
        fetch_assets(settings.look)  # before the manifest of a set that cannot be rendered
        with only_run(folder, "rendering into"):
            check_folder(folder, settings)  # another run may have begun a set meanwhile
            _write_manifest(folder, settings)
            num_done = _resume(folder)
            report(Progress(num_done, settings.num_identities))
            numbers = range(num_done, settings.num_identities)
            with index.open("a", encoding="utf-8") as lines:
                for entry in _render_all(settings, folder, numbers, num_processes):
                    lines.write(entry.to_line())
                    lines.flush()
                    num_done += 1
                    report(Progress(num_done, settings.num_identities))
    except OSError as error:
        raise _cannot_write(error, folder) from error
    return index


def sample_latents(settings: RenderSettings, number: int) -> F32:
    """The latents of a set's clip, [T, 256]: same person in all frames."""
    factors = FaceFactors(FramingRange.named(settings.framing))
    rng = np.random.default_rng([settings.seed, number])
    z = factors.sample(rng)
    if settings.kind == "stills":
        return np.stack([z] + [factors.vary(z, rng) for _ in range(settings.num_frames - 1)])
    return factors.with_poses(z, sample_motion(factors, rng, settings.num_frames, settings.fps))


def render_clip(
    studio: LatentRenderer, latents: F32
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Frames [T, S, S, 3] uint8 and exact labels of latents [T, 256] of one person.

    Labels: landmarks [T, 98, 2], visible [T, 98], hair [T, S // 4, S // 4] (see `FaceFrame`),
    expressions [T, 52] with expression_names, head_pose [T, 3] (yaw, pitch, roll in degrees),
    gaze [T, 2] (rad, x and y in the head's frame),
    camera [T, 4] (head fraction, shift x, shift y, field of view in degrees), light [T, 22],
    identity [I], factors [T, 256]. The manifest names the columns of the last three.
    """
    factors = studio.factors
    frames = [studio.render(z) for z in latents]
    poses = [factors.pose_of(z) for z in latents]
    scenes = [flatten(factors.scene_of(z)) for z in latents]
    labels: dict[str, NDArray[Any]] = {
        "landmarks": np.stack([frame.landmarks for frame in frames]),
        "visible": np.stack([frame.visible for frame in frames]),
        "hair": np.stack([frame.hair for frame in frames]),
        "expressions": np.stack([frame.expressions for frame in frames]),
        "expression_names": studio.expression_names,
        "head_pose": _table([(pose.yaw_deg, pose.pitch_deg, pose.roll_deg) for pose in poses]),
        "gaze": _table([(pose.gaze_x_rad, pose.gaze_y_rad) for pose in poses]),
        "camera": _table(
            [(p.head_fraction, p.shift_x, p.shift_y, FIELD_OF_VIEW_DEG) for p in poses]
        ),
        "light": np.stack([values for _, values in scenes]),
        "identity": flatten(factors.identity_of(latents[0]))[1],
        "factors": latents,
    }
    return np.stack([frame.image for frame in frames]), labels


def _table(rows: list[tuple[float, ...]]) -> F32:
    return np.array(rows, np.float32)


# --- the folder ------------------------------------------------------------------------------


def check_folder(folder: Path, settings: RenderSettings) -> None:
    """Make sure that a set can be rendered into a folder, or continued there.

    Raises:
        UsageError: it holds something else.
        DataError: it cannot be read, or its manifest is damaged.
    """
    path = folder / MANIFEST_NAME
    try:
        is_set = path.exists()
        is_empty = is_set or not folder.exists() or holds_nothing(folder)
    except OSError as error:
        raise _cannot_write(error, folder) from error
    if is_set and not _same_set(read_manifest(path), _manifest(settings)):
        raise UsageError(
            f"{folder} holds a set with other settings or assets; choose another --out"
        )
    if not is_empty:
        raise UsageError(f"{folder} is not empty and holds no set; choose another --out")


def _cannot_write(error: OSError, folder: Path) -> DataError:
    where = error.filename or folder
    return DataError(f"cannot write {where}: {error.strerror}; free it or choose another --out")


def _write_manifest(folder: Path, settings: RenderSettings) -> None:
    """Write the manifest."""
    path = folder / MANIFEST_NAME
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(_manifest(settings), sort_keys=False, allow_unicode=True)
    write_atomic(path, text.encode())


def _manifest(settings: RenderSettings) -> dict[str, Any]:
    return {
        "made_by": f"stylefacev {__version__}, data render",
        "recipe": RECIPE,
        "settings": _plain_settings(settings),
        "assets": assets_of(settings.look),
        "columns": _columns(),
        "factor_blocks": _factor_blocks(),
        "content": content_of(settings.look),
        "licence": "CC0-1.0 (rendered from CC0 assets)",
    }


def _plain_settings(settings: RenderSettings) -> dict[str, Any]:
    """Settings for the manifest; `split` only if there is one."""
    values = asdict(settings)
    return values if settings.split else {k: v for k, v in values.items() if k != "split"}


def _columns() -> dict[str, list[str]]:
    """Names of the columns of the label arrays."""
    factors, z = FaceFactors(), np.zeros(Z_DIM, np.float32)
    return {
        "head_pose": ["yaw_deg", "pitch_deg", "roll_deg"],
        "gaze": ["gaze_x_rad", "gaze_y_rad"],
        "camera": ["head_fraction", "shift_x", "shift_y", "field_of_view_deg"],
        "light": flatten(factors.scene_of(z))[0],
        "identity": flatten(factors.identity_of(z))[0],
        "factors": factors.columns(),
    }


def _factor_blocks() -> dict[str, list[int]]:
    """First place and the one after the last of each kind of factors; after them comes filler."""
    factors = FaceFactors()
    blocks = {"identity": factors.identity, "scene": factors.scene, "pose": factors.pose}
    return {name: [block.start, block.stop] for name, block in blocks.items()}


def _same_set(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def core(manifest: dict[str, Any]) -> tuple[Any, ...]:
        settings = dict(manifest.get("settings") or {})
        settings.pop("num_identities", None)
        return manifest.get("recipe"), settings, manifest.get("assets")

    return core(found) == core(wanted)


def _resume(folder: Path) -> int:
    """Number of clips that are finished; a torn last line of the index is cut off."""
    index = folder / INDEX_NAME
    if not index.exists():
        return 0
    text = index.read_text(encoding="utf-8")
    whole, end, _ = text.rpartition("\n")
    entries = [
        parse_entry(line, f"{index}:{i}") for i, line in enumerate(whole.splitlines(), 1) if line
    ]
    for i, entry in enumerate(entries):
        files = [folder / entry.file, folder / str(entry.labels)]
        if entry.identity != i or not all(file.exists() for file in files):
            raise DataError(f"{index}: clip {i} is missing; delete {folder} and render it again")
    if whole + end != text:
        write_atomic(index, (whole + end).encode())
    return len(entries)


def _entry(settings: RenderSettings, number: int) -> ClipEntry:
    name = f"{number:07d}"
    # A thousand clips a folder: large folders are slow to list.
    stem = f"clips/{number // 1000:04d}/{name}"
    return ClipEntry(
        id=name,
        file=f"{stem}.png",
        labels=f"{stem}.npz",
        num_frames=settings.num_frames,
        size_px=settings.size_px,
        fps=settings.fps,
        identity=number,
        kind=settings.kind.removesuffix("s"),
        split=settings.split,
    )


# --- the work --------------------------------------------------------------------------------


class _Worker:
    """Renders clips by number; a process has one, because it has one GL context."""

    current: _Worker | None = None

    def __init__(self, settings: RenderSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        framing = FramingRange.named(settings.framing)
        self.studio = LatentRenderer(settings.size_px, framing, look=settings.look)

    def render(self, number: int) -> ClipEntry:
        entry = _entry(self.settings, number)
        frames, labels = render_clip(self.studio, sample_latents(self.settings, number))
        write_clip(self.folder, entry, frames, labels)
        return entry


def _render_all(
    settings: RenderSettings, folder: Path, numbers: range, num_processes: int
) -> Iterator[ClipEntry]:
    if not numbers:
        return
    if num_processes == 1:
        worker = _Worker(settings, folder)
        yield from map(worker.render, numbers)
        return
    from stylefacev_cli.faces.mesh import load_mesh

    load_mesh()  # derive it once, before the workers all try
    with _pool(settings, folder, min(num_processes, len(numbers))) as pool:
        yield from pool.imap(_work, numbers)


@contextmanager
def _pool(settings: RenderSettings, folder: Path, num_processes: int) -> Iterator[Any]:
    # Spawned, not forked: a GL context or numba's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(num_processes, _start, (settings, folder))
    try:
        yield pool
    finally:
        pool.terminate()
        pool.join()


def _start(settings: RenderSettings, folder: Path) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _Worker.current = None
    _START.extend([settings, folder])


_START: list[Any] = []


def _work(number: int) -> ClipEntry:
    if _Worker.current is None:
        _Worker.current = _Worker(*_START)
    return _Worker.current.render(number)
