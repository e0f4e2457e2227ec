"""From the words of a command line to settled settings."""

from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import typer

from ncaudit.cli._console import say

T = TypeVar("T")

# Options whose key has another name, or is in a table of the config file.
_PLACES = {
    "signal": ("extra_signals",),
    "fit_pairs": ("fit", "fit_pairs"),
    "rematch": ("rematch", "enabled"),
    "rematch_pool": ("rematch", "pool"),
    "rematch_within": ("rematch", "within"),
    "rematch_max": ("rematch", "max_pairs"),
    "engine": ("engine", "name"),
    "workers": ("engine", "workers"),
    "address": ("engine", "address"),
    "gpus_per_worker": ("engine", "gpus_per_worker"),
}
# How things are shown, and where settings come from.
NO_SETTINGS = ("config", "print_config", "json", "quiet")

ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="TOML file of settings; options given here win over it.",
        show_default=False,
    ),
]
PrintConfigOption: TypeAlias = Annotated[
    bool, typer.Option("--print-config", help="Print every setting as TOML and exit.")
]


def place_of(option: str) -> tuple[str, ...]:
    """Return the table and the key, or the key alone, that an option sets."""
    return _PLACES.get(option, (option,))


def settled(kind: type[T], context: typer.Context, **parsed: object) -> T:
    """Return a command's settings: options that were typed, else `--config`, else defaults.

    Args:
        kind: Settings of the command.
        context: The command as it was called; with `--print-config` it ends here.
        **parsed: Values of options that take their place where these were typed.

    Raises:
        ConfigError: See `ncaudit.api.settle.settle`.
    """
    from ncaudit.api.config_text import config_text
    from ncaudit.api.settle import settle

    settings = settle(kind, _typed(context, parsed), context.params["config"])
    if context.params["print_config"]:
        say(config_text(str(context.info_name), settings).rstrip())
        raise typer.Exit
    return settings


def _typed(context: typer.Context, parsed: dict[str, object]) -> dict[str, object]:
    """Return what was typed, in tables where the config file has tables."""
    typed: dict[str, object] = {}
    for option, value in context.params.items():
        source = context.get_parameter_source(option)
        if option in NO_SETTINGS or source is None or source.name != "COMMANDLINE":
            continue
        *tables, key = place_of(option)
        level = typed
        for table in tables:
            level = level.setdefault(table, {})  # type: ignore[assignment]
        level[key] = parsed.get(option, value)
    return typed
