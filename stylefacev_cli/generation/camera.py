"""Camera moves: rotation, shift and zoom over a video, through the generator's input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.mixing import positions

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.generation.requests import CameraOptions
    from stylefacev_cli.pipeline import Model

_MAX_KEYS = 1000
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,4}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})")
_MAX_ROTATION_DEG, _ZOOM_RANGE = 5.0, (0.9, 1.25)  # what default-128 still draws well

Keyframes = tuple[tuple[float, ...], ...]
"""Values that follow each other, evenly spread over a video; a single one stays as it is."""


@dataclass(frozen=True)
class Camera:
    """Keyframes of the transform of the generator's input; empty ones move nothing.

    Attributes:
        rotate: (degrees anti-clockwise,) each.
        shift: (right, down) each, in widths of the picture.
        zoom: (factor,) each.
    """

    rotate: Keyframes = ()
    shift: Keyframes = ()
    zoom: Keyframes = ()

    def as_record(self) -> dict[str, Any]:
        """Those that are used, as records hold them."""
        return {
            name: [key[0] if len(key) == 1 else list(key) for key in keys]
            for name, keys in vars(self).items()
            if keys
        }


def parse_camera(options: CameraOptions) -> Camera:
    """The keyframes: values between colons, as in `-10:10` or `0,0:0.1,0`.

    Raises:
        UsageError: no numbers, or some out of range.
    """
    shift_form = "right,down in picture widths, as in 0.1,0 or 0,0:.2,0"
    return Camera(
        _keyframes("--rotate", options.rotate, "degrees, as in 10 or -10:10", (-360, 360)),
        _keyframes("--shift", options.shift, shift_form, (-1, 1), num=2),
        _keyframes("--zoom", options.zoom, "factors, as in 1.2 or 1:1.2", (0.25, 4)),
    )


def _keyframes(
    option: str, text: str | None, form: str, bounds: tuple[float, float], num: int = 1
) -> Keyframes:
    if text is None:
        return ()
    keys = []
    for part in text.split(":"):
        numbers = [piece.strip() for piece in part.split(",")]
        if len(numbers) != num or not all(_NUMBER.fullmatch(number) for number in numbers):
            raise UsageError(f"{option} {text[:40]!r}: give {form}")
        keys.append(tuple(float(number) for number in numbers))
    lowest, highest = bounds
    if not all(lowest <= number <= highest for key in keys for number in key):
        raise UsageError(f"{option} {text[:40]!r}: give numbers from {lowest:g} to {highest:g}")
    if len(keys) > _MAX_KEYS:
        raise UsageError(f"{option}: more than {_MAX_KEYS} values")
    return tuple(keys)


def check_closed(seeds: tuple[int, ...], camera: Camera | None) -> None:
    """Check that a loop ends where it begins.

    Args:
        seeds: of identities that follow each other.
        camera: its moves, if it has any.

    Raises:
        UsageError: an identity or the camera does not come back.
    """
    keyframes: dict[str, Keyframes] = {"--interpolate": tuple((float(seed),) for seed in seeds)}
    if camera is not None:
        keyframes |= {f"--{name}": keys for name, keys in vars(camera).items()}
    for option, keys in keyframes.items():
        if keys and keys[0] != keys[-1]:
            raise UsageError(f"--loop: {option} must end where it begins, as in A:B:A")


def camera_warnings(camera: Camera, model: Model) -> list[str]:
    """Warnings for camera settings that a model handles badly."""
    from stylefacev_cli.networks.stylegan3.input_transform import is_rotation_equivariant

    warnings = []
    rotation = max((abs(key[0]) for key in camera.rotate), default=0)
    if rotation > _MAX_ROTATION_DEG and not is_rotation_equivariant(
        model.networks.generator.config
    ):
        warnings.append(
            f"--rotate {rotation:g}: the model {model.manifest.name} is of StyleGAN3's "
            "configuration T, which shifts well but turns badly: eyes turn by about half of it, "
            "and beyond 15 degrees faces bend"
        )
    lowest, highest = _ZOOM_RANGE
    zooms = [key[0] for key in camera.zoom if not lowest <= key[0] <= highest]
    if zooms:
        warnings.append(
            f"--zoom {max(zooms, key=lambda zoom: abs(zoom - 1)):g}: generators know faces of the "
            f"size they have seen: outside {lowest:g} to {highest:g} heads lose their shape"
        )
    return warnings


def camera_path(camera: Camera, num_frames: int, closed: bool) -> Iterator[torch.Tensor]:
    """The transform [1, 3, 3] of each frame."""
    import torch

    from stylefacev_cli.networks.stylegan3.input_transform import camera_transforms, eased

    rotate = torch.tensor(camera.rotate or ((0.0,),), dtype=torch.float64)
    shift = torch.tensor(camera.shift or ((0.0, 0.0),), dtype=torch.float64)
    zoom = torch.tensor(camera.zoom or ((1.0,),), dtype=torch.float64)
    return (
        camera_transforms(
            eased(rotate, position), eased(shift, position)[None], eased(zoom, position)
        )
        for position in positions(num_frames, closed)
    )
