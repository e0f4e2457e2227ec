import io
import json
import logging
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import typer  # noqa: TID251 - the console is what is tested
from rich.console import Console  # noqa: TID251 - the console is what is tested

from ncaudit.cli import _console, _progress
from ncaudit.cli._console import exit_codes, log_to_console, safe, say, say_json, show_table
from ncaudit.cli._progress import PlainProgress, progress
from ncaudit.errors import (
    ConfigError,
    FitError,
    InputError,
    InterruptedRunError,
    NcauditError,
    OutputExistsError,
    ShardsFailedError,
    WeightsError,
)

CODES = {
    NcauditError: 1,
    ConfigError: 2,
    InputError: 3,
    ShardsFailedError: 4,
    OutputExistsError: 5,
    FitError: 6,
    WeightsError: 7,
    InterruptedRunError: 130,
}


def code_of(error: BaseException) -> int:
    with pytest.raises(typer.Exit) as caught, exit_codes():
        raise error
    return caught.value.exit_code


@pytest.mark.parametrize(("error", "code"), CODES.items())
def test_every_deliberate_error_has_its_exit_code(error: type[NcauditError], code: int) -> None:
    assert code_of(error("x")) == code


def test_an_error_is_two_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(InputError("no .tar shards in [red]data[/red]", hint="Quote the glob."))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: no .tar shards in [red]data[/red]\n hint: Quote the glob.\n"


def test_escape_sequences_in_an_error_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code_of(InputError("bad key \x1b]0;x\x07\n  second line"))
    assert capsys.readouterr().err == "error: bad key \\x1b]0;x\\x07\n  second line\n"


def test_an_interruption_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/ncaudit", "clean", "my audit"])
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == (
        "interrupted: run the same command to go on: ncaudit clean 'my audit'\n"
    )


def test_an_interruption_of_the_module_names_the_module(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/lib/ncaudit/__main__.py", "score", "x"])
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.endswith("to go on: python -m ncaudit score x\n")


def test_bytes_are_shown_as_megabytes() -> None:
    lines = io.StringIO()
    plain = PlainProgress(Console(file=lines, width=200), every_s=0)
    plain.stage("embed", 3_000_000, "bytes")
    plain.advance(1_500_000)
    assert lines.getvalue().startswith("embed: 1.5/3.0 MB, ")
    assert " MB/s, " in lines.getvalue()


def test_a_bug_keeps_its_traceback_without_locals(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "s3cr3t" + str(os.getpid())
    assert code_of(ZeroDivisionError(f"\x1b[31m{len(secret)}")) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "\\x1b[31m" in shown
    assert secret not in shown


def test_an_exit_passes_through() -> None:
    assert code_of(typer.Exit(7)) == 7


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_a_command_with_130(signal_name: str) -> None:
    code = (
        "import os, signal, time, typer; from ncaudit.cli._console import exit_codes\n"
        "def work():\n"
        "    with exit_codes():\n"
        f"        os.kill(os.getpid(), signal.{signal_name}); time.sleep(10)\n"
        "typer.run(work)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted: run the same command to go on: ")


def test_the_signal_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with exit_codes():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "from ncaudit.cli._console import say\nfor _ in range(9999): say('x' * 999)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 0)


def test_results_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say("[bold]:smile:\x1b[31m " + "x" * 200)
    show_table([("key", "[/]\n2"), ("n pairs", 3)], title="t")
    say_json({"a": "\x1b é"})
    shown = capsys.readouterr().out
    table = "t\nkey      [/]\\n2\nn pairs  3\n"
    as_json = json.dumps({"a": "\x1b é"}, indent=2) + "\n"
    assert shown == "[bold]:smile:\\x1b[31m " + "x" * 200 + "\n" + table + as_json


def test_safe_text_is_one_line() -> None:
    assert safe("a\n\x1b[1m\u202e\udcff") == "a\\n\\x1b[1m\\u202e\\udcff"


def test_warnings_of_the_library_reach_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    log_to_console()
    log_to_console()
    logging.getLogger("ncaudit.x").warning("shard %s\x1b", "0")
    root.handlers[:] = before
    assert capsys.readouterr().err == "warning: shard 0\\x1b\n"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_plain_lines_come_every_few_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, text = Clock(), io.StringIO()
    monkeypatch.setattr(_progress, "time", clock)
    lines = PlainProgress(Console(file=text))
    lines.stage("embed", 1000)
    for _ in range(8):
        clock.now += 1
        lines.advance(100)
    lines.stage("fit", unit="folds")
    clock.now += 6
    lines.advance()
    lines.finish()
    assert text.getvalue().splitlines() == [
        "embed: 500/1,000 pairs, 100 pairs/s, 0:00:05 left",
        "embed: 800/1,000 pairs, 100 pairs/s, done in 0:00:08",
        "fit: 1 folds, 6.0 s each, 0:00:06 so far",
        "fit: 1 folds, 6.0 s each, done in 0:00:06",
    ]


def run_two_stages(**options: Any) -> None:
    with progress(**options) as shown:
        shown.stage("embed", 3)
        shown.advance(2)
        shown.stage("fit")
        shown.advance()


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run_two_stages(quiet=True)
    assert capsys.readouterr() == ("", "")


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    run_two_stages()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split(":")[0] for line in shown.err.splitlines()] == ["embed", "fit"]


def test_a_terminal_gets_a_bar_per_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(_progress, "err", Console(file=text, force_terminal=True, width=100))
    run_two_stages()
    assert "embed" in text.getvalue()
    assert "2/2" in text.getvalue()
    assert "1/1" in text.getvalue()
    assert _console.err is not _progress.err
