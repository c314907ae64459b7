"""What all stages share: networks, optimisers and samplers under one state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.normalisation import RUNNING
from stylefacev_cli.training.engine.batch_split import BatchSplit
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.stage_protocol import Losses


class Stateful(Protocol):
    """An optimiser, a sampler: whatever has a state to save."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Go on from a state."""


class NetworkStage:
    """Base of the stages: saves and loads what they register.

    Attributes:
        name: of the stage.
        measure: the number of `validate` by which its best save is chosen; None: it has none.
        images_per_step: images that one step trains on, in all processes together.
        splits: the parts of each batch that this process trains on, one after the other.
        device: where networks and batches are.
        networks: trained networks; saved. Frozen ones of earlier stages are no part of it.
        others: optimisers and samplers; saved.
        architecture: config of each result that later stages load, as plain values; saved.
    """

    name = ""
    measure: Measure | None = None

    def __init__(
        self, images_per_step: int, splits: tuple[BatchSplit, ...], device: torch.device
    ) -> None:
        self.images_per_step, self.splits, self.device = images_per_step, splits, device
        self.networks: dict[str, nn.Module] = {}
        self.others: dict[str, Stateful] = {}
        self.architecture: dict[str, dict[str, Any]] = {}

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "architecture": self.architecture,
            "networks": {key: network.state_dict() for key, network in self.networks.items()},
            "others": {key: other.state_dict() for key, other in self.others.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            UsageError: its networks have another architecture than the config says now.
        """
        if _completed(state["architecture"]) != self.architecture:
            raise UsageError(
                f"{self.name}: the architecture in the config is not that of the checkpoints: "
                "train into another --out"
            )
        for key, network in self.networks.items():
            network.load_state_dict(state["networks"][key], strict=True)
        for key, other in self.others.items():
            if key not in state["others"]:
                raise UsageError(
                    f"{self.name}: the config asks for {key}, of which the checkpoints know "
                    "nothing: train into another --out"
                )
            other.load_state_dict(state["others"][key])

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch."""
        raise NotImplementedError

    def sample_grid(self) -> np.ndarray:
        """A picture of where training stands, uint8 [H, W, 3]."""
        raise NotImplementedError

    def validate(self) -> Losses:
        """Numbers on held-out data."""
        raise NotImplementedError


def _completed(architecture: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Saved settings of networks, with what older versions did not name yet."""
    if "appearance" not in architecture:
        return architecture
    return architecture | {"appearance": {"normalisation": RUNNING} | architecture["appearance"]}


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Parameters ask for no gradient inside; gradients still flow through to the inputs."""
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def step_generator(seed: int, index: int) -> torch.Generator:
    """A random generator that depends on the seed and the step alone.

    It is one of the CPU, so that a GPU is given the same numbers, and every process too.
    """
    entropy = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy >> np.uint64(1)))
