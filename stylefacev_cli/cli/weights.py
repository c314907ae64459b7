"""`stylefacev weights`: models – fetch, import, export them."""

from __future__ import annotations

import typer

from stylefacev_cli.cli import weights_import

app = typer.Typer(name="weights", help="Models and their weights.", no_args_is_help=True)
app.command("import")(weights_import.import_bundle)
app.command("export")(weights_import.export_bundle)
