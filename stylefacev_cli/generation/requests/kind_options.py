"""Options that a model's kind lacks: refused by name, before any network is loaded."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from stylefacev_cli.common.options import OptionField, option_fields
from stylefacev_cli.errors import UsageError
from stylefacev_cli.weights.kinds import KINDS, only_for_own

if TYPE_CHECKING:
    from stylefacev_cli.generation.requests import GenerateRequest
    from stylefacev_cli.weights.manifest import Manifest

_OF_OWN_NETWORKS = {  # appearance, poses, layers and kernels, which other kinds do not have
    *("resample", "stabilise", "track", "interpolate", "from_", "mix", "save_track"),
    *("rotate", "shift", "zoom"),
    *("smooth", "motion_scale", "scale", "loop", "fade"),
    *("batch", "dtype"),
}


def check_options(request: GenerateRequest, manifest: Manifest) -> None:
    """Check that a model can do what is asked of it.

    Raises:
        UsageError: its kind lacks an option that is given.
    """
    if manifest.is_own:
        return
    lacking = set(_OF_OWN_NETWORKS)
    if manifest.kind in KINDS and not KINDS[manifest.kind].truncates:
        lacking.add("truncation")
    for one in option_fields(type(request)):
        value = functools.reduce(getattr, one.path, request)
        if one.name in lacking and value != one.default:
            raise UsageError(
                f"{_flag(one, value)}: {manifest.name} is a model of the kind {manifest.kind}, "
                "which lacks this option; leave it out"
            )


def check_own(manifest: Manifest, what: str) -> None:
    """Check that a model has people and poses.

    Raises:
        UsageError: it is of another kind than StyleFaceV's own.
    """
    if not manifest.is_own:
        raise only_for_own(manifest.name, manifest.kind, what)


def _flag(one: OptionField, value: object) -> str:
    """An option as it is given on the command line."""
    flag = (one.option.flags or (f"--{one.name.replace('_', '-')}",))[0]
    on, _, off = flag.partition("/")
    return off if off and value is False else on
