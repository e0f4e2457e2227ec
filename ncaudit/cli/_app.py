"""The Typer app: commands are registered here and nowhere else."""

from typing import Annotated

import typer

from ncaudit import __version__
from ncaudit.cli._console import log_to_console, say
from ncaudit.cli.bench import bench
from ncaudit.cli.clean import clean
from ncaudit.cli.demo import demo
from ncaudit.cli.doctor import doctor
from ncaudit.cli.evaluate import evaluate
from ncaudit.cli.explain import explain
from ncaudit.cli.report import report
from ncaudit.cli.review import review
from ncaudit.cli.score import score
from ncaudit.cli.train import train
from ncaudit.cli.validate import validate

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    score,
    clean,
    explain,
    report,
    review,
    train,
    validate,
    evaluate,
    bench,
    demo,
    doctor,
):
    app.command()(command)


def _show_version(asked: bool) -> None:
    if asked:
        say(f"ncaudit {__version__}")
        raise typer.Exit


@app.callback()
def ncaudit(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Version and exit."),
    ] = False,
) -> None:
    """Find image-text pairs whose caption does not belong to its image, and clean shards."""
    log_to_console()
