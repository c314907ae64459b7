"""A small file of where a training of the generator stands, and how to begin again from it.

python examples/training_state.py save RUN STAGE STATE.safetensors
python examples/training_state.py restore STATE.safetensors RUN

STAGE is generator or finish. The file holds the averaged weights of the generator and, in the
adversarial stage, those of the discriminator, with a byte for each weight of large tensors and a
scale for each of their rows; so it is a sixteenth as large as a save. `restore` makes a save of it
that `stylefacev train` resumes: at the same step of the same schedule and data, with the average
for the weights, and with optimisers that have to gather their momentum anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from stylefacev_cli.errors import IntegrityError, StyleFaceVError, UsageError
from stylefacev_cli.training.engine.checkpoint import CheckpointStore, random_states

FORMAT = "stylefacev training state 1"
STAGES = ("generator", "finish")
LARGEST = 127  # of a weight in a byte
MIN_NUMBERS = 2048  # of a tensor that is stored in bytes
SCALE = ".scale"


def packed(tensor: Tensor) -> dict[str, Tensor]:
    """A tensor as it is stored, by the end of its name: bytes and a scale a row if it is large."""
    if tensor.ndim < 2 or tensor.numel() < MIN_NUMBERS or not tensor.is_floating_point():
        return {"": tensor.contiguous()}
    rows = tensor.flatten(1)
    scale = (rows.abs().amax(dim=1) / LARGEST).clamp(min=1e-30)
    numbers = (rows / scale[:, None]).round().to(torch.int8)
    return {"": numbers.view(tensor.shape), SCALE: scale}


def unpacked(stored: Tensor, scale: Tensor | None) -> Tensor:
    """The tensor that `packed` was given, nearly."""
    if scale is None:
        return stored
    return stored.float() * scale.view(-1, *[1] * (stored.ndim - 1))


def save(run: Path, stage: str, path: Path) -> None:
    """Write the state of a stage's newest save.

    Raises:
        UsageError: the stage has no save, or it is not one of the generator's.
    """
    if stage not in STAGES:
        raise UsageError(f"the stage {stage} is not {' or '.join(STAGES)}")
    state = CheckpointStore(run / stage / "checkpoints").load_newest()
    if state is None:
        raise UsageError(f"{run} has no save of the stage {stage}")
    networks, others = state["stage"]["networks"], state["stage"]["others"]
    optimisers = {key: len(other["states"]) for key, other in others.items() if "states" in other}
    about = {
        "format": FORMAT,
        "stage": stage,
        **{key: state[key] for key in ("step", "used_s", "bad_steps")},
        "architecture": state["stage"]["architecture"],
        "optimisers": optimisers,
        "others": {key: other for key, other in others.items() if key not in optimisers},
    }
    tensors: dict[str, Tensor] = {}
    for name in ("ema", "discriminator"):
        for key, tensor in networks.get(name, {}).items():
            for end, part in packed(tensor).items():
                tensors[f"{name}/{key}{end}"] = part
    part = path.with_name(f"{path.name}.part")
    save_file(tensors, part, metadata={"state": json.dumps(about)})
    part.replace(path)


def restore(path: Path, run: Path) -> Path:
    """Make a save that training resumes from; returns its path.

    Raises:
        IntegrityError: the file is no such state.
        UsageError: the run has saves of this stage.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("state", "{}"))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise IntegrityError(f"cannot read {path}: {error}") from error
    if about.get("format") != FORMAT:
        raise IntegrityError(f"{path} is no {FORMAT}")
    store = CheckpointStore(run / about["stage"] / "checkpoints")
    if store.paths():
        raise UsageError(f"{store.folder} has saves: restore into another run")
    networks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        if not name.endswith(SCALE):
            network, key = name.split("/")
            networks.setdefault(network, {})[key] = unpacked(tensor, stored.get(name + SCALE))
    networks["generator"] = networks["ema"]
    others: dict[str, Any] = dict(about["others"])
    others |= {key: {"states": [{}] * count} for key, count in about["optimisers"].items()}
    stage = {"architecture": about["architecture"], "networks": networks, "others": others}
    counts = {key: about[key] for key in ("step", "used_s", "bad_steps")}
    return store.save(about["step"], {**counts, "stage": stage, "random": random_states()})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    saving = commands.add_parser("save", help="write the state of a run's newest save")
    saving.add_argument("run", type=Path)
    saving.add_argument("stage", choices=STAGES)
    saving.add_argument("state", type=Path)
    restoring = commands.add_parser("restore", help="make a save that a run resumes from")
    restoring.add_argument("state", type=Path)
    restoring.add_argument("run", type=Path)
    options = parser.parse_args()
    try:
        if options.command == "save":
            save(options.run, options.stage, options.state)
            print(f"{options.state}: {options.state.stat().st_size / 1e6:.1f} MB")
        else:
            print(restore(options.state, options.run))
    except StyleFaceVError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
