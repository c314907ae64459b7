"""Who is seen and from where: chains of identities, borrowed layers, courses of the camera."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Mix, Model
    from stylefacev_cli.weights.manifest import Manifest

MAX_CHAIN = 100  # identities one after the other
_MAX_KEYS = 1000
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,4}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})")
_LAYERS = re.compile(r"([0-9]{1,3})(?:(-)([0-9]{1,3})?)?")
# What default-128 still draws well, by eye and by its landmarks; see the README.
_WELL_TURNED_DEG, _WELL_ZOOMED = 5.0, (0.9, 1.25)

Course = tuple[tuple[float, ...], ...]
"""Values that follow each other, evenly spread over a video; one stays as it is."""


@dataclass(frozen=True)
class Camera:
    """Courses through the generator's input; empty ones move nothing.

    Attributes:
        rotate: (degrees anti-clockwise,) each.
        shift: (right, down) each, in widths of the picture.
        zoom: (factor,) each.
    """

    rotate: Course = ()
    shift: Course = ()
    zoom: Course = ()

    def told(self) -> dict[str, Any]:
        """Those that are used, for records."""
        return {
            name: [key[0] if len(key) == 1 else list(key) for key in course]
            for name, course in vars(self).items()
            if course
        }


@dataclass(frozen=True)
class MixWish:
    """Layers of somebody else: `layers` as in ws; an open end stands for the last one."""

    seed: int
    first: int
    last: int | None


@dataclass(frozen=True)
class Direction:
    """All of this for one command.

    Attributes:
        chain: seeds of the identities that follow each other; empty: a video for each seed.
        mixes: what is borrowed.
        camera: how the picture stands.
    """

    chain: tuple[int, ...] = ()
    mixes: tuple[MixWish, ...] = ()
    camera: Camera = field(default_factory=Camera)

    @property
    def is_plain(self) -> bool:
        """Nothing of it is used."""
        return not (self.chain or self.mixes or self.camera.told())

    def told(self) -> dict[str, Any]:
        """What is used, for records."""
        told: dict[str, Any] = {"interpolate": list(self.chain)} if self.chain else {}
        if self.mixes:
            told["mix"] = [
                {"seed": mix.seed, "layers": [mix.first, "last" if mix.last is None else mix.last]}
                for mix in self.mixes
            ]
        camera = self.camera.told()
        return {**told, "camera": camera} if camera else told


def parse_chain(text: str) -> tuple[int, ...]:
    """Read `3:7:12`.

    Raises:
        UsageError: anything else, or one seed only.
    """
    how = f"give two or more seeds (at most {MAX_CHAIN}), each from 0 to {MAX_SEED}, as in 3:7"
    parts = [part.strip() for part in text.split(":")]
    seeds = [int(part) for part in parts if re.fullmatch(r"[0-9]{1,10}", part)]
    if len(seeds) != len(parts) or not 2 <= len(seeds) <= MAX_CHAIN or max(seeds) > MAX_SEED:
        raise UsageError(f"--interpolate {text[:40]!r}: {how}")
    return tuple(seeds)


def parse_mixes(texts: Sequence[str]) -> tuple[MixWish, ...]:
    """Read `5:4-`, `5:0-3` and `5:2`.

    Raises:
        UsageError: anything else, or a range that runs backwards.
    """
    how = "give a seed and its layers: 5:4- (from 4 on), 5:0-3 or 5:2"
    mixes = []
    for text in texts:
        seed, _, layers = (part.strip() for part in text.partition(":"))
        match = _LAYERS.fullmatch(layers)
        if match is None or not re.fullmatch(r"[0-9]{1,10}", seed) or int(seed) > MAX_SEED:
            raise UsageError(f"--mix {text[:40]!r}: {how}")
        first, last = int(match[1]), int(match[3] or match[1])
        if last < first:
            raise UsageError(f"--mix {text[:40]!r}: {first}-{last} runs backwards")
        mixes.append(MixWish(int(seed), first, None if match[2] and not match[3] else last))
    return tuple(mixes)


def check_mixes(mixes: Sequence[MixWish], manifest: Manifest) -> None:
    """Check the layers against the model's.

    Raises:
        UsageError: it has no such layer, or one is borrowed twice.
    """
    last_layer = manifest.architecture["generator"]["num_layers"] + 1
    taken: set[int] = set()
    for mix in mixes:
        first, last = mix.first, last_layer if mix.last is None else mix.last
        if max(first, last) > last_layer:
            raise UsageError(
                f"--mix: {manifest.name} has the layers 0 to {last_layer}, not {max(first, last)}"
            )
        twice = taken & set(range(first, last + 1))
        if twice:
            raise UsageError(f"--mix: layer {min(twice)} is taken twice")
        taken |= set(range(first, last + 1))


def parse_camera(rotate: str | None, shift: str | None, zoom: str | None) -> Camera:
    """Read the three courses: values between colons, as in `-10:10` or `0,0:0.1,0`.

    Raises:
        UsageError: no numbers, or some out of range.
    """
    return Camera(
        _course("--rotate", rotate, "degrees, as in 10 or -10:10", 1, -360, 360),
        _course(
            "--shift", shift, "right,down in picture widths, as in 0.1,0 or 0,0:.2,0", 2, -1, 1
        ),
        _course("--zoom", zoom, "factors, as in 1.2 or 1:1.2", 1, 0.25, 4),
    )


def _course(
    option: str, text: str | None, how: str, num: int, lowest: float, highest: float
) -> Course:
    if text is None:
        return ()
    keys = []
    for part in text.split(":"):
        numbers = [piece.strip() for piece in part.split(",")]
        if len(numbers) != num or not all(_NUMBER.fullmatch(number) for number in numbers):
            raise UsageError(f"{option} {text[:40]!r}: give {how}")
        keys.append(tuple(float(number) for number in numbers))
    if not all(lowest <= number <= highest for key in keys for number in key):
        raise UsageError(f"{option} {text[:40]!r}: give numbers from {lowest:g} to {highest:g}")
    if len(keys) > _MAX_KEYS:
        raise UsageError(f"{option}: more than {_MAX_KEYS} values")
    return tuple(keys)


def check_closed(direction: Direction) -> None:
    """Check that what loops ends where it began.

    Raises:
        UsageError: an identity or the camera does not come back.
    """
    courses = {"--interpolate": tuple((float(seed),) for seed in direction.chain)}
    courses |= {f"--{name}": course for name, course in vars(direction.camera).items()}
    for option, keys in courses.items():
        if keys and keys[0] != keys[-1]:
            raise UsageError(f"--loop: {option} must end where it begins, as in A:B:A")


def doubts(camera: Camera, model: Model) -> list[str]:
    """What is to be told of a camera before it disappoints."""
    if not camera.told():
        return []
    from stylefacev_cli.networks.stylegan3.input_transform import is_rotation_equivariant

    told = []
    turned = max((abs(key[0]) for key in camera.rotate), default=0)
    if turned > _WELL_TURNED_DEG and not is_rotation_equivariant(model.networks.generator.config):
        told.append(
            f"--rotate {turned:g}: the model {model.manifest.name} is of StyleGAN3's configuration "
            "T, which shifts well but turns badly: eyes turn by about half of it, and beyond 15 "
            "degrees faces bend"
        )
    lowest, highest = _WELL_ZOOMED
    zooms = [key[0] for key in camera.zoom if not lowest <= key[0] <= highest]
    if zooms:
        told.append(
            f"--zoom {max(zooms, key=lambda zoom: abs(zoom - 1)):g}: generators know faces of the "
            f"size they have seen: outside {lowest:g} to {highest:g} heads lose their shape"
        )
    return told


def shares(num_frames: int, closed: bool) -> Iterator[float]:
    """How far each frame is on the way from 0 to 1; a closed way leaves the last step open."""
    whole = num_frames if closed else max(num_frames - 1, 1)
    return (frame / whole for frame in range(num_frames))


def transforms_of(camera: Camera, num_frames: int, closed: bool) -> Iterator[torch.Tensor] | None:
    """The transform [1, 3, 3] of each frame; None where the picture stays as it is."""
    import torch

    from stylefacev_cli.networks.stylegan3.input_transform import camera_transforms, eased

    if not camera.told():
        return None
    rotate = torch.tensor(camera.rotate or ((0.0,),), dtype=torch.float64)
    shift = torch.tensor(camera.shift or ((0.0, 0.0),), dtype=torch.float64)
    zoom = torch.tensor(camera.zoom or ((1.0,),), dtype=torch.float64)
    return (
        camera_transforms(eased(rotate, share), eased(shift, share)[None], eased(zoom, share))
        for share in shares(num_frames, closed)
    )


def along(keys: Sequence[torch.Tensor], share: float) -> torch.Tensor:
    """The value at a share of the way along equally long, straight pieces; constant for one key."""
    import torch

    if len(keys) == 1:
        return keys[0]
    position = share * (len(keys) - 1)
    before = min(int(position), len(keys) - 2)
    return torch.lerp(keys[before], keys[before + 1], position - before)


def mixes_of(wishes: Sequence[MixWish], model: Model, truncation: float) -> list[Mix]:
    """The people whose layers are borrowed."""
    if not wishes:
        return []
    from stylefacev_cli.pipeline import Mix

    num_ws = model.networks.generator.num_ws
    mixes = []
    for wish in wishes:
        appearance = model.encode(model.first_frame(wish.seed, truncation))
        last = num_ws - 1 if wish.last is None else wish.last
        mixes.append(Mix(model, appearance, tuple(range(wish.first, last + 1))))
    return mixes
