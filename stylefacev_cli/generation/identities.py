"""Who is seen: a seed, a latent file or a photo → a person that a model can render."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.generation.requests import FaceSearchOptions

if TYPE_CHECKING:
    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.generation.photo_crop import Picture
    from stylefacev_cli.generation.requests import PersonInMemory
    from stylefacev_cli.inversion import Inversion, InversionSettings
    from stylefacev_cli.pipeline import Model, Person
    from stylefacev_cli.weights.latents import Latent
    from stylefacev_cli.weights.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Identity:
    """A person, read and checked before any network is loaded; one of the three is there.

    Attributes:
        record: what records say: `{"seed": 3}`, `{"latent": …}` or `{"photo": …}`.
        name: for messages.
        seed: whose person it is.
        latent: that was read.
        photo: that is to be inverted, uint8 [H, W, 3].
    """

    record: dict[str, Any]
    name: str
    seed: int | None = None
    latent: Latent | None = None
    photo: Picture | None = None

    @property
    def stem(self) -> str:
        """The name of its file without the ending."""
        return Path(self.name).stem


def open_identity(source: str | PersonInMemory, manifest: Manifest, option: str) -> Identity:
    """The person of a seed, a latent file, a photo, or `sf.invert`.

    Args:
        source: the seed in digits, the name of a file, or the person.
        manifest: of the model that is to render the person.
        option: that gave the source, for messages.

    Raises:
        UsageError: it is none of these, or a latent of another model.
        IntegrityError: the latent is damaged.
        DataError: the photo cannot be read.
    """
    if not isinstance(source, str):
        return open_person(source, manifest, option)
    text = source.strip()
    if text.isdecimal() and text.isascii():
        seed = int(text) if len(text) <= 10 else MAX_SEED + 1
        if seed > MAX_SEED:
            raise UsageError(f"{option} {text[:20]}: seeds go from 0 to {MAX_SEED}")
        return Identity({"seed": seed}, f"seed {seed}", seed)
    return open_person(source, manifest, option, or_seed="a seed, ")


def open_person(
    source: str | PersonInMemory, manifest: Manifest, option: str, *, or_seed: str = ""
) -> Identity:
    """The person of a latent file, a photo or `sf.invert` (arguments as `open_identity`)."""
    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.generation.photo_crop import read_photo
    from stylefacev_cli.media.folders import IMAGE_SUFFIXES
    from stylefacev_cli.weights.latents import SUFFIX, Latent, read_latent

    if not isinstance(source, str):
        latent = getattr(source, "latent", None)
        if not isinstance(latent, Latent):
            raise UsageError(f"{option}: a {type(source).__name__} is no person of sf.invert")
        if latent.model != manifest.sha256:
            raise UsageError(f"{option}: this person is of another model than {manifest.name}")
        name = str(latent.origin.get("photo", "person"))
        return Identity({"latent": {"photo": name}}, name, latent=latent)
    path = expand_home(source, option)
    if path.suffix.lower() == SUFFIX:
        latent = read_latent(path, manifest)
        about = {"file": path.name, "sha256": sha256_of(path)}
        return Identity({"latent": about}, path.name, latent=latent)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        photo = read_photo(path)
        about = {"file": path.name, "sha256": sha256_of(path)}
        return Identity({"photo": about}, path.name, photo=photo)
    raise UsageError(
        f"{option} {source}: give {or_seed}a latent file ({SUFFIX}) or "
        f"a photo ({', '.join(IMAGE_SUFFIXES)})"
    )


def load_person(
    identity: Identity, model: Model, search: FaceSearchOptions, listener: Listener
) -> Person:
    """The person of a file; a photo is inverted first, as `stylefacev invert` does by default.

    Raises:
        StyleFaceVError: the photo shows no face that can be inverted, or the latent is damaged.
    """
    from stylefacev_cli.inversion import InversionSettings, person_of

    latent = identity.latent
    if identity.photo is not None:
        settings = InversionSettings()
        listener.note(f"{identity.name} is inverted first; stylefacev invert keeps what is found")
        with listener.progress(settings.steps, "steps") as advance:
            inversion, _ = invert_photo(
                identity.photo, identity.name, model, settings, search, listener, advance
            )
        latent = inversion.latent
    assert latent is not None
    return person_of(model, latent)


def invert_photo(
    photo: Picture,
    name: str,
    model: Model,
    settings: InversionSettings,
    search: FaceSearchOptions,
    listener: Listener,
    advance: Callable[[str], None],
) -> tuple[Inversion, Picture]:
    """Find the face, cut its window and invert it; the latent's origin says how.

    Returns:
        The inversion, and the window as the model sees it, uint8 [R, R, 3].

    Raises:
        StyleFaceVError: as `find_window`.
    """
    from dataclasses import asdict, replace

    from stylefacev_cli.generation.photo_crop import as_frame, find_window
    from stylefacev_cli.inversion import invert
    from stylefacev_cli.metrics.perceptual import load_perceptual

    size = model.manifest.resolution
    window, facts = find_window(photo, name, model, search, listener)
    try:
        perceptual = load_perceptual("auto")
    except StyleFaceVError as error:
        listener.note(f"inverted by pixels alone, without a perceptual network: {error}")
        perceptual = None
    else:
        assert perceptual is not None
        perceptual = perceptual.to(model.device)
    inversion = invert(
        model,
        as_frame(photo, window, size),
        settings,
        perceptual,
        lambda part: advance(f"{name}: {part}"),
    )
    origin = {
        "photo": name,
        **facts,
        "perceptual": perceptual.name if perceptual else None,
        "settings": asdict(settings),
    }
    cut = window.cut(photo, size)
    return replace(inversion, latent=replace(inversion.latent, origin=origin)), cut
