"""StyleFaceV: face videos from a seed.

    import stylefacev_cli as sf
    model = sf.load_model()
    video = sf.generate(model=model, seeds="0-3", motion_seeds=5, grid=True, frames=48, loop=True)
    video.save("x.mp4")

Everything that the commands do is here under the same names, with their options as keywords.
Importing this package does nothing; what a name stands for is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from stylefacev_cli.version import __version__

if TYPE_CHECKING:
    from stylefacev_cli import data, weights
    from stylefacev_cli.evaluation.api import evaluate
    from stylefacev_cli.generation.api import generate, invert, reenact, track
    from stylefacev_cli.pipeline import load_model
    from stylefacev_cli.training.api import train

_FUNCTIONS = {
    "load_model": "pipeline",
    "generate": "generation.api",
    "reenact": "generation.api",
    "invert": "generation.api",
    "track": "generation.api",
    "evaluate": "evaluation.api",
    "train": "training.api",
}
_MODULES = ("data", "weights")

__all__ = [
    "__version__",
    "data",
    "evaluate",
    "generate",
    "invert",
    "load_model",
    "reenact",
    "track",
    "train",
    "weights",
]


def __getattr__(name: str) -> object:
    if name in _FUNCTIONS:
        module = import_module(f"stylefacev_cli.{_FUNCTIONS[name]}")
        return getattr(module, name)
    if name in _MODULES:
        return import_module(f"stylefacev_cli.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
