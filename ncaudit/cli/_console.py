"""The console: how commands print, and the one place where errors become exit codes."""

import json
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from types import FrameType

import typer
from rich.console import Console
from rich.text import Text

from ncaudit.errors import InterruptedRunError, NcauditError
from ncaudit.report.safe_text import escape_controls

log = logging.getLogger(__name__)


class _PipeConsole(Console):
    """A console whose reader may leave early (`| head`) without that being an error."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # Python flushes stdout once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


out = _PipeConsole()
err = Console(stderr=True)


def safe(text: object) -> str:
    """Return text as one line without control or escape sequences, for any terminal."""
    return escape_controls(str(text))


def say(text: str = "") -> None:
    """Print a result to stdout as it is: no markup, no wrapping."""
    out.print(Text(escape_controls(text, keep_newlines=True)), soft_wrap=True)


def say_json(value: object) -> None:
    """Print a result for programs to stdout."""
    out.out(json.dumps(value, indent=2, allow_nan=False), highlight=False)


def say_part(text: str) -> None:
    """Print a piece of a result for programs to stdout, without a line end."""
    out.out(text, end="", highlight=False)


def complain(label: str, text: str, style: str) -> None:
    """Print a line like `error: ...` to stderr; further lines of `text` follow it."""
    line = Text.assemble((f"{label}:", style), " ", escape_controls(text, keep_newlines=True))
    err.print(line, soft_wrap=True)


def show_table(rows: Mapping[str, object] | Iterable[tuple[str, object]], title: str = "") -> None:
    """Print names and values in two columns to stdout; long values are never folded."""
    shown = [
        (name, safe(value))
        for name, value in (rows.items() if isinstance(rows, Mapping) else rows)
    ]
    width = max((len(name) for name, _ in shown), default=0)
    if title:
        out.print(Text(title, "bold underline"))
    for name, value in shown:
        out.print(Text.assemble((name.ljust(width), "bold"), "  ", value), soft_wrap=True)


def log_to_console() -> None:
    """Send warnings of the library, and of those it uses, to stderr."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Warnings) for handler in root.handlers):
        root.addHandler(_Warnings(logging.WARNING))


@contextmanager
def exit_codes(resumable: bool = True) -> Generator[None]:
    """Turn what ends a command early into lines on stderr and an exit code.

    A deliberate error becomes `error:` and `hint:` and its own code; Ctrl-C and SIGTERM
    become 130; anything else is a bug: its traceback, without locals, and 1.

    Args:
        resumable: Whether the same command goes on after an interruption.
    """
    try:
        with _sigterm_interrupts():
            yield
    except (KeyboardInterrupt, InterruptedRunError) as error:
        complain("interrupted", _way_on() if resumable else "nothing was finished", "yellow")
        raise typer.Exit(InterruptedRunError.exit_code) from error
    except NcauditError as error:
        log.debug("deliberate error", exc_info=True)
        complain("error", str(error), "red")
        if error.hint:
            complain(" hint", error.hint, "cyan")
        raise typer.Exit(error.exit_code) from error
    except typer.Exit:
        raise
    except Exception as error:
        lines = "".join(traceback.format_exception(error))
        err.print(Text(escape_controls(lines, keep_newlines=True)), soft_wrap=True)
        complain("bug", "this should not happen; please report it with the lines above", "red")
        raise typer.Exit(1) from error


def _way_on() -> str:
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - a name
    called = ["python", "-m", "ncaudit"] if name == "__main__.py" else [name]
    command = shlex.join([*called, *sys.argv[1:]])
    return f"run the same command to go on: {safe(command)}"


@contextmanager
def _sigterm_interrupts() -> Generator[None]:
    """Treat SIGTERM as Ctrl-C while a command runs; files half written are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Warnings(logging.Handler):
    """Prints log records as `warning: ...`."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(record.levelname.lower(), record.getMessage(), "yellow")
