"""A set of clips that takes milliseconds: discs for faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stylefacev_cli.datasets.clips import ClipEntry, write_clip
from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig
from stylefacev_cli.training.batches.clip_frames import Frames

SIZE_PX = 16
Z_DIM = 12


def draw_frames(num_people: int, frames_per_person: int, seed: int = 0) -> Frames:
    """Discs for faces: colour by identity factors, place by pose factors."""
    rng = np.random.default_rng(seed)
    axis = (np.arange(SIZE_PX) + 0.5) / SIZE_PX
    angle = np.linspace(0, 2 * np.pi, 98, endpoint=False)
    template = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    images, factors, landmarks = [], [], []
    for _ in range(num_people):
        identity = rng.standard_normal(6)
        pose = rng.standard_normal(6)
        for _ in range(frames_per_person):
            pose = 0.9 * pose + 0.45 * rng.standard_normal(6)
            z = np.concatenate([identity, pose])
            z /= np.sqrt((z**2).mean())
            centre = 0.5 + 0.08 * np.tanh(z[6:8])
            distance = np.hypot(axis[None, :] - centre[0], axis[:, None] - centre[1])
            disc = 1 / (1 + np.exp((distance - 0.3) * 40))[..., None]
            colour = 127 + 100 * np.tanh(z[:3])
            images.append((disc * colour + (1 - disc) * 60).astype(np.uint8))
            factors.append(z.astype(np.float32))
            landmarks.append((centre + 0.3 * template).astype(np.float32))
    total = num_people * frames_per_person
    held_out = np.arange(total) // frames_per_person == num_people - 1
    return Frames(
        images=np.stack(images),
        factors=np.stack(factors),
        landmarks=np.stack(landmarks),
        visible=np.ones((total, 98), bool),
        held_out=held_out,
        starts=np.arange(0, total + 1, frames_per_person),
        moving=np.full(num_people, frames_per_person > 3),
        fps=25.0,
    )


def enlarged(frames: Frames) -> Frames:
    """The same frames at twice the size."""
    return replace(frames, images=frames.images.repeat(2, axis=1).repeat(2, axis=2))


def tiny_architecture() -> GeneratorConfig:
    """A generator of these discs."""
    return GeneratorConfig(
        z_dim=Z_DIM,
        w_dim=16,
        img_resolution=SIZE_PX,
        channel_base=256,
        channel_max=16,
        num_layers=4,
        margin_size=2,
        filter_size=4,
    )


def write_discs(clips: Frames, folder: Path) -> Path:
    """Write frames as a set of clips or stills, a person each."""
    lines = []
    for number, (first, last) in enumerate(zip(clips.starts, clips.starts[1:], strict=False)):
        name = f"clips/{number}"
        entry = ClipEntry(
            str(number), f"{name}.png", f"{name}.npz", int(last - first),
            clips.images.shape[1], 25.0, number, "clip" if clips.moving[number] else "still",
        )  # fmt: skip
        labels: dict[str, Any] = {
            key: getattr(clips, key)[first:last] for key in ("factors", "landmarks", "visible")
        }
        write_clip(folder, entry, clips.images[first:last], labels)
        lines.append(entry.to_line())
    (folder / "index.jsonl").write_text("".join(lines))
    return folder
