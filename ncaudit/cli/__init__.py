"""The command line."""

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the `ncaudit` command."""
    from ncaudit.cli._app import app
    from ncaudit.devices import wait_quietly

    wait_quietly()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that knows only ASCII shows escapes; it must not end a run.
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="ncaudit")
