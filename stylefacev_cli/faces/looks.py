"""The two looks of rendered faces, and the files that each needs.

photographic   MakeHuman's skins, eyes, brows, lashes and hair on the mesh
procedural     all painted by this program; needs the mesh alone
"""

from __future__ import annotations

from typing import Any

from stylefacev_cli.errors import UsageError
from stylefacev_cli.faces import assets
from stylefacev_cli.faces.mesh import has_mesh
from stylefacev_cli.weights.downloads.interaction import TransferListener, interaction

PHOTOGRAPHIC = "photographic"
PROCEDURAL = "procedural"
LOOKS = (PHOTOGRAPHIC, PROCEDURAL)

_CONTENT = {
    PHOTOGRAPHIC: (
        "synthetic faces, rendered by a program; none is meant to show a real person; skins are "
        "mixed from textures by MakeHuman's artists, by their look from photographs (CC0), "
        "eyes, brows, lashes and hair are MakeHuman's too (CC0)"
    ),
    PROCEDURAL: "synthetic faces, rendered by a program; they show no real person",
}


def check_look(look: str) -> None:
    """Check the name of a look.

    Raises:
        UsageError: it is not one of `LOOKS`.
    """
    if look not in LOOKS:
        raise UsageError(f"--look {look}: choose {' or '.join(LOOKS)}")


def fetch_assets(look: str, listener: TransferListener | None = None) -> None:
    """Fetch the files that a look needs and that are not here, before anything is rendered.

    Args:
        look: one of `LOOKS`.
        listener: told how downloads go.

    Raises:
        MissingWeightsError: they cannot be fetched.
        IntegrityError: a file is there, but is not the pinned one.
    """
    if look == PHOTOGRAPHIC:
        assets.look_folder(listener)
    if not has_mesh():
        assets.open_wheel(listener).close()


def obtain_assets(look: str) -> None:
    """As `fetch_assets`; the current interaction asks for consent and shows the downloads."""
    with interaction().listening() as listener:
        fetch_assets(look, listener)


def assets_of(look: str) -> dict[str, Any]:
    """Names and hashes of the files that pictures of a look are made from, for manifests."""
    wheel = assets.wheel_file()
    facts: dict[str, Any] = {"wheel": wheel.name, "sha256": wheel.sha256}
    if look == PHOTOGRAPHIC:
        facts["look"] = {"entry": assets.LOOK_ENTRY, "sha256": assets.look_hash()}
    return facts


def content_of(look: str) -> str:
    """What pictures of a look show and where its textures come from, as text for manifests."""
    return _CONTENT[look]
