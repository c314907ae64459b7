"""Rendered people for evaluation, and a model that recomposes them: faces joined with a model.

Pair n of a seed is two people that no rendered set has: `data render` draws its people from
`default_rng([seed, number])`, evaluation from `default_rng([seed, number, person, STREAM])`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stylefacev_cli.errors import UsageError
from stylefacev_cli.faces.dataset import RECIPE
from stylefacev_cli.faces.factors import FRAMINGS, Z_DIM, FaceFactors, FramingRange
from stylefacev_cli.faces.looks import LOOKS, PROCEDURAL, check_look
from stylefacev_cli.metrics.recomposition import Images, Pair, Recompose
from stylefacev_cli.pipeline import MAX_SEED, Model, as_pictures
from stylefacev_cli.weights.bundle import needed
from stylefacev_cli.weights.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stylefacev_cli.faces.latent_renderer import LatentRenderer

STREAM = 20220906  # keeps these people apart from those of rendered sets
SEED_RULE = (
    f"A and B of pair n: numpy's default_rng([seed, n, 1 or 2, {STREAM}]); no set of "
    "`data render` has them"
)


@dataclass(frozen=True)
class PairRule:
    """Which people are rendered, and how."""

    num_pairs: int = 64
    seed: int = 0
    framing: str = "canonical"
    look: str = PROCEDURAL

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.num_pairs < 2:
            raise UsageError(f"--pairs {self.num_pairs}: give 2 or more")
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"--seed {self.seed}: give a number from 0 to {MAX_SEED}")
        if self.framing not in FRAMINGS:
            raise UsageError(f"--framing {self.framing}: choose {', '.join(FRAMINGS)}")
        check_look(self.look)

    @property
    def name(self) -> str:
        """Which renders they are: faces of another recipe, look or framing are another measure."""
        return f"{self.framing}_faces{RECIPE}_{self.look}"


class RenderedPairs:
    """People in pairs, with the truth of what a model is to make of them."""

    def __init__(self, rule: PairRule, size_px: int) -> None:
        """Open the renderer.

        Raises:
            StyleFaceVError: no EGL, no moderngl.
            MissingWeightsError: the render assets are not there and cannot be fetched.
            IntegrityError: a render asset is damaged.
        """
        self.rule, self._size_px = rule, size_px
        self._studio = open_studio(size_px, FramingRange.named(rule.framing), rule.look)

    def latents(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Z [256] of A and of B."""
        factors = self._studio.factors
        a, b = (
            factors.sample(np.random.default_rng([self.rule.seed, number, person, STREAM]))
            for person in (1, 2)
        )
        return a, b

    def truth(self, number: int) -> NDArray[np.float32]:
        """Z [256] of A in the pose of B."""
        a, b = self.latents(number)
        return self._studio.factors.combine(identity_from=a, pose_from=b)

    def pair(self, number: int, generator: Model | None = None) -> Pair:
        """A pair's images and labels; with a model, also what its generator makes of the truth."""
        a, b = self.latents(number)
        own, donor, wanted = (self._studio.render(z) for z in (a, b, self.truth(number)))
        generated = None
        if generator is not None:
            z = torch.from_numpy(self.truth(number))[None]
            generated = as_pictures(generator.render(generator.map(z, 1.0)))[0]
        return Pair(
            own.image, donor.image, wanted.image, own.landmarks, wanted.landmarks, generated
        )

    def pairs(self, generator: Model | None = None) -> Iterator[Pair]:
        """All pairs, one at a time in memory."""
        return (self.pair(number, generator) for number in range(self.rule.num_pairs))

    def mean_truth(self) -> Images:
        """The mean of the true images of all pairs, uint8 [S, S, 3]."""
        total = np.zeros((self._size_px, self._size_px, 3))
        for number in range(self.rule.num_pairs):
            total += self._studio.render(self.truth(number)).image
        mean: Images = (total / self.rule.num_pairs).round().astype(np.uint8)
        return mean


def open_studio(size_px: int, framing: FramingRange, look: str) -> LatentRenderer:
    """A studio for a process that uses torch, too.

    Triton, which torch may import later, crashes if Mesa has loaded its own LLVM before: so it is
    imported first, where it is installed.
    """
    with contextlib.suppress(ImportError):
        import_module("triton")
    from stylefacev_cli.faces.latent_renderer import LatentRenderer

    return LatentRenderer(size_px, framing, look=look)


def recomposer(model: Model) -> Recompose:
    """What a model makes of images that show the appearance and images that show the pose.

    Raises:
        MissingWeightsError: the model lacks a network.
    """
    networks = model.networks
    for name in ("landmarks", "pose", "appearance"):
        needed(getattr(networks, name), name)

    def recompose(appearance_from: Images, pose_from: Images) -> Images:
        appearance = model.encode(_frames_of(appearance_from, model))
        poses = model.extract_pose(_frames_of(pose_from, model))
        return as_pictures(model.render(model.recompose(appearance, poses)))

    return recompose


def _frames_of(images: Images, model: Model) -> torch.Tensor:
    """Images [N, R, R, 3] → frames [N, 3, R, R] in [−1, 1], where the model is."""
    return torch.tensor(images, device=model.device).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True)
class PairPictures:
    """A pair to look at, each uint8 [S, S, 3]."""

    a: Images
    b: Images
    truth: Images
    made: Images


def pair_pictures(pairs: RenderedPairs, number: int, recompose: Recompose) -> PairPictures:
    """The pictures of a pair, rendered and recomposed anew: for a report, by the pair's number."""
    pair = pairs.pair(number)
    return PairPictures(pair.a, pair.b, pair.truth, recompose(pair.a[None], pair.b[None])[0])


def framing_of(manifest: Manifest) -> str:
    """How the faces were placed that a model learnt from, as its bundle says; else canonical."""
    found = manifest.provenance.get("framing")
    return found if found in FRAMINGS else "canonical"


def look_of(manifest: Manifest) -> str:
    """The look of the faces that a model learnt from, as its bundle says; else procedural."""
    found = manifest.provenance.get("look")
    return found if found in LOOKS else PROCEDURAL


def rule_for(
    model_name: str,
    num_pairs: int,
    seed: int,
    framing: str | None = None,
    look: str | None = None,
) -> PairRule:
    """Which people a model is measured on; None: as `framing_of` and `look_of` say.

    Raises:
        UsageError: a number or a name out of range.
        MissingWeightsError: there is no such model.
    """
    manifest = read_manifest(model_name)
    return PairRule(
        num_pairs,
        seed,
        framing_of(manifest) if framing is None else framing,
        look_of(manifest) if look is None else look,
    )


def why_no_ceiling(manifest: Manifest) -> str | None:
    """Why a generator cannot be asked for the picture of true factors; None: it can.

    It can if it was trained to make renders of today's recipe from their factors, which its bundle
    says. Bundles that do not name a recipe are told by the number of factors.
    """
    provenance = manifest.provenance
    z_dim = manifest.architecture["generator"].get("z_dim")
    if z_dim != Z_DIM:
        return f"its generator takes {z_dim} latents, not the renderer's {Z_DIM} factors"
    trained = _generator_training(provenance)
    if trained is None:
        return "its bundle does not say that its generator was trained on renders"
    settings, recipe = trained
    if settings.get("objective") == "paired" or settings.get("paired_weight"):
        return _why_other_faces(settings.get("num_factors"), recipe)
    return "its generator was trained without the factors of renders"


def _generator_training(provenance: Mapping[str, Any]) -> tuple[dict[str, Any], Any] | None:
    """Settings of the last generator stage, and the recipe of the renders in that run.

    Where there was no such stage, those of the model that the run started from.
    """
    config, steps = provenance.get("config"), provenance.get("steps")
    if isinstance(config, dict) and isinstance(steps, dict):
        for stage in ("finish", "generator"):  # the later one is what the generator is
            settings = config.get(stage)
            if stage in steps and isinstance(settings, dict):
                return settings, provenance.get("recipe")
    start = provenance.get("start_from")
    earlier = start.get("provenance") if isinstance(start, dict) else None
    return _generator_training(earlier) if isinstance(earlier, dict) else None


def _why_other_faces(num_learnt: object, recipe: object) -> str | None:
    if isinstance(recipe, int) and recipe != RECIPE:
        return f"its generator learnt faces of recipe {recipe}, these are of recipe {RECIPE}"
    num_known = len(FaceFactors.names)
    if num_learnt in (None, 0, num_known):  # 0: all of z was learnt, whatever it meant
        return None
    return (
        f"its generator learnt {num_learnt} factors of an earlier renderer's faces, these have "
        f"{num_known}"
    )
