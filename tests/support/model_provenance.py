"""Bundles of the same networks that name another origin."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from stylefacev_cli.faces.factors import FaceFactors
from stylefacev_cli.weights.locate import MANIFEST_NAME
from stylefacev_cli.weights.manifest import Manifest, read_manifest


def copy_with_provenance(bundle: Path, folder: Path, provenance: dict[str, Any]) -> Path:
    """A copy of a bundle that tells another origin."""
    shutil.copytree(bundle, folder)
    told = yaml.safe_load((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).write_text(yaml.safe_dump(told | {"provenance": provenance}))
    return folder


def with_provenance(manifest: Manifest, **told: Any) -> Manifest:
    """A bundle of the same networks that tells another origin."""
    return replace(manifest, provenance=told)


def trained_on_these_faces() -> Manifest:
    """A bundle that says that its generator learnt today's factors."""
    settings = {"objective": "paired", "num_factors": len(FaceFactors.names)}
    told = {"config": {"generator": settings}, "steps": {"generator": 1}}
    return with_provenance(read_manifest("default-128"), **told)
