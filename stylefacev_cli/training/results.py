"""What stages leave for those after them: networks read from their newest saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.generator import Generator, GeneratorConfig
from stylefacev_cli.training.checkpoint import CheckpointStore
from stylefacev_cli.training.config import build

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def newest_state(run: Path, stages: tuple[str, ...]) -> tuple[str, dict[str, Any]] | None:
    """The newest state of the first of the stages that has one, with the stage's name."""
    for stage in stages:
        state = CheckpointStore(run / stage / "checkpoints").load_newest()
        if state is not None:
            return stage, state["stage"]
    return None


def load_network(
    run: Path,
    stages: tuple[str, ...],
    architecture: str,
    config_type: type[Any],
    network_type: type[NetworkT],
    key: str | None = None,
) -> NetworkT:
    """A trained network, frozen and in evaluation mode.

    Args:
        run: folder of the training run.
        stages: where to look, best first.
        architecture: the name of its architecture in the save.
        config_type: its config dataclass.
        network_type: its class.
        key: the name of its weights in the save, if another one.

    Raises:
        DataError: none of the stages has been trained yet.
    """
    found = newest_state(run, stages)
    if found is None:
        raise DataError(f"{run} has no trained {stages[-1]} yet: `stylefacev train {stages[-1]}`")
    stage, state = found
    config = build(config_type, state["architecture"][architecture], f"{stage}.{architecture}")
    network = network_type(config)
    network.load_state_dict(state["networks"][key or architecture], strict=True)
    return network.eval().requires_grad_(False)


def load_generator(run: Path) -> Generator:
    """The averaged generator of the newest generator stage."""
    return load_network(
        run, ("finish", "generator"), "generator", GeneratorConfig, Generator, key="ema"
    )
