"""Who is to move: a seed, a latent file or a photograph → a person that a model can draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.generation.photo_crop import SUFFIXES, as_frame, find_window, read_photo
from stylefacev_cli.weights.manifest import Manifest

if TYPE_CHECKING:
    from stylefacev_cli.generation.photo_crop import Picture
    from stylefacev_cli.inversion import Inversion, InversionSettings
    from stylefacev_cli.pipeline import Model, Person
    from stylefacev_cli.weights.latents import Latent


@dataclass(frozen=True)
class Who:
    """A person, read and checked before any network is loaded; one of the three is there.

    Attributes:
        about: what records say: `{"seed": 3}`, `{"latent": …}` or `{"photo": …}`.
        name: for messages.
        seed: whose person it is.
        latent: that was read.
        photo: that is to be inverted, uint8 [H, W, 3].
    """

    about: dict[str, Any]
    name: str
    seed: int | None = None
    latent: Latent | None = None
    photo: Picture | None = None

    @property
    def stem(self) -> str:
        """The name of its file without the ending."""
        return Path(self.name).stem


def open_who(text: str, manifest: Manifest, option: str) -> Who:
    """Read who is meant.

    Args:
        text: a seed, or the name of a latent file or a photo.
        manifest: of the model that is to draw the person.
        option: that gave the text, for messages.

    Raises:
        UsageError: it is none of the three, or a latent of another model.
        IntegrityError: the latent is damaged.
        DataError: the photo cannot be read.
    """
    if text.strip().isdecimal() and text.strip().isascii():
        seed = int(text) if len(text.strip()) <= 10 else MAX_SEED + 1
        if seed > MAX_SEED:
            raise UsageError(f"{option} {text[:20]}: seeds go from 0 to {MAX_SEED}")
        return Who({"seed": seed}, f"seed {seed}", seed=seed)
    return open_who_of_file(text, manifest, option, or_seed="a seed, ")


def open_who_of_file(text: str, manifest: Manifest, option: str, *, or_seed: str = "") -> Who:
    """Read a latent file or a photo (arguments and errors as `open_who`)."""
    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.weights.latents import SUFFIX, read_latent

    path = expand_home(text, option)
    if path.suffix.lower() == SUFFIX:
        latent = read_latent(path, manifest)
        about = {"file": path.name, "sha256": sha256_of(path)}
        return Who({"latent": about}, path.name, latent=latent)
    if path.suffix.lower() in SUFFIXES:
        photo = read_photo(path)
        about = {"file": path.name, "sha256": sha256_of(path)}
        return Who({"photo": about}, path.name, photo=photo)
    raise UsageError(
        f"{option} {text}: give {or_seed}a latent file ({SUFFIX}) or "
        f"a photo ({', '.join(SUFFIXES)})"
    )


def load_person(who: Who, model: Model, truncation: float, terminal: Terminal) -> Person:
    """The person; a photo is inverted first, as `stylefacev invert` does by default.

    Raises:
        StyleFaceVError: the photo shows no face that can be inverted, or the latent is damaged.
    """
    from stylefacev_cli.inversion import InversionSettings, person_of

    if who.seed is not None:
        return model.person(who.seed, truncation)
    latent = who.latent
    if who.photo is not None:
        settings = InversionSettings()
        terminal.note(f"{who.name} is inverted first; stylefacev invert keeps what is found")
        with terminal.progress(settings.steps, "steps") as advance:
            found, _ = invert_photo(who.photo, who.name, model, settings, terminal, advance)
        latent = found.latent
    assert latent is not None
    return person_of(model, latent)


def invert_photo(
    photo: Picture,
    name: str,
    model: Model,
    settings: InversionSettings,
    terminal: Terminal,
    advance: Callable[[str], None],
    *,
    crop: bool | None = None,
    detector: str | None = None,
) -> tuple[Inversion, Picture]:
    """Find the face, cut its window and invert it; the latent's origin says how.

    Returns:
        What was found, and the window as the model sees it, uint8 [R, R, 3].

    Raises:
        StyleFaceVError: as `find_window`.
    """
    from dataclasses import asdict, replace

    from stylefacev_cli.inversion import invert
    from stylefacev_cli.metrics.perceptual import load_perceptual

    size = model.manifest.resolution
    window, facts = find_window(photo, crop, name, model, detector)
    try:
        perceptual = load_perceptual("auto")
    except StyleFaceVError as error:
        terminal.note(f"inverted by pixels alone, without a perceptual network: {error}")
        perceptual = None
    else:
        assert perceptual is not None
        perceptual = perceptual.to(model.device)
    found = invert(model, as_frame(photo, window, size), settings, perceptual, advance)
    origin = {
        "photo": name,
        **facts,
        "perceptual": perceptual.name if perceptual else None,
        "settings": asdict(settings),
    }
    cut = window.cut(photo, size)
    return replace(found, latent=replace(found.latent, origin=origin)), cut
