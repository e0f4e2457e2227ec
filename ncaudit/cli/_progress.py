"""How far a command is: a live line per stage on a terminal, plain lines elsewhere."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ncaudit.cli._console import err, safe

LINE_EVERY_S = 5.0
_MB = 1e6


class StageProgress(Protocol):
    """What a command tells about itself while it works."""

    def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None:
        """Start the next stage, which ends the one before.

        Args:
            name: What is done now.
            total: Number of units, or None if it is not known yet.
            unit: Plural noun of what is counted; "bytes" are shown as MB.
        """
        ...

    def advance(self, k: int = 1) -> None:
        """Say that `k` more units of the stage are done."""
        ...


@contextmanager
def progress(quiet: bool = False, *, may_move: bool = True) -> Generator[StageProgress]:
    """Show progress on stderr until the block ends.

    Args:
        quiet: Show nothing.
        may_move: Whether a terminal may get a line that moves; not where results are printed
            meanwhile.
    """
    if quiet:
        yield _Silent()
    elif may_move and err.is_terminal:
        with _live(err) as live:
            shown = _Live(live)
            yield shown
            shown.finish()
    else:
        lines = PlainProgress(err)
        yield lines
        lines.finish()


class PlainProgress:
    """A line every few seconds and one at the end of each stage.

    Args:
        console: Where.
        every_s: Least time between two lines of a stage.
    """

    def __init__(self, console: Console, every_s: float = LINE_EVERY_S) -> None:
        self._console = console
        self._every_s = every_s
        self._name = ""
        self._total: int | None = None
        self._unit = ""
        self._n_done = 0
        self._started = self._shown = time.monotonic()

    def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None:
        """Start the next stage."""
        self.finish()
        self._name, self._total, self._unit, self._n_done = name, total, unit, 0
        self._started = self._shown = time.monotonic()

    def advance(self, k: int = 1) -> None:
        """Count `k` units, and print a line if the last one was a while ago."""
        self._n_done += k
        now = time.monotonic()
        if now - self._shown >= self._every_s:
            self._shown = now
            self._print(_left(self._total, self._n_done, now - self._started))

    def note(self, text: str) -> None:
        """Print a line about the stage."""
        self._console.print(Text(f"{safe(self._name)}: {safe(text)}"), soft_wrap=True)

    def finish(self) -> None:
        """End the stage with its last line."""
        if self._name:
            self._print(f"done in {_duration(time.monotonic() - self._started)}")
            self._name = ""

    def _print(self, end: str) -> None:
        seconds = time.monotonic() - self._started
        amount = _amount(self._n_done, self._total, self._unit)
        rate = _rate(self._n_done, seconds, self._unit)
        counted = f"{amount}, {rate}, " if self._n_done else ""
        line = f"{safe(self._name)}: {counted}{end}"
        self._console.print(Text(line), soft_wrap=True)


class _Silent:
    def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None:
        """Show nothing."""

    def advance(self, k: int = 1) -> None:
        """Show nothing."""


class _Live:
    def __init__(self, live: Progress) -> None:
        self._live = live
        self._task: TaskID | None = None

    def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None:
        self.finish()
        self._task = self._live.add_task(safe(name), total=total, unit=unit)

    def advance(self, k: int = 1) -> None:
        if self._task is not None:
            self._live.advance(self._task, k)

    def note(self, text: str) -> None:
        self._live.console.print(Text(safe(text)), soft_wrap=True)

    def finish(self) -> None:
        """Fill the bar of a stage whose total was not known, and stop its clock."""
        if self._task is not None:
            n_done = int(self._live.tasks[self._task].completed)
            self._live.update(self._task, total=n_done)
            self._live.stop_task(self._task)


class _AmountColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_amount(task.completed, task.total, str(task.fields["unit"])))


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_rate(task.completed, task.elapsed or 0.0, str(task.fields["unit"])))


def _live(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _AmountColumn(),
        _RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        redirect_stdout=False,
    )


def _amount(n_done: float, total: float | None, unit: str) -> str:
    done, name = _counted(n_done, unit)
    of = f"/{_counted(total, unit)[0]}" if total is not None else ""
    return f"{done}{of} {name}"


def _rate(n_done: float, seconds: float, unit: str) -> str:
    if seconds <= 0:
        return f"- {_counted(0, unit)[1]}/s"
    if 0 < n_done < seconds and unit != "bytes":
        return f"{seconds / n_done:.1f} s each"
    done, name = _counted(n_done / seconds, unit)
    return f"{done} {name}/s"


def _counted(n: float, unit: str) -> tuple[str, str]:
    """Return a number of units, and what to call them."""
    if unit == "bytes":
        return f"{n / _MB:,.1f}", "MB"
    return f"{n:,.0f}", unit


def _left(total: int | None, n_done: int, seconds: float) -> str:
    if not total or not n_done:
        return f"{_duration(seconds)} so far"
    return f"{_duration(seconds * (total - n_done) / n_done)} left"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(max(seconds, 0.0))))
