"""`bundle.yaml`, the manifest of a model: parsed and checked before any weights are read.

Nothing here imports torch, so that a wrong or damaged model is reported at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.common.settings import MAX_BYTES, build, parse_yaml
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.networks.stylefacev.normalisation import PER_IMAGE, RUNNING
from stylefacev_cli.weights.kinds import (
    KINDS,
    OWN_KIND,
    PAPER_FRAMES,
    check_kind_name,
    networks_of,
    only_for_own,
)
from stylefacev_cli.weights.locate import MANIFEST_NAME, find_bundle, is_model_name
from stylefacev_cli.weights.manifest_checks import check_aliases, is_sha256, refuse_absurd

FORMAT = 1
DEFAULT_FRAMES = 64  # of a video, by default
PUBLISHED_FRAMES = 60  # of the videos that StyleFaceV's authors show
PUBLISHED_FPS = 15.0  # of their video writer; clips that motion was learnt from have others
VIDEO_NETWORKS = ("generator", "landmarks", "pose", "appearance", "motion")
NETWORK_NAMES = (*VIDEO_NETWORKS, "detector", "follower")
FILE_NAMES = tuple(f"{name}.safetensors" for name in NETWORK_NAMES)

_NORMALISATION = "normalisation"  # key of the appearance network's settings
_SECTIONS = ("architecture", "provenance", "files")
_MAX_FILE_BYTES = 2**33
MAX_FPS = 240  # of a model's motion


@dataclass(frozen=True)
class FileRecord:
    """One file of a bundle."""

    sha256: str  # 64 hexadecimal digits
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The content of `bundle.yaml`.

    Attributes:
        folder: where the bundle is.
        sha256: of `bundle.yaml`; as that holds the hashes of all files, it names the whole model.
        name: of the model, such as `default-128`.
        resolution: height and width of its frames, px.
        fps: frames per second that its motion was learnt at; of the released model only the rate at
            which its authors write videos, see `fps_is_only_written`.
        licence: of the weights.
        architecture: the settings of each network that is there, by network, in the order of
            `NETWORK_NAMES`. The generator is always there. `detector`, which videos do not need,
            is the fixed landmark detector beside `landmarks`, the copy that was trained further;
            with a `follower` the poses of videos are read from the face mesh.
        provenance: how the weights came to be; free text and numbers.
        files: size and hash of each network's file, by network.
        notes: lines for the user, on what it leaves open.
        kind: `stylefacev`, another one of `weights.kinds`, or that of a plug-in.
        aliases: `sha256` of earlier manifests of the same weights: where only `bundle.yaml` was
            rewritten, files that name the model as it was still belong to it.
    """

    folder: Path
    sha256: str
    name: str
    resolution: int
    fps: float
    licence: str
    architecture: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]
    files: Mapping[str, FileRecord]
    notes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    kind: str = OWN_KIND

    @property
    def is_own(self) -> bool:
        """Whether it is a model of StyleFaceV's own networks."""
        return self.kind == OWN_KIND

    def is_named_by(self, sha256: str) -> bool:
        """Whether a hash is that of this model's manifest as it is or as it once was."""
        return sha256 in (self.sha256, *self.aliases)

    @property
    def normalisation(self) -> str | None:
        """Statistics of the appearance network: `per_image` or `running`; None without it."""
        appearance = self.architecture.get("appearance")
        return None if appearance is None else str(appearance.get(_NORMALISATION, RUNNING))

    @property
    def default_frames(self) -> int:
        """Default number of frames of a video; for imported motion that of its authors' videos.

        So none of them is held by the stabiliser, which begins after `motion_frames`.
        """
        if self.kind in KINDS:
            return PAPER_FRAMES
        return PUBLISHED_FRAMES if self._has_imported_motion else DEFAULT_FRAMES

    @property
    def fps_is_only_written(self) -> bool:
        """Whether `fps` is but the rate of the authors' video writer, and not the motion's own."""
        return self._has_imported_motion and self.fps == PUBLISHED_FPS

    @property
    def _has_imported_motion(self) -> bool:
        return "motion" in self.files and is_imported(self.provenance, "motion", ("motion",))

    @property
    def motion_frames(self) -> int:
        """Frames of the sequences that motion was learnt from, as far as the bundle says.

        Where a model has the motion of the one that its training started from, that one says it.
        """
        provenance: Any = self.provenance
        while isinstance(provenance, Mapping):
            steps = provenance.get("steps")
            if not isinstance(steps, Mapping) or "motion" in steps:
                value = _value_at(provenance, "config", "motion", "num_frames")
                if isinstance(value, int) and value > 0:
                    return value
            provenance = _value_at(provenance, "start_from", "provenance")
        return PUBLISHED_FRAMES

    @property
    def missing(self) -> tuple[str, ...]:
        """The networks that making videos needs and that the model lacks."""
        if not self.is_own:
            return ()
        return tuple(name for name in VIDEO_NETWORKS if name not in self.files)

    @property
    def pose_space(self) -> str | None:
        """What poses of this model mean: a hash of its landmark detector and pose extractor.

        Models that share both understand each other's poses. None for a model that lacks one.
        """
        if not {"landmarks", "pose"} <= set(self.files):
            return None
        hashes = self.files["landmarks"].sha256 + self.files["pose"].sha256
        return hashlib.sha256(hashes.encode()).hexdigest()

    def check_complete(self) -> None:
        """Check that the model can make videos.

        Raises:
            MissingWeightsError: it lacks networks; the message names them.
        """
        if self.missing:
            raise MissingWeightsError(cannot_make_videos(self.name, self.missing))


def cannot_make_videos(name: str, missing: Iterable[str]) -> str:
    """What to do with a model that lacks networks, on one line."""
    lacks = ", ".join(missing)
    return (
        f"the model {name} cannot make videos: it lacks {lacks}; give --frames 1 --format png for "
        "single images, import it again with them, or train them (stylefacev train --start-from)"
    )


def is_imported(provenance: Any, network: str, stages: tuple[str, ...]) -> bool:
    """Whether a network is as an import found it in original files: no training touched it since.

    Args:
        provenance: of the model.
        network: the network.
        stages: those of training that leave it.
    """
    while isinstance(provenance, Mapping):
        steps = provenance.get("steps")
        if not isinstance(steps, Mapping):
            imported = "imported_by" in provenance
            return imported and _value_at(provenance, "from", network) is not None
        if set(stages) & set(steps):
            return False
        provenance = _value_at(provenance, "start_from", "provenance")
    return False


def with_normalisation(appearance: Any, provenance: Any) -> Any:
    """The settings of an appearance network, with the normalisation that they may not name.

    Models were written before there was a choice: imported ones are `per_image`, as the authors
    train and sample; trained ones are `running`.

    Args:
        appearance: the settings, as YAML gives them; whatever is no section comes back as it is.
        provenance: of the model.
    """
    if not isinstance(appearance, Mapping) or _NORMALISATION in appearance:
        return appearance
    original = is_imported(provenance, "appearance", ("appearance", "joint"))
    return {**appearance, _NORMALISATION: PER_IMAGE if original else RUNNING}


def _value_at(value: Any, *keys: str) -> Any:
    """The value at a path of keys in nested mappings; None where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class _PlainKeys:
    """The keys of `bundle.yaml` beside its sections."""

    format: int
    name: str
    resolution: int
    fps: float
    licence: str
    aliases: tuple[str, ...] = ()
    kind: str = OWN_KIND


def read_manifest(
    name_or_folder: str | Path, *, for_videos: bool = False, any_kind: bool = False
) -> Manifest:
    """Read and check the `bundle.yaml` of a model; its weights are not touched.

    Args:
        name_or_folder: as for `find_bundle`.
        for_videos: the model has to be complete; of a released one that is known before it is
            fetched.
        any_kind: models of other kinds than StyleFaceV's own will do.

    Raises:
        MissingWeightsError: there is no such model, or it lacks networks that videos need.
        UsageError: it is of another kind.
        IntegrityError: `bundle.yaml` is not what it should be; the message names the key.
    """
    folder = find_bundle(name_or_folder, VIDEO_NETWORKS if for_videos else ())
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise MissingWeightsError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise IntegrityError(f"{path} is too long for a bundle.yaml")
    try:
        manifest = _parse(folder, data, str(path))
    except UsageError as error:
        raise IntegrityError(f"{error}; the model is damaged or of another version") from error
    if not any_kind and not manifest.is_own:
        raise only_for_own(manifest.name, manifest.kind)
    if for_videos:
        manifest.check_complete()
    return manifest


def verify_files(manifest: Manifest) -> None:
    """Compare size and SHA-256 of every file with the manifest: sizes first, they cost nothing.

    Raises:
        MissingWeightsError: a file is not there.
        IntegrityError: a file differs.
    """
    paths = {name: weights_path(manifest.folder, name) for name in manifest.files}
    for name, path in paths.items():
        if not path.is_file():
            raise MissingWeightsError(f"the model lacks {path}: fetch the whole folder again")
        size, expected = path.stat().st_size, manifest.files[name].bytes
        if size != expected:
            raise IntegrityError(
                f"{path} is damaged: {size} bytes, {expected} expected; fetch it again"
            )
    for name, path in paths.items():
        if sha256_of(path) != manifest.files[name].sha256:
            raise IntegrityError(
                f"{path} is damaged: its SHA-256 is not that of bundle.yaml; fetch it again"
            )


def weights_path(folder: Path, network: str) -> Path:
    """The file of a network's weights in a bundle."""
    return folder / f"{network}.safetensors"


def _parse(folder: Path, data: bytes, where: str) -> Manifest:
    top = parse_yaml(data, where)
    if top.get("format") != FORMAT:
        raise UsageError(f"{where}: format {top.get('format')!r} is not {FORMAT}")
    architecture, provenance, files = (_section(top, key, where) for key in _SECTIONS)
    plain_keys = {key: value for key, value in top.items() if key not in _SECTIONS}
    plain = build(_PlainKeys, plain_keys, where)
    if not is_model_name(plain.name):
        raise UsageError(f"{where}.name must be letters, digits, dots and dashes")
    if not plain.licence.isprintable():
        raise UsageError(f"{where}.licence has control characters")
    if not 8 <= plain.resolution <= 4096:
        raise UsageError(f"{where}.resolution {plain.resolution} is not from 8 to 4096")
    if not 0 < plain.fps <= MAX_FPS:
        raise UsageError(f"{where}.fps {plain.fps:g} is not from 0 to {MAX_FPS}")
    check_aliases(plain.aliases, where)

    check_kind_name(plain.kind, where)
    settings, present = _networks(plain.kind, architecture, files, where)
    refuse_absurd(architecture, f"{where}: architecture")
    records = {
        name: build(FileRecord, files.get(f"{name}.safetensors"), f"{where}: files.{name}")
        for name in present
    }
    for name, record in records.items():
        if not is_sha256(record.sha256):
            raise UsageError(f"{where}: files: the sha256 of {name} must be 64 hexadecimal digits")
        if not 0 < record.bytes <= _MAX_FILE_BYTES:
            raise UsageError(f"{where}: files: {record.bytes} bytes of {name} cannot be")
    notes: list[str] = []
    if plain.kind == OWN_KIND and "appearance" in settings:
        stated = settings["appearance"]
        settings["appearance"] = with_normalisation(stated, provenance)
        if _NORMALISATION not in stated and settings["appearance"][_NORMALISATION] == PER_IMAGE:
            notes.append(
                f"{plain.name} does not say how its appearance network normalises; being imported "
                "from original files: per_image, as their authors do (earlier versions: running)"
            )
    return Manifest(
        folder=folder,
        sha256=hashlib.sha256(data).hexdigest(),
        name=plain.name,
        resolution=plain.resolution,
        fps=plain.fps,
        licence=plain.licence,
        architecture=settings,
        provenance=provenance,
        files=records,
        notes=tuple(notes),
        aliases=plain.aliases,
        kind=plain.kind,
    )


def _networks(
    kind: str, architecture: dict[str, Any], files: dict[str, Any], where: str
) -> tuple[dict[str, Any], list[str]]:
    """The settings of each network, and the names of those that have a file."""
    if kind != OWN_KIND:
        present = networks_of(kind, architecture, files, where)
        return {one: _section(architecture, one, where) for one in architecture}, present
    _refuse_unknown(architecture, NETWORK_NAMES, f"{where}: architecture")
    _refuse_unknown(files, FILE_NAMES, f"{where}: files")
    # The generator has to be there, and of any other network both its settings and its file.
    present = [
        name
        for name in NETWORK_NAMES
        if name == "generator" or name in architecture or f"{name}.safetensors" in files
    ]
    where = f"{where}: architecture"
    return {name: _section(architecture, name, where) for name in present}, present


def _section(mapping: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = mapping.get(key)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise UsageError(f"{where}: the section {key!r} is missing")
    return value


def _refuse_unknown(mapping: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in mapping:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")
