"""ncaudit review."""

from pathlib import Path
from typing import Annotated

import typer

from ncaudit.cli._console import exit_codes, say
from ncaudit.cli._options import RunArgument, SeedOption
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled


def review(
    context: typer.Context,
    run: RunArgument = Path("audit"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 is any free one.")
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    pairs: Annotated[int, typer.Option(min=1, max=100_000, help="Pairs to look at.")] = 300,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Precision is estimated for dropping at this p.")
    ] = 0.5,
    seed: SeedOption = 0,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
) -> None:
    """Show pairs one at a time on a local page, and write RUN/verdicts.csv. Sends nothing."""
    with exit_codes(resumable=False):
        from ncaudit.api.settings import ReviewSettings

        settings = settled(ReviewSettings, context)
        from ncaudit.audit.review_server import require_review_packages

        require_review_packages()
        from ncaudit.audit.review import ReviewSession
        from ncaudit.audit.review_server import ReviewServer
        from ncaudit.audit.review_verdicts import FILE_NAME, sole_reviewer
        from ncaudit.audit.scored_run import load_scored_run

        run = settings.run
        load_scored_run(run)  # before a lock is left in a folder that is no run
        with sole_reviewer(run):
            session = ReviewSession(
                run, n_pairs=settings.pairs, threshold=settings.threshold, seed=settings.seed
            )
            server = ReviewServer(session, settings.port)
            say(f"review {len(session):,} pairs at\n  {server.url}")
            say(f"every verdict is written to {run / FILE_NAME}; Ctrl-C ends the review")
            if settings.open_page:
                typer.launch(server.url)
            try:
                server.run()
            finally:
                server.close()
                decided = session.state()["decided"]
                say(f"{decided:,} of {len(session):,} pairs decided, in {run / FILE_NAME}")
