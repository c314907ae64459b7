"""The generator, regressed to renders (`paired`) or fine-tuned as in the paper.

paired:       z = the factors of a rendered frame;  G(z) → face-weighted L1, edges, features
adversarial:  random z;  StyleGAN2 discriminator, non-saturating loss, lazy R1; the paired loss can
              be mixed in, so that details get sharp and z keeps its meaning
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.image_quality import face_box, psnr, ssim
from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import ImageDiscriminator
from stylefacev_cli.training.batches.clip_frames import Frames, Sampler, spread
from stylefacev_cli.training.batches.pose_features import DTYPES, products_in
from stylefacev_cli.training.batches.video_image_sampler import MixedSampler
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import BatchSplit, own_splits
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.optim import (
    AveragedModel,
    Muon,
    Optimisers,
    fits_muon,
    muon_and_adam,
    restored_if_bad,
)
from stylefacev_cli.training.engine.stage import NetworkStage, frozen, step_generator
from stylefacev_cli.training.engine.stage_protocol import Losses
from stylefacev_cli.training.extensions.augmentation import AdaptiveAugmentation, random_draws
from stylefacev_cli.training.extensions.growing import fit_to_smaller, grow
from stylefacev_cli.training.losses import image_losses
from stylefacev_cli.training.stages.generator_settings import GeneratorStageConfig
from stylefacev_cli.weights.convert.discriminator_weights import load_discriminator

GRID_COLUMNS = 12
VALIDATION_IMAGES = 96
VALIDATION_SEED = 7
GROWTH_DRAWS = 2**32  # number of the first batch of latents that a grown network learns from
Judged = tuple[Tensor, Tensor, np.ndarray]  # real frames, generated ones, their places in the batch


class GeneratorStage(NetworkStage):
    """Trains the generator; its result is the running average of the weights, `ema`."""

    def __init__(
        self,
        config: GeneratorStageConfig,
        frames: Frames,
        seed: int,
        perceptual: PerceptualLoss | None = None,
        initial: Generator | None = None,
        name: str = "generator",
        smaller: Generator | None = None,
    ) -> None:
        self.name = name
        splits = own_splits(name, config)
        super().__init__(config.batch_size, splits, frames.device)
        self.config, self.frames, self._seed = config, frames, seed
        self._perceptual = perceptual if config.perceptual_weight else None
        self._is_paired = config.objective == "paired" or config.paired_weight > 0
        self.measure = Measure("face_psnr", higher_is_better=True) if self._is_paired else None
        if self._is_paired and frames.factors.shape[1] != config.architecture.z_dim:
            raise DataError(
                f"the data has {frames.factors.shape[1]} factors a frame, the generator takes "
                f"{config.architecture.z_dim}: train on rendered faces, or set z_dim"
            )
        if self._is_paired:
            frames.need_landmarks(f"the stage {name} with paired images")
        torch.manual_seed(seed)
        self.generator = Generator(config.architecture)
        if initial is not None:
            self.generator.load_state_dict(initial.state_dict())
        self._smaller = None if initial is not None else smaller
        self._taken = [] if self._smaller is None else grow(self.generator, self._smaller)
        self._is_new = initial is None
        self.generator.to(self.device)
        self._zero_filler_weights()
        self._ema = AveragedModel(self.generator, config.ema_half_life_images)
        self._optimisers = generator_optimisers(self.generator, config)
        self._sampler = (
            Sampler(frames.rows(held_out=False), seed, frames.digest)
            if config.video_share is None
            else MixedSampler(frames, seed, config.video_share)
        )
        self._held_out = frames.rows(held_out=True)
        self.networks = {"generator": self.generator, "ema": self._ema.network}
        self.others = {"optimisers": self._optimisers, "sampler": self._sampler}
        self.architecture = {"generator": to_plain(config.architecture)}
        self.discriminator: ImageDiscriminator | None = None
        self._augmentation: AdaptiveAugmentation | None = None
        if config.objective == "adversarial":
            assert config.discriminator is not None
            if config.discriminator_from is not None:
                source = config.discriminator_from
                self.discriminator = load_discriminator(source, config.discriminator)
            else:
                self.discriminator = ImageDiscriminator(config.discriminator)
            self.discriminator.to(self.device)
            self._d_optimisers = muon_and_adam(
                self.discriminator,
                config.discriminator_lr,
                (0.0, 0.99),
                config.discriminator_muon_lr,
            )
            self.networks["discriminator"] = self.discriminator
            self.others["d_optimisers"] = self._d_optimisers
            if config.augmentation is not None:
                self._augmentation = AdaptiveAugmentation(config.augmentation)
                self.others["augmentation"] = self._augmentation

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch (and the discriminator on another one)."""
        config = self.config
        if index == 0 and self._is_new:
            first = self._sampler.next(self.images_per_step)
            has_factors = self._is_paired or self.frames.factors.shape[1] > 0
            self._set_magnitudes(
                self.frames.factor_batch(first) if has_factors else self._random_z(len(first), 0)
            )
            if self._smaller is not None:
                self._fit_to_smaller(self._smaller)
        rows, scale = (
            self._sampler.next(self.images_per_step),
            config.schedule.scale(index, progress),
        )
        random_z = None
        if self.discriminator is not None and not self._is_paired:
            random_z = self._random_z(len(rows), index)
        judged: list[Judged] = []

        def losses_of(split: BatchSplit) -> dict[str, Tensor]:
            samples = split.of(np.arange(len(rows)))
            real = self.frames.image_batch(rows[samples])
            losses: dict[str, Tensor] = {}
            if random_z is None:
                z = self.frames.factor_batch(rows[samples])
            else:
                z = random_z[torch.from_numpy(samples)]
            fakes = self._generate(z)
            if self._is_paired:
                losses = self._paired_losses(fakes, real, rows[samples], progress)
            if self.discriminator is not None:  # paired: real and fake are of the same factors
                inputs = self._judged(fakes, samples, index, of="generator")
                with frozen(self.discriminator), products_in(config.dtype):
                    logits = self.discriminator(inputs).float()
                if config.relativistic:
                    with torch.no_grad(), products_in(config.dtype):
                        originals = self._judged(real, samples, index, of="generator")
                        logits_real = self.discriminator(originals).float()
                    losses["adv"] = image_losses.relativistic_pairs(logits, logits_real)
                else:
                    losses["adv"] = image_losses.non_saturating(logits, real=True)
                judged.append((real, fakes.detach(), samples))
            return losses

        factors = dict.fromkeys(("l1", "edges", "perc"), config.paired_weight)
        factors["adv"] = config.adversarial_weight
        with restored_if_bad(self.generator) as marks:
            parts = (losses_of(split) for split in self.splits)
            losses = self._optimisers.learn(parts, len(self.splits), scale, factors)
            marks.append(losses is not None)
        if losses is None:
            return {"total": float("nan")}
        if self.discriminator is not None:
            losses |= self._train_discriminator(self.discriminator, judged, index, scale)
        self._zero_filler_weights()
        seen = (index + 1) * self.images_per_step
        self._ema.update(self.generator, self.images_per_step, seen)
        return losses

    def _generate(self, z: Tensor) -> Tensor:
        dtype = DTYPES[self.config.dtype]
        images: Tensor = self.generator(z, update_emas=True, conv_dtype=dtype)
        return images

    def _paired_losses(
        self, images: Tensor, real: Tensor, rows: np.ndarray, progress: float
    ) -> dict[str, Tensor]:
        config = self.config
        landmarks = self.frames.landmark_batch(rows)
        weights = image_losses.face_weights(
            landmarks, real.shape[-1], config.face_weight, config.feature_weight
        )
        hair = self.frames.hair_batch(rows) if config.hair_weight != 1 else None
        if hair is not None:
            on_hair = image_losses.hair_weights(hair, real.shape[-1], config.hair_weight)
            weights = torch.maximum(weights, on_hair)
        losses = {"l1": image_losses.image_loss(images, real, weights, config.num_scales)}
        losses["edges"] = image_losses.gradient_loss(images, real, weights)
        if self._perceptual is not None and progress >= config.perceptual_from:
            losses["perc"] = config.perceptual_weight * self._perceptual(images, real)
        return losses

    def _train_discriminator(
        self,
        discriminator: nn.Module,
        judged: list[Judged],
        index: int,
        scale: float,
    ) -> Losses:
        config = self.config

        def losses_of(real: Tensor, fakes: Tensor, samples: np.ndarray) -> dict[str, Tensor]:
            def exactly(images: Tensor) -> Tensor:
                logits: Tensor = discriminator(self._judged(images, samples, index, of="real"))
                return logits

            of = "real" if config.relativistic else "fakes"  # pairs are augmented alike
            inputs = (self._judged(real, samples, index, of="real"),
                     self._judged(fakes, samples, index, of=of))  # fmt: skip
            with products_in(config.dtype):
                logits = [discriminator(images).float() for images in inputs]
            if config.relativistic:
                losses = {"d": image_losses.relativistic_pairs(*logits)}
            else:
                loss = image_losses.non_saturating(logits[0], real=True)
                losses = {"d": loss + image_losses.non_saturating(logits[1], real=False)}
            if config.r1_gamma and index % config.r1_every == 0:  # a slope: in full precision
                losses["r1"] = config.r1_gamma * image_losses.r1_penalty(exactly, real)
            if self._augmentation is not None:
                losses["sign"] = logits[0].detach().sign().mean()
            return losses

        parts = (losses_of(*one) for one in judged)
        factors = {"r1": float(config.r1_every), "sign": 0.0}
        losses = self._d_optimisers.learn(parts, len(judged), scale, factors)
        if losses is None:
            return {"d": float("nan")}
        if self._augmentation is not None:  # by the mean over all processes, so that p is theirs
            self._augmentation.note(losses.pop("sign"), self.images_per_step)
            losses["p"] = self._augmentation.p
        return losses

    def _judged(self, images: Tensor, samples: np.ndarray, index: int, of: str) -> Tensor:
        """What the discriminator sees of images: augmented anew for each of its three uses.

        With `discriminator_detail_px`, their detail alone: colours and shading are those of the
        paired loss, and the game cannot drift in them.

        The images are those at the places `samples` of the batch.
        """
        images = image_losses.detail(images, self.config.discriminator_detail_px)
        if self._augmentation is None:
            return images
        use = 1 + ("generator", "real", "fakes").index(of)
        random = step_generator(self._seed + use * 2**32, index)
        return self._augmentation(images, random_draws(self.images_per_step, random).of(samples))

    def _random_z(self, count: int, index: int) -> Tensor:
        """Random latents."""
        shape = (count, self.config.architecture.z_dim)
        return torch.randn(shape, generator=step_generator(self._seed, index)).to(self.device)

    @torch.no_grad()
    def _set_magnitudes(self, z: Tensor) -> None:
        """Start each layer's running magnitude at that of a first batch, not at 1.

        Layers of a smaller network have theirs, and the mapping its mean w.
        """

        def measure(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            magnitude = layer.magnitude_ema
            assert isinstance(magnitude, Tensor)
            magnitude.copy_(inputs[0].square().mean())

        if z.shape[1] != self.config.architecture.z_dim:
            z = self._random_z(len(z), 0)
        synthesis = self.generator.synthesis
        names = [name for name in synthesis.layer_names if name not in self._taken]
        hooks = [synthesis.get_submodule(n).register_forward_pre_hook(measure) for n in names]
        ws = self.generator.mapping(z)
        if self._smaller is None:
            self.generator.mapping.w_avg.copy_(ws[:, 0].mean(dim=0))
        self.generator.synthesis(ws)
        for hook in hooks:
            hook.remove()
        self._ema.network.load_state_dict(self.generator.state_dict())

    def _fit_to_smaller(self, smaller: Generator) -> None:
        """Teach the layers that a smaller network lacks to make its pictures."""
        config, size = self.config, self.images_per_step
        num_batches = -(-config.num_grow_images // size)
        names = [n for n in self.generator.synthesis.layer_names if n not in self._taken]
        fit_to_smaller(
            self.generator,
            smaller.to(self.device),
            (self._random_z(size, GROWTH_DRAWS + index) for index in range(num_batches)),
            num_batches,
            generator_optimisers(self.generator, config, names),
            DTYPES[config.dtype],
        )
        self._ema.network.load_state_dict(self.generator.state_dict())

    @torch.no_grad()
    def _zero_filler_weights(self) -> None:
        if self.config.num_factors:
            first = self.generator.mapping.get_submodule("fc0").get_parameter("weight")
            first[:, self.config.num_factors : self.config.architecture.z_dim] = 0

    @torch.no_grad()
    def sample_grid(self) -> np.ndarray:
        """Held-out renders, the same from their factors, and samples at truncation 1 and 0.7."""
        network = self._ema.network
        rows = self.frames.for_grid(GRID_COLUMNS)
        pictures = [self.frames.image_batch(rows)]
        if self._is_paired:
            pictures.append(network(self.frames.factor_batch(rows)))
        z = torch.randn(
            (GRID_COLUMNS, self.config.architecture.z_dim),
            generator=torch.Generator().manual_seed(VALIDATION_SEED),
        ).to(self.device)
        pictures += [network(z), network(z, truncation_psi=0.7)]
        return sample_grids.grid(pictures)

    @torch.no_grad()
    def validate(self) -> Losses:
        """PSNR and SSIM of held-out people inside the face's box."""
        if not self._is_paired or not len(self._held_out):
            return {}
        numbers: dict[str, list[Tensor]] = {
            "psnr": [],
            "ssim": [],
            "face_psnr": [],
            "face_ssim": [],
        }
        rows = spread(self._held_out, VALIDATION_IMAGES)
        for start in range(0, len(rows), self.images_per_step):
            part = rows[start : start + self.images_per_step]
            images = self._ema.network(self.frames.factor_batch(part))
            real, landmarks = self.frames.image_batch(part), self.frames.landmark_batch(part)
            box = face_box(landmarks, real.shape[-1])
            for prefix, mask in (("", torch.ones_like(box)), ("face_", box)):
                numbers[prefix + "psnr"].append(psnr(images, real, mask))
                numbers[prefix + "ssim"].append(ssim(images, real, mask))
        return {key: float(torch.cat(values).mean()) for key, values in numbers.items()}


def generator_optimisers(
    generator: Generator, config: GeneratorStageConfig, layers: list[str] | None = None
) -> Optimisers:
    """Muon for the convolutions and styles of the synthesis, Adam for all else.

    Args:
        generator: is optimised.
        config: has the learning rates.
        layers: names of the layers of the synthesis that are, alone; None: everything is.
    """
    matrices, mapping, placement, others = [], [], [], []
    for name, parameter in generator.named_parameters():
        if layers is not None and name.split(".")[1] not in layers:
            continue
        if name.startswith("mapping."):
            mapping.append(parameter)
        elif name.startswith("synthesis.input.affine."):
            placement.append(parameter)
        # ToRGB's weights are not normalised by a demodulation: Muon's steps are too large there.
        elif config.muon_lr and fits_muon(parameter):
            matrices.append(parameter)
        else:
            others.append(parameter)
    lr = config.adam_lr
    groups = [
        {"params": mapping, "lr": lr * config.mapping_lr_factor},
        {"params": placement, "lr": lr * config.placement_lr_factor},
        {"params": others, "lr": lr},
    ]
    adam = torch.optim.Adam(groups, betas=config.adam_betas)
    return Optimisers(Muon(matrices, config.muon_lr), adam) if matrices else Optimisers(adam)
