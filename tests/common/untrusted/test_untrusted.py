"""Files of strangers are opened by the readers of this room, and by nothing else."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[3] / "stylefacev_cli"

# What believes a file's own sizes, or runs what is in it; and where it has its one place.
BELIEVERS = {
    r"torch\.(jit\.)?load\(": (),
    r"\bpickle\.loads?\(|\bUnpickler\b": (),
    r"\bsafe_open\b|\bload_file\(|safetensors\.\w+ import .*\bload\b": (),
    r"\b(np|numpy)\.load\(": (),
    r"\btarfile\b": (),
    r"\byaml\.\w*load": ("common/settings.py",),
    r"\bzipfile\.ZipFile\(": (
        "common/untrusted/archives.py",
        "faces/assets.py",  # a wheel whose hash was compared
        "weights/convert/efficientnet_weights.py",  # likewise
        "weights/downloads/members.py",  # one member, copied and counted
    ),
}


def test_nobody_else_opens_them() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix()
        code = re.sub(r'"""[\s\S]*?"""|#.*|`[^`]*`', "", text)
        for pattern, places in BELIEVERS.items():
            assert name in places or not re.search(pattern, code), f"{name}: {pattern}"
