"""One of several processes that train every stage: what they see goes to a file.

    WORLD_SIZE=2 RANK=0 MASTER_ADDR=… MASTER_PORT=… python two_processes.py FOLDER

Each joins as under torchrun.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from every_stage import STAGES, tensors_of, without_pictures

from stylefacev_cli.common.distributed import process_index, wait_for_all
from stylefacev_cli.common.listener import LogListener
from stylefacev_cli.common.processes import joined_processes
from stylefacev_cli.training.engine.budget import Budget
from stylefacev_cli.training.engine.loop import LoopConfig, StopFlag, run_stage
from stylefacev_cli.training.engine.stage import NetworkStage

NUM_STEPS = 2
EPSILON = 1e-2  # of Adam, which else makes steps of the learning rate's size out of rounding errors


def train(name: str, folder: Path) -> tuple[list[dict[str, float]], list[torch.Tensor]]:
    """Losses of the steps, and all that the next step would depend on."""
    stage = STAGES[name]()
    if name != "joint":  # one validation tells whether the others wait for it
        without_pictures(stage)
    for optimisers in stage.others.values():
        for optimiser in getattr(optimisers, "_optimisers", ()):
            for group in optimiser.param_groups:
                group["eps"] = EPSILON
    losses: list[dict[str, float]] = []
    step = stage.step

    def noted(index: int, progress: float) -> dict[str, float]:
        losses.append(step(index, progress))
        return losses[-1]

    stage.step = noted  # type: ignore[method-assign]
    budget = Budget(NUM_STEPS * stage.images_per_step)
    with StopFlag() as stop:
        run_stage(stage, folder, budget, LoopConfig(), stop, LogListener())
    return losses, [tensor.clone() for tensor in tensors_of(stage.state_dict())]


class Faulty(NetworkStage):
    """A stage whose second process has a bad loss in step 1, and is told to stop in step 3."""

    def __init__(self, stop: StopFlag) -> None:
        self.inner = STAGES["pose"]()
        super().__init__(self.inner.images_per_step, self.inner.shares, self.inner.device)
        self.name, self.networks, self.others = "pose", self.inner.networks, self.inner.others
        without_pictures(self)
        self.stop = stop

    def step(self, index: int, progress: float) -> dict[str, float]:
        config, is_second = self.inner.config, process_index() == 1
        weight = float("inf") if is_second and index == 1 else config.key_point_weight
        object.__setattr__(config, "key_point_weight", weight)
        found = self.inner.step(index, progress)
        object.__setattr__(config, "key_point_weight", 10.0)
        if is_second and index == 3:
            self.stop.signal_number = 15
        return found


def main(folder: Path) -> None:
    """Train every stage, then one that goes wrong."""
    torch.set_num_threads(1)
    with joined_processes() as processes:
        found = {name: train(name, folder / name) for name in STAGES}
        with StopFlag() as stop:
            stage, budget = Faulty(stop), Budget(10**6)
            run = folder / "faulty"
            outcome = run_stage(stage, run, budget, LoopConfig(), stop, LogListener())
        assert (outcome.step, outcome.reason, outcome.signal_number) == (4, "signal", 15)
        found["faulty"] = ([], tensors_of(stage.state_dict()))
        torch.save(found, folder / f"found-{processes.rank}.pt")
        wait_for_all()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
