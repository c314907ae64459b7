"""Photos → people: find the face, invert it, measure how near it is, write it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.files import write_file
from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.generation.identities import invert_photo
from stylefacev_cli.generation.outputs.output_paths import check_ending, check_new_files
from stylefacev_cli.generation.photo_crop import read_photo
from stylefacev_cli.generation.requests.kind_options import check_own
from stylefacev_cli.weights.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.generation.photo_crop import Picture
    from stylefacev_cli.generation.requests import InvertRequest
    from stylefacev_cli.generation.run import Session
    from stylefacev_cli.inversion import Inversion
    from stylefacev_cli.pipeline import Model, Person
    from stylefacev_cli.weights.latents import Latent

TUNE_STEPS = 60
_SUFFIX = ".safetensors"
_Embed = Callable[[Any], Any]  # uint8 [N, H, W, 3] → identity features [N, D]


@dataclass(frozen=True)
class InversionPlan:
    """The photos of a request and the files of their people.

    Attributes:
        request: what is asked for.
        manifest: of the model.
        photos: that are inverted.
        paths: of the latent of each; None: in memory.
    """

    request: InvertRequest
    manifest: Manifest
    photos: tuple[Path, ...]
    paths: tuple[Path | None, ...]

    @property
    def outputs(self) -> list[list[Path]]:
        """What is written, as `claimed` takes it: a latent and its picture."""
        return [[path, picture_path(path)] for path in self.paths if path is not None]


@dataclass(frozen=True, eq=False, repr=False)
class InvertedPerson:
    """A person of a photo, as a model can render and move them.

    Attributes:
        latent: the person, as a file holds them.
        model: that renders them.
        photo: name of the photo's file.
        window: uint8 [R, R, 3], the part of the photo that was inverted.
        encoded: uint8 [R, R, 3], what the encoder alone gives.
        refined: uint8 [R, R, 3], what the latent gives in the photo's pose.
        scores: PSNR in dB, and cosine of identity features where they are measured, of
            `encoder` and of `found`.
        seconds: that it took.
        path: of the file; None: in memory.
    """

    latent: Latent
    model: Model
    photo: str
    window: Picture
    encoded: Picture
    refined: Picture
    scores: dict[str, dict[str, float]]
    seconds: float
    path: Path | None = None

    @property
    def person(self) -> Person:
        """The person, for `Model.reenact` and `Person.play`."""
        from stylefacev_cli.inversion import person_of

        return person_of(self.model, self.latent)

    @property
    def picture(self) -> Picture:
        """The window, the encoder's picture and the refined one side by side: [R, 3·R, 3]."""
        import numpy as np

        return np.concatenate([self.window, self.encoded, self.refined], axis=1)

    def save(self, path: str | Path) -> Path:
        """Write the person to a .safetensors file, and the picture beside it; returns its path.

        Raises:
            UsageError: the name has another ending.
            StyleFaceVError: it cannot be written.
        """
        from stylefacev_cli.weights.latents import write_latent

        target = expand_home(str(path), "save")
        if target.suffix.lower() != _SUFFIX:
            raise UsageError(f"save {target}: give a name that ends in {_SUFFIX}")
        write_latent(target, self.latent)
        write_file(picture_path(target), self._repr_png_())
        return target

    def describe(self) -> str:
        """How near it is to the photo, in words."""
        first, last = self.scores["encoder"], self.scores["found"]
        words = f"PSNR {last['psnr']:.1f} dB (encoder alone {first['psnr']:.1f})"
        if "similarity" in last:
            words += f", similarity {last['similarity']:.3f} ({first['similarity']:.3f})"
        return words

    def __repr__(self) -> str:
        return f"<person of {self.photo} in {self.model.manifest.name}: {self.describe()}>"

    def _repr_png_(self) -> bytes:
        from PIL import Image

        data = io.BytesIO()
        Image.fromarray(self.picture).save(data, format="PNG")
        return data.getvalue()


def plan_inversions(request: InvertRequest, manifest: Manifest | None = None) -> InversionPlan:
    """The inversions of a request, checked before any network is loaded.

    Args:
        request: what is asked for.
        manifest: of the model; None: of `request.compute.model`.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    photos = tuple(expand_home(photo, "PHOTO") for photo in request.photos)
    paths: tuple[Path | None, ...] = (None,) * len(photos)
    if request.out is not None:
        files = plan_latents(request.out, photos)
        check_new_files([*files, *map(picture_path, files)], request.force)
        paths = tuple(files)
    manifest = manifest or read_manifest(request.compute.model, for_videos=True, any_kind=True)
    check_own(manifest, "invert")
    for photo in photos:
        read_photo(photo)  # read again in its turn: only one is held in memory
    return InversionPlan(request, manifest, photos, paths)


def run_inversions(plan: InversionPlan, session: Session) -> Iterator[InvertedPerson]:
    """Invert one photo after the other, and write those that have a path.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.inversion import InversionSettings

    request, listener = plan.request, session.listener
    settings = InversionSettings(steps=request.steps, tune_steps=TUNE_STEPS if request.tune else 0)
    with listener.doing("loading the network that compares identities"):
        embed = _identity_network(listener)
    total = (settings.steps + settings.tune_steps) * len(plan.photos)
    with listener.progress(total, "steps") as advance:
        for photo, path in zip(plan.photos, plan.paths, strict=True):
            with session.clock.counting("fit_s"):
                inversion, window = invert_photo(
                    read_photo(photo),
                    photo.name,
                    session.own_model,
                    settings,
                    request.search,
                    listener,
                    advance,
                )
            latent = inversion.latent
            origin = {**latent.origin, "sha256": sha256_of(photo), "ai_generated": True}
            person = InvertedPerson(
                replace(latent, origin=origin),
                session.own_model,
                photo.name,
                window,
                inversion.encoded,
                inversion.refined,
                _scores(window, inversion, embed),
                inversion.seconds,
                path,
            )
            if path is not None:
                person.save(path)
            yield person


def plan_latents(out: str, photos: Sequence[Path]) -> list[Path]:
    """The path of each photo's latent.

    Args:
        out: a name that ends in .safetensors, a folder, or a pattern with `{name}` in it.
        photos: whose names without their endings fill the field.

    Raises:
        UsageError: one file for several photos, two photos for one file, or an odd pattern.
    """
    if not out:
        raise UsageError("--out is empty; give a folder, or a name that ends in .safetensors")
    check_ending(out, [_SUFFIX], "--out")
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
    paths = [expand_home(out.replace("{name}", photo.stem), "--out") for photo in photos]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise UsageError(f"--out {out}: two photos would become {path}; rename one")
    return paths


def picture_path(path: Path) -> Path:
    """The picture beside a latent."""
    return path.with_name(path.name + ".png")


def _identity_network(listener: Listener) -> _Embed | None:
    from stylefacev_cli.metrics.face_networks import face_network

    try:
        return face_network().embed
    except StyleFaceVError as error:
        listener.note(f"similarity is not measured: {error}")
        return None


def _scores(
    window: Picture, inversion: Inversion, embed: _Embed | None
) -> dict[str, dict[str, float]]:
    """PSNR in dB and cosine of identity features, of the encoder alone and of the inversion."""
    import numpy as np

    images = {"encoder": inversion.encoded, "found": inversion.refined}
    scores: dict[str, dict[str, float]] = {}
    for name, image in images.items():
        error = float(np.square(image.astype(float) - window).mean())
        scores[name] = {"psnr": round(10 * float(np.log10(255**2 / max(error, 1e-6))), 2)}
        if embed is not None:
            a, b = embed(np.stack([window, image])).astype(float)
            cosine = float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
            scores[name]["similarity"] = round(cosine, 4)
    return scores
