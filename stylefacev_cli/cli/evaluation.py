"""`stylefacev eval`: numbers that state their protocol and how far they can be trusted."""

from __future__ import annotations

import typer

from stylefacev_cli.cli import (
    eval_all,
    eval_compare,
    eval_diversity,
    eval_fid,
    eval_fvd,
    eval_identity,
    eval_kid,
    eval_motion,
    eval_recomposition,
    eval_reconstruction,
)

app = typer.Typer(
    name="eval",
    help="Measure videos and models, with protocol: FVD, FID, identity, motion, recomposition.",
    no_args_is_help=True,
)
app.command()(eval_fvd.fvd)
app.command()(eval_fid.fid)
app.command()(eval_kid.kid)
app.command()(eval_kid.kid)
app.command()(eval_identity.identity)
app.command()(eval_motion.motion)
app.command()(eval_diversity.diversity)
app.command()(eval_recomposition.recomposition)
app.command()(eval_reconstruction.reconstruction)
app.command("all")(eval_all.evaluate_all)
app.command()(eval_compare.compare)
