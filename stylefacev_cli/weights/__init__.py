"""Models on disk and released weights: bundles, where they are, how they are read and made.

As `sf.weights` it offers what `stylefacev weights` does, see `api.py`; nothing is imported before
it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylefacev_cli.weights.api import (
        download,
        export_model,
        import_model,
        list_entries,
        list_models,
        paths,
        remove,
        show,
        verify,
    )

__all__ = [
    "download",
    "export_model",
    "import_model",
    "list_entries",
    "list_models",
    "paths",
    "remove",
    "show",
    "verify",
]


def __getattr__(name: str) -> object:
    """Import the functions only when one is asked for (PEP 562)."""
    if name in __all__:
        from stylefacev_cli.weights import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
