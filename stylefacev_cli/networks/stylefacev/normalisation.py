"""Names of the appearance network's normalisations, for manifests and settings; needs no torch."""

from __future__ import annotations

from stylefacev_cli.errors import UsageError

RUNNING = "running"  # by the running means and variances of training: this project's own models
PER_IMAGE = "per_image"  # each image and each pose by its own statistics: StyleFaceV's authors
NORMALISATIONS = (RUNNING, PER_IMAGE)


def check_normalisation(name: str, where: str) -> None:
    """Refuse a name that is not in `NORMALISATIONS`.

    Raises:
        UsageError: `where` says in the message what it is a value of.
    """
    if name not in NORMALISATIONS:
        raise UsageError(f"{where} {name!r} is not {' or '.join(NORMALISATIONS)}")
