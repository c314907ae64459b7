"""Config keys of earlier versions, refused with what stands for them now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stylefacev_cli.errors import UsageError

_BATCH_NORM = "freeze_norms_from", "freeze_batch_norm_from"
_KEY_POINTS = "places_weight", "key_point_surrogate_weight"
_IMAGES = "image_share", "image_loss_share"
_NAMES = {  # by section, names of version 0.1 and those of today
    "loop": (
        ("save_every_minutes", "checkpoint_every_minutes"),
        ("save_every_steps", "checkpoint_every_steps"),
        ("sheet_every_minutes", "validate_every_minutes"),
        ("keep", "num_checkpoints"),
        ("max_bad_steps", "max_skipped_steps"),
    ),
    "generator": (
        ("discriminator_detail", "discriminator_detail_px"),
        ("grow_images", "num_grow_images"),
    ),
    "finish": (
        ("discriminator_detail", "discriminator_detail_px"),
        ("grow_images", "num_grow_images"),
    ),
    "detector": (_BATCH_NORM,),
    "pose": (_BATCH_NORM,),
    "appearance": (
        _BATCH_NORM,
        _KEY_POINTS,
        _IMAGES,
        ("view_weight", "view_surrogate_weight"),
        ("pool_images", "num_pool_images"),
    ),
    "joint": (
        _BATCH_NORM,
        _KEY_POINTS,
        _IMAGES,
        ("further_swaps", "num_swap_poses"),
        ("same_poses_weight", "pose_anchor_weight"),
        ("num_drawn", "num_generated"),
    ),
    "motion": (
        ("values_clips", "num_statistics_clips"),
        ("critics_every", "discriminators_every"),
        ("structure_weight", "structure_function_weight"),
        ("steps_weight", "increments_weight"),
        ("manifold_weight", "pose_prior_weight"),
        ("shown_people", "num_opening_people"),
    ),
}
RENAMED = {"use_saves": "use_checkpoints"} | {
    f"{section}.{old}": f"{section}.{new}"
    for section, names in _NAMES.items()
    for old, new in names
}
"""Keys of version 0.1, each with its section, and their names now."""

_CONSTANT = "it has one value for all; leave it out"
GONE = {
    "appearance.further_swaps": "leave it out",
    "detector.loss": "leave it out",
    "pose.swaps_weight": "leave it out",
    "pose.pose_factors": "leave it out",
    "motion.rendered_at_once": _CONSTANT,
    "pose.sigma_px": _CONSTANT,
    **{
        f"detector.{key}": _CONSTANT
        for key in (
            "boundary_weight", "foreground_weight", "hidden_weight", "max_brightness",
            "max_contrast", "max_shift", "sigma_px",
        )
    },
    **{f"{stage}.gradient_weight": _CONSTANT for stage in ("generator", "finish")},
    **{
        f"{stage}.augmentation.{key}": _CONSTANT
        for stage in ("generator", "finish")
        for key in (
            "brightness", "contrast_octaves", "flip", "max_rotation_deg", "max_translation",
            "saturation_octaves", "scale_octaves",
        )
    },
}  # fmt: skip
"""Keys of version 0.1 that nothing stands for any more, and what to do about them."""


def refuse_old_keys(settings: dict[str, Any], where: str) -> None:
    """Refuse a key of an earlier version with its new name.

    Args:
        settings: as YAML gives them, nested.
        where: what they are called in messages, such as the file's name.

    Raises:
        UsageError: there is such a key.
    """
    for key in _keys(settings, ""):
        if key in RENAMED:
            raise UsageError(f"{where}: {key} is now called {RENAMED[key]}: rename it")
        if key in GONE:
            raise UsageError(f"{where}: there is no {key} any more: {GONE[key]}")


def _keys(settings: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in settings.items():
        yield prefix + str(key)
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
