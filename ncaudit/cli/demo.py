"""ncaudit demo."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ncaudit.cli._console import exit_codes, say, say_json, show_table
from ncaudit.cli._options import JsonOption, OutOption, QuietOption, SeedOption
from ncaudit.cli._progress import progress


def demo(
    out: OutOption = Path("demo"),
    pairs: Annotated[int, typer.Option(min=20, help="Number of readable pairs.")] = 1200,
    noise_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pairs with another picture's caption.")
    ] = 0.2,
    seed: SeedOption = 0,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw small shards with planted mismatches, to try an audit. Needs no data."""
    with exit_codes(resumable=False):
        from ncaudit.audit.demo import TRUTH_NAME, make_demo

        with progress(quiet) as shown:
            shown.stage("draw", pairs, "pairs")
            summary = make_demo(
                out,
                n_pairs=pairs,
                noise_rate=noise_rate,
                seed=seed,
                on_image=lambda _: shown.advance(),
            )
        if json:
            say_json(asdict(summary) | {"shards": [str(path) for path in summary.shards]})
            return
        show_table(
            [
                ("pairs", f"{summary.n_pairs:,}"),
                ("  mismatched", f"{summary.n_mismatched:,}"),
                ("damaged samples", f"{summary.n_rejects:,}"),
                ("shards", f"{len(summary.shards)} in {out}"),
                ("which are wrong", str(out / TRUTH_NAME)),
            ]
        )
        say(f"\naudit them:\n  ncaudit score {shlex.quote(str(out))}")
