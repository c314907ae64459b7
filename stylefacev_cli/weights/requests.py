"""Requests for weights and models: the options of `stylefacev weights` and `sf.weights`.

Nothing here imports torch: the command line makes its options of these at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.common.options import group, option
from stylefacev_cli.weights.kinds import KINDS, OWN_KIND

_FILES = "Files of the networks"


@dataclass(frozen=True)
class NamedRequest:
    """One model, or one entry of released weights."""

    name: str = option("As `weights list` shows it.", flags=None)


@dataclass(frozen=True)
class VerifyRequest:
    """Which files are read again."""

    name: str | None = option("By default all that is here.", default=None, flags=None)


@dataclass(frozen=True)
class RemoveRequest:
    """What is deleted."""

    name: str = option("As `weights list` shows it.", flags=None)
    forget: bool = option(
        "Also forget hashes trusted on first use.", default=False, flags=("--forget",)
    )


@dataclass(frozen=True)
class DownloadRequest:
    """Which released weights are fetched, and how patiently."""

    names: tuple[str, ...] = option("As `weights list` shows them.", flags=None)
    mirror: str | None = option(
        "https address tried first; hashes are checked.", default=None, env="STYLEFACEV_MIRROR"
    )
    retries: int = option(
        "Tries without getting further, before the next source.",
        default=4,
        minimum=0,
        maximum=1000,
    )
    stall_s: float = option(
        "Seconds without bytes, after which a connection is given up.",
        default=60.0,
        flags=("--stall",),
        minimum=0.1,
        maximum=86400,
    )


def _file(help_text: str, *, flag: str) -> Path | None:
    field: Path | None = option(
        help_text, default=None, flags=(flag,), metavar="FILE", panel=_FILES
    )
    return field


@dataclass(frozen=True)
class NetworkFiles:
    """The file of each network; those not given are taken from an archive, or are missing."""

    generator: Path | None = _file(
        "StyleGAN3, T or R: .pkl, .pt or .safetensors; of other kinds their .pkl or .pt.",
        flag="--generator",
    )
    appearance: Path | None = _file("latest_net_FE.pth, or pre_net.pth.", flag="--appearance")
    landmarks: Path | None = _file("latest_net_FE_lm.pth", flag="--landmarks")
    pose: Path | None = _file("latest_net_FE_pose.pth, or pre_pose_net.pth.", flag="--pose")
    motion: Path | None = _file("motion_net.pth; of mocogan-hd modelR_….pth.", flag="--motion")
    detector: Path | None = _file("wing.ckpt; videos do without.", flag="--detector")

    def given(self) -> dict[str, Path]:
        """Those that are given, by network."""
        return {network: path for network, path in vars(self).items() if path is not None}


@dataclass(frozen=True)
class ImportRequest:
    """Files fetched by hand that become a model.

    Attributes:
        name: of the model to make.
        kind: of the model.
        files: of single networks; a name of released weights stands for what was downloaded.
        pca: folder of the principal components of MoCoGAN-HD.
        archive: the authors' zip, or a folder that holds such files, also below it.
        fps: frames per second of its motion; None: what an export says, else `PUBLISHED_FPS`.
        licence: of the weights; None: what an export says, else that of the publishers.
        normalisation: of the appearance network, `per_image` or `running`; None: what an export
            says, else `per_image`, as the authors train and sample.
        force: replace a model of that name.
    """

    name: str = option("What the model will be called.", flags=None, metavar="NAME")
    kind: str = option(
        "What the files are of: StyleFaceV, or a model that it is compared with.",
        default=OWN_KIND,
        choices=(OWN_KIND, *KINDS),
    )
    files: NetworkFiles = group(NetworkFiles)
    pca: Path | None = option(
        "Of mocogan-hd: the folder of pca_comp.npy and pca_stdev.npy.",
        default=None,
        metavar="FOLDER",
        panel=_FILES,
    )
    archive: Path | None = option(
        "The authors' zip or folder as it is, or that of an export; a file that an option names "
        "goes before its own.",
        default=None,
        metavar="ZIP|FOLDER",
    )
    fps: float | None = option(
        "Frames a second of its motion.",
        default=None,
        shown_default="the file's, else what its authors write: 15, mocogan-hd 10, stylegan-v 25, "
        "digan 8",
        minimum=0.1,
        maximum=240,
    )
    licence: str | None = option(
        "Licence of the weights.", default=None, shown_default="that of the publishers"
    )
    normalisation: str | None = option(
        "How the appearance network normalises: each image and pose by its own statistics, as the "
        "authors sample, or by those of training.",
        default=None,
        metavar="per_image|running",
        shown_default="per_image",
    )
    force: bool = option("Replace a model of that name.", default=False, flags=("--force",))


@dataclass(frozen=True)
class ExportRequest:
    """A model that is written as files under the original names."""

    name: str = option("The model.", flags=None, metavar="NAME|FOLDER")
    to: Path = option("Where the files go.", metavar="FOLDER")
    force: bool = option("Replace files that are there.", default=False, flags=("--force",))
