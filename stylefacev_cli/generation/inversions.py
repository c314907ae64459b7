"""What `stylefacev invert` does: find the face, invert it, say how near it is, write it."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.generation.identities import invert_photo
from stylefacev_cli.generation.output_paths import Target, check_writable
from stylefacev_cli.generation.photo_crop import read_photo
from stylefacev_cli.weights.manifest import read_manifest

if TYPE_CHECKING:
    from stylefacev_cli.generation.photo_crop import Picture
    from stylefacev_cli.inversion import Inversion

TUNE_STEPS = 60
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class InvertWishes:
    """The options of the command, as given."""

    photos: list[Path]
    out: str
    steps: int
    tune: bool
    detector: str | None
    crop: bool | None
    model: str
    device: str
    num_threads: int | None
    force: bool
    as_json: bool


def invert_photos(wishes: InvertWishes, terminal: Terminal) -> None:
    """Invert one photo after the other; what can be known to fail is told before any work.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    targets = plan_latents(wishes.out, wishes.photos)
    _check_targets(targets, wishes.force)
    manifest = read_manifest(wishes.model, for_videos=True)
    for path in wishes.photos:
        read_photo(path)  # read again in its turn: only one is held in memory
    with holding_signals():
        from stylefacev_cli.common.files import write_file
        from stylefacev_cli.common.hashing import sha256_of
        from stylefacev_cli.common.threads import set_num_threads
        from stylefacev_cli.inversion import InversionSettings
        from stylefacev_cli.pipeline import load_model
        from stylefacev_cli.weights.latents import write_latent
    if wishes.num_threads is not None:
        set_num_threads(wishes.num_threads)
    model = load_model(manifest.folder, wishes.device)
    settings = InversionSettings(steps=wishes.steps, tune_steps=TUNE_STEPS if wishes.tune else 0)
    embed = _identity_network(terminal)
    made: list[dict[str, Any]] = []
    total = (settings.steps + settings.tune_steps) * len(targets)
    with terminal.progress(total, "steps") as advance:
        for path, target in zip(wishes.photos, targets, strict=True):
            found, window = invert_photo(
                read_photo(path), path.name, model, settings, terminal, advance,
                crop=wishes.crop, detector=wishes.detector,
            )  # fmt: skip
            latent = found.latent
            origin = {**latent.origin, "sha256": sha256_of(path), "ai_generated": True}
            write_latent(target, replace(latent, origin=origin))
            sheet = sheet_of(target)
            write_file(sheet, _png_of(window, found))
            near = _nearness(window, found, embed)
            made.append(
                {"photo": str(path), "path": str(target), "picture": str(sheet), **near}
                | {"seconds": round(found.seconds, 2), "origin": origin}
            )
            terminal.note(f"{target}: {_in_words(near)}, {found.seconds:.1f} s; see {sheet}")
            if not wishes.as_json:
                terminal.result(str(target))
    if wishes.as_json:
        terminal.result(json.dumps({"people": made}, indent=2))


def plan_latents(out: str, photos: list[Path]) -> list[Path]:
    """Give each photo the path of its latent.

    Args:
        out: a name that ends in .safetensors, a folder, or a pattern with `{name}` in it.
        photos: whose names without their endings fill the field.

    Raises:
        UsageError: one file for several photos, two photos for one file, or an odd pattern.
    """
    if not out:
        raise UsageError("--out is empty; give a folder, or a name that ends in .safetensors")
    has_field, is_name = "{name}" in out, out.lower().endswith(_SUFFIX)
    if re.search("[{}]", out.replace("{name}", "")):
        raise UsageError(f"--out {out}: the only field is {{name}}")
    if is_name and not has_field and len(photos) > 1:
        raise UsageError(
            f"--out {out}: one file cannot hold {len(photos)} people; "
            f"write {out[: -len(_SUFFIX)]}-{{name}}{_SUFFIX}"
        )
    if not has_field and not is_name:
        out = os.path.join(out, "{name}")
    if not is_name:
        out += _SUFFIX
    targets = [expand_home(out.replace("{name}", photo.stem), "--out") for photo in photos]
    for number, target in enumerate(targets):
        if target in targets[:number]:
            raise UsageError(f"--out {out}: two photos would become {target}; rename one")
    return targets


def sheet_of(target: Path) -> Path:
    """The picture beside a latent."""
    return target.with_name(target.name + ".png")


def _check_targets(targets: list[Path], force: bool) -> None:
    for path in [*targets, *map(sheet_of, targets)]:
        if os.path.lexists(path) and not force:
            raise UsageError(f"{path} would be overwritten; add --force or choose another --out")
        if path.is_dir():
            raise UsageError(f"{path} is a folder: not overwritten; choose another --out")
    check_writable([Target((0,), path) for path in targets])


def _identity_network(terminal: Terminal) -> Callable[[Any], Any] | None:
    from stylefacev_cli.metrics.face_networks import face_network

    try:
        return face_network().embed
    except StyleFaceVError as error:
        terminal.note(f"similarity is not measured: {error}")
        return None


def _nearness(
    window: Picture, found: Inversion, embed: Callable[[Any], Any] | None
) -> dict[str, Any]:
    """PSNR in dB and cosine of identity features, of the encoder alone and of what was found."""
    import numpy as np

    images = {"encoder": found.encoded, "found": found.refined}
    near: dict[str, Any] = {}
    for name, image in images.items():
        error = float(np.square(image.astype(float) - window).mean())
        near[name] = {"psnr": round(10 * float(np.log10(255**2 / max(error, 1e-6))), 2)}
        if embed is not None:
            a, b = embed(np.stack([window, image])).astype(float)
            cosine = float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
            near[name]["similarity"] = round(cosine, 4)
    return near


def _in_words(near: dict[str, Any]) -> str:
    first, last = near["encoder"], near["found"]
    words = f"PSNR {last['psnr']:.1f} dB (encoder alone {first['psnr']:.1f})"
    if "similarity" in last:
        words += f", similarity {last['similarity']:.3f} ({first['similarity']:.3f})"
    return words


def _png_of(window: Picture, found: Inversion) -> bytes:
    """The photo's window, the encoder alone and what was found, side by side."""
    import numpy as np
    from PIL import Image

    sheet = np.concatenate([window, found.encoded, found.refined], axis=1)
    data = io.BytesIO()
    Image.fromarray(sheet).save(data, format="PNG")
    return data.getvalue()
