"""`stylefacev train`: train a model stage by stage, resuming by itself; alone or under torchrun."""

from __future__ import annotations

from typing import Annotated

import typer

from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.training.named_configs import list_configs as shipped_configs
from stylefacev_cli.training.request import TrainRequest

ListConfigs = Annotated[
    bool, typer.Option("--list-configs", help="Print the shipped configs and what each is for.")
]


@takes(TrainRequest)
def train(ctx: typer.Context, request: TrainRequest, list_configs: ListConfigs = False) -> None:
    """Train a model, or one stage of it; stop with Ctrl-C and run again to go on.

    Several processes: torchrun --nproc-per-node N -m stylefacev_cli train …; they share each batch
    of the config. Prints the folder of the run; of a dry run, what it would take.
    """
    terminal: Terminal = ctx.obj
    if list_configs:
        purposes = shipped_configs()
        width = max(map(len, purposes))
        for name, purpose in purposes.items():
            terminal.result(f"{name:{width}}  {purpose}")
        return
    with holding_signals():
        from stylefacev_cli.training.api import run_request
        from stylefacev_cli.training.dry_run import summary
    result = run_request(request, terminal)
    if result.signal_number is not None:
        raise typer.Exit(128 + result.signal_number)
    if result.costs:
        terminal.result(summary(list(result.costs)))
    elif result.is_first_process:
        terminal.result(str(request.out))
