"""The Typer app: commands are registered here and nowhere else."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ncaudit import __version__
from ncaudit.cli._console import complain, log_to_console, say
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

# UsageError of the click that typer carries with it, or stands on.
_UsageError: Any = typer.BadParameter.__base__


class _Commands(TyperGroup):
    """The commands; a word that is wrong ends in a line and a hint, as any other error does."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command line and exit."""
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
        except _UsageError as error:
            if not standalone_mode:
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                complain("error", " ".join(error.format_message().split()), "red")
                path = error.ctx.command_path if error.ctx else "ncaudit"
                complain(" hint", f"See all options: {path} --help", "cyan")
            sys.exit(error.exit_code)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=_Commands,
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
