"""Options of downloads: mirror, time-outs, offline."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from stylefacev_cli.errors import UsageError
from stylefacev_cli.weights.downloads.interaction import interaction
from stylefacev_cli.weights.downloads.registry import check_url

OFFLINE_VARIABLE = "STYLEFACEV_OFFLINE"
MIRROR_VARIABLE = "STYLEFACEV_MIRROR"


@dataclass(frozen=True)
class Options:
    """How files are fetched."""

    offline: bool = field(default_factory=lambda: is_offline())
    mirror: str | None = field(default_factory=lambda: os.environ.get(MIRROR_VARIABLE) or None)
    retries: int = 4  # in a row without getting further
    connect_timeout_s: float = 15.0
    stall_timeout_s: float = 60.0  # without a byte, or with next to none
    first_wait_s: float = 1.0  # before a retry; doubled each time

    def __post_init__(self) -> None:
        if self.mirror is not None:
            try:
                check_url(self.mirror)
            except ValueError as error:
                raise UsageError(
                    f"the mirror {error}; give one such as https://host/path"
                ) from error
        if self.retries < 0 or min(self.connect_timeout_s, self.stall_timeout_s) <= 0:
            raise UsageError("retries must be 0 or more, time-outs more than 0 s")


def is_offline() -> bool:
    """Whether `--offline` or `STYLEFACEV_OFFLINE` forbids downloads."""
    said = os.environ.get(OFFLINE_VARIABLE, "").lower()
    return interaction().offline or said not in ("", "0", "false", "no", "off")
