"""Statistics of a clip set: counts, lengths, poses, skipped footage; and its contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylefacev_cli.common.files import atomic_path, writing
from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.datasets.requests import InspectRequest
from stylefacev_cli.datasets.source_report import read_sources, skipped_by_reason
from stylefacev_cli.datasets.splits import is_held_out
from stylefacev_cli.detection.head_pose import head_poses
from stylefacev_cli.errors import IntegrityError, UsageError

MAX_LABELS_READ = 1000  # clips whose poses are looked at; evenly spread over the set
PERCENTILES = (5, 25, 50, 75, 95)
SHEET_CELL_PX = 128
U8 = NDArray[np.uint8]


def inspect_set(request: InspectRequest) -> dict[str, Any]:
    """What a set holds, as plain values; writes a contact sheet if one is wanted.

    Raises:
        UsageError: the sheet exists.
        DataError: the folder holds no set, or something in it is missing or damaged.
        IntegrityError: the set is not what its manifest says.
        StyleFaceVError: the sheet cannot be written.
    """
    sheet = request.sheet
    if sheet is not None and sheet.exists() and not request.force:
        raise UsageError(f"{sheet} exists; choose another --sheet or give --force")
    clips = ClipSet(request.folder)
    facts = facts_of(clips, request.val_permille)
    if request.check:
        facts |= {"content_sha256": check_content(clips), "checked": True}
    if request.poses:
        facts["head_pose"] = pose_distribution(clips)
    if sheet is not None:
        save_sheet(contact_sheet(clips, request.rows, request.columns), sheet)
        facts["sheet"] = str(sheet)
    return facts


def facts_of(clips: ClipSet, val_permille: int) -> dict[str, Any]:
    """Counts, lengths, split, licence and what was left out.

    Args:
        clips: the set.
        val_permille: of the persons, for clips whose split is not fixed in the index.

    Raises:
        DataError: the manifest or the report of sources is damaged.
    """
    entries = clips.entries
    name = clips.folder.resolve().name
    lengths = np.array([entry.num_frames for entry in entries])
    held_out = {
        entry.identity
        for entry in entries
        if (
            entry.split == "val" if entry.split else is_held_out(name, entry.identity, val_permille)
        )
    }
    manifest = clips.manifest()
    settings = manifest.get("settings")
    look = settings.get("look") if isinstance(settings, dict) else None
    done = read_sources(clips.folder)
    return {
        "clips": len(entries),
        "frames": int(lengths.sum()),
        "identities": len({entry.identity for entry in entries}),
        "held_out_identities": len(held_out),
        "held_out_clips": sum(entry.identity in held_out for entry in entries),
        "frames_per_clip": _percentiles(lengths, 0),
        "sizes_px": sorted({entry.size_px for entry in entries}),
        "fps": sorted({entry.fps for entry in entries}),
        "kinds": sorted({entry.kind for entry in entries}),
        **({} if look is None else {"look": look}),  # footage has none
        "licence": manifest.get("licence"),
        "content_sha256": manifest.get("content_sha256"),
        "sources": len(done),
        "skipped": skipped_by_reason(done),
    }


def pose_distribution(clips: ClipSet) -> dict[str, Any]:
    """Percentiles of yaw, pitch and roll, from labels where there are some, else estimated.

    Raises:
        DataError: labels are damaged.
    """
    chosen = np.linspace(0, len(clips) - 1, min(len(clips), MAX_LABELS_READ)).round().astype(int)
    poses, origins = [], set()
    for i in chosen:
        labels = clips.clip(int(i)).labels()
        if "head_pose" in labels:
            poses.append(labels["head_pose"])
            origins.add("labels")
        elif "key_points" in labels:
            poses.append(head_poses(labels["key_points"]))
            origins.add("estimated from key points")
    if not poses:
        return {}
    table = np.concatenate(poses)
    found = {
        f"{name}_deg": _percentiles(table[:, column], 1)
        for column, name in enumerate(("yaw", "pitch", "roll"))
    }
    return {"from": " and ".join(sorted(origins)), "clips": len(poses), **found}


def check_content(clips: ClipSet) -> str:
    """Read everything once, and compare it with the hash that the manifest gives.

    Returns:
        The hash found.

    Raises:
        DataError: something is missing or damaged.
        IntegrityError: the set is not what its manifest says.
    """
    clips.check()
    found, recorded = clips.content_hash(), clips.manifest().get("content_sha256")
    if recorded is not None and recorded != found:
        raise IntegrityError(
            f"{clips.folder}: its content has SHA-256 {found[:12]}…, its manifest says "
            f"{str(recorded)[:12]}…: it was changed after it was made; prepare it again"
        )
    return found


def contact_sheet(clips: ClipSet, num_clips: int, num_frames: int) -> U8:
    """Clips from top to bottom, a few frames of each from left to right, with the key points.

    Args:
        clips: the set; the clips are evenly spread over it. Images stand side by side.
        num_clips: rows at most.
        num_frames: columns at most.

    Returns:
        uint8 [H, W, 3].
    """
    is_images = all(entry.num_frames == 1 for entry in clips.entries)
    count = min(len(clips), num_clips * (num_frames if is_images else 1))
    cells: list[list[U8]] = []
    for i in np.linspace(0, len(clips) - 1, count).round().astype(int):
        clip = clips.clip(int(i))
        frames, labels = clip.frames(), clip.labels()
        places = labels.get("landmarks", labels.get("landmarks_68"))
        shown = np.linspace(0, len(frames) - 1, min(num_frames, len(frames))).round().astype(int)
        row = [_cell(frames[k], None if places is None else places[k]) for k in shown]
        if is_images and cells and len(cells[-1]) < num_frames:
            cells[-1] += row
        else:
            cells.append(row)
    width = max(map(len, cells))
    sheet = np.zeros((len(cells) * SHEET_CELL_PX, width * SHEET_CELL_PX, 3), np.uint8)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            rows = slice(y * SHEET_CELL_PX, (y + 1) * SHEET_CELL_PX)
            sheet[rows, x * SHEET_CELL_PX : (x + 1) * SHEET_CELL_PX] = cell
    return sheet


def save_sheet(sheet: U8, path: Path) -> None:
    """Write a contact sheet as a PNG; it bears its name only when it is whole.

    Raises:
        StyleFaceVError: it cannot be written.
    """
    with writing(path), atomic_path(path) as part:
        Image.fromarray(sheet).save(part, format="PNG")


def _cell(frame: U8, landmarks: NDArray[np.floating] | None) -> U8:
    image = Image.fromarray(frame).resize((SHEET_CELL_PX, SHEET_CELL_PX), Image.Resampling.LANCZOS)
    cell = np.array(image)
    if landmarks is not None:
        at = (landmarks * SHEET_CELL_PX).astype(int).clip(0, SHEET_CELL_PX - 1)
        cell[at[:, 1], at[:, 0]] = (40, 255, 40)
    return cell


def _percentiles(values: NDArray[Any], digits: int) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES)
    return {
        f"p{p}": round(float(value), digits) for p, value in zip(PERCENTILES, found, strict=True)
    }
