"""Kinds of models in manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from other_kinds import write_model

from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.weights.bundle import load_bundle
from stylefacev_cli.weights.kinds import KINDS, OWN_KIND, kind_of_networks
from stylefacev_cli.weights.manifest import read_manifest


def test_kinds_of_networks() -> None:
    assert kind_of_networks(["generator"]) == OWN_KIND
    assert kind_of_networks(["generator", "latent_motion"]) == "mocogan-hd"
    assert kind_of_networks(["digan"]) == "digan"


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_is_refused_unless_asked_for(kind: str, tmp_path: Path) -> None:
    write_model(tmp_path, kind)
    manifest = read_manifest(tmp_path, any_kind=True)
    assert (manifest.kind, manifest.missing, manifest.default_frames) == (kind, (), 16)
    with pytest.raises(UsageError, match=f"of the kind {kind}"):
        read_manifest(tmp_path)
    with pytest.raises(UsageError, match=f"of the kind {kind}"):
        load_bundle(manifest)


def test_our_own_models_stay_as_they_are() -> None:
    manifest = read_manifest("default-64")
    assert manifest.is_own and manifest.default_frames == 64


def changed(folder: Path, **changes: Any) -> None:
    path = folder / "bundle.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "Digan"}, "kind must be small letters"),
        ({"kind": "stylegan-v"}, "of the kind stylegan-v has stylegan_v"),
        ({"kind": "stylefacev"}, "unknown key 'digan'"),
        ({"files": {}}, "of the kind digan has digan, each with a file"),
        ({"architecture": {}}, "of the kind digan has digan, each with a file"),
        ({"kind": "lab", "architecture": {}}, "each file of weights has a section"),
        ({"kind": "lab", "architecture": {"../x": {}}}, "networks are named"),
        ({"kind": "lab", "architecture": {"digan": 3}}, "section 'digan' is missing"),
        ({"resolution": 32}, "digan.img_resolution is the bundle's"),
    ],
)
def test_wrong_manifests_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    from stylefacev_cli.pipeline import load_model

    write_model(tmp_path, "digan")
    changed(tmp_path, **changes)
    with pytest.raises(IntegrityError, match=message):
        load_model(tmp_path)
