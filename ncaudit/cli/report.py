"""ncaudit report."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ncaudit.cli._console import exit_codes, say_json, show_table
from ncaudit.cli._options import JsonOption, QuietOption, RunArgument
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled


def report(
    context: typer.Context,
    run: RunArgument = Path("audit"),
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Page to write.", show_default="RUN/report.html"),
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Folder to write the plots to, as PNG.")] = None,
    pairs: Annotated[
        int, typer.Option(min=0, max=500, help="Most pairs of each kind in the gallery.")
    ] = 120,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write one HTML page with the run's numbers, plots and pairs. Loads nothing, sends nothing."""
    with exit_codes():
        from ncaudit.api.settings import ReportSettings

        settings = settled(ReportSettings, context)
        from ncaudit.api.report import run_report

        with progress(quiet) as shown:
            written = run_report(settings, shown)
        if json:
            plots = [str(path) for path in written.plots]
            say_json(asdict(written) | {"path": str(written.path), "plots": plots})
            return
        rows = [
            ("report", str(written.path)),
            ("size", f"{written.n_bytes / 1e6:.1f} MB"),
            ("pairs", f"{written.n_pairs:,}, of which {written.n_shown:,} are shown"),
        ]
        rows += [("plot", str(path)) for path in written.plots]
        show_table(rows)
