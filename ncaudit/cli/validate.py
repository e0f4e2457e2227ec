"""ncaudit validate."""

import json as jsonlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ncaudit.cli._console import exit_codes, out, safe, say, say_part, show_table
from ncaudit.cli._options import CaptionsOption, JsonOption, QuietOption, ShardsArgument
from ncaudit.cli._progress import progress
from ncaudit.cli._settings import ConfigOption, PrintConfigOption, settled

if TYPE_CHECKING:
    from ncaudit.audit.validate import Defect, Validation

DecodeOption: TypeAlias = Annotated[
    bool, typer.Option(help="Decode images too; without, only tars and captions are checked.")
]


def validate(
    context: typer.Context,
    shards: ShardsArgument = None,
    captions: CaptionsOption = "auto",
    decode: DecodeOption = True,
    config: ConfigOption = None,
    print_config: PrintConfigOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find every defect of the shards before a run. Writes nothing."""
    with exit_codes(resumable=False):
        from ncaudit.api.settings import ValidateSettings

        settings = settled(ValidateSettings, context)
        from ncaudit.api.validate import run_validate
        from ncaudit.audit.validate import raise_for_damage

        with progress(quiet, may_move=not out.is_terminal) as shown:
            if json:
                document = _Document()
                found = run_validate(settings, document.add, shown)
                document.end(found.as_plain())
            else:
                found = run_validate(settings, _show, shown)
                _show_totals(found)
        raise_for_damage(found)


def _show(defect: "Defect") -> None:
    """Print one line: severity, where, reason, detail."""
    where = defect.shard
    if defect.caption_index is not None:
        where += f" {defect.key or '(empty key)'}"
        where += f" [{defect.caption_index}]" if defect.caption_index else ""
    say(safe(f"{defect.severity:7}  {where}  {defect.status}: {defect.detail}"))


def _show_totals(found: "Validation") -> None:
    rows: list[tuple[str, object]] = [
        ("shards", f"{found.shards:,}"),
        ("  damaged", f"{found.shards_damaged:,}"),
        ("  unreadable", f"{found.shards_unreadable:,}"),
        ("samples", f"{found.samples:,}"),
        ("pairs", f"{found.pairs:,}"),
        (
            "  good",
            f"{found.good_pairs:,}" if found.decoded else f"{found.good_pairs:,}, undecoded",
        ),
        ("  rejected", f"{found.pairs - found.good_pairs:,}"),
    ]
    rows += [(f"    {reason}", f"{n:,}") for reason, n in found.rejects.items()]
    show_table(rows)


class _Document:
    """Prints one JSON object whose list of defects is never held."""

    def __init__(self) -> None:
        self._separator = '{"defects": [\n'

    def add(self, defect: "Defect") -> None:
        say_part(f"{self._separator}{jsonlib.dumps(asdict(defect))}")
        self._separator = ",\n"

    def end(self, totals: Mapping[str, object]) -> None:
        opened = self._separator if self._separator.startswith("{") else "\n"
        say_part(f'{opened}], "totals": {jsonlib.dumps(totals)}}}\n')
