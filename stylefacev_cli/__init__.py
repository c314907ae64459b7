"""StyleFaceV: face videos from a seed.

    from stylefacev_cli import load_model
    model = load_model()
    for frame in model.sample(seed=3, num_frames=64):   # uint8 [H, W, 3]
        ...

Importing this package does nothing costly: torch is imported by `load_model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylefacev_cli.version import __version__

__all__ = ["__version__", "load_model"]

if TYPE_CHECKING:
    from stylefacev_cli.pipeline import load_model


def __getattr__(name: str) -> object:
    """Import the pipeline only when it is asked for (PEP 562)."""
    if name == "load_model":
        from stylefacev_cli.pipeline import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
