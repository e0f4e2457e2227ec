"""ncaudit demo."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ncaudit.cli._console import exit_codes, say, say_json, show_table
from ncaudit.cli._options import JsonOption, OutOption, QuietOption, SeedOption
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled


def demo(
    context: typer.Context,
    out: OutOption = Path("demo"),
    pairs: Annotated[int, typer.Option(min=20, help="Number of readable pairs.")] = 1200,
    noise_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pairs with another picture's caption.")
    ] = 0.2,
    seed: SeedOption = 0,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw small shards with planted mismatches, to try an audit. Needs no data."""
    with exit_codes(resumable=False):
        from ncaudit.api.settings import DemoSettings

        settings = settled(DemoSettings, context)
        from ncaudit.api.demo import run_demo
        from ncaudit.audit.demo import TRUTH_NAME

        with progress(quiet) as shown:
            summary = run_demo(settings, shown)
        if json:
            say_json(asdict(summary) | {"shards": [str(path) for path in summary.shards]})
            return
        show_table(
            [
                ("pairs", f"{summary.n_pairs:,}"),
                ("  mismatched", f"{summary.n_mismatched:,}"),
                ("damaged samples", f"{summary.n_rejects:,}"),
                ("shards", f"{len(summary.shards)} in {settings.out}"),
                ("which are wrong", str(settings.out / TRUTH_NAME)),
            ]
        )
        say(f"\naudit them:\n  ncaudit score {shlex.quote(str(settings.out))}")
