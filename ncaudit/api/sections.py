"""The sections of a config file: one per command, with what its keys mean."""

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from ncaudit.api.settings import (
    BenchSettings,
    CleanSettings,
    DemoSettings,
    EvaluateSettings,
    ReportSettings,
    ReviewSettings,
    ScoreSettings,
    TrainSettings,
    ValidateSettings,
)

# Command to the settings that its section holds.
SECTIONS: dict[str, type] = {
    "score": ScoreSettings,
    "clean": CleanSettings,
    "report": ReportSettings,
    "review": ReviewSettings,
    "train": TrainSettings,
    "validate": ValidateSettings,
    "evaluate": EvaluateSettings,
    "bench": BenchSettings,
    "demo": DemoSettings,
}


@cache
def keys_of(kind: type) -> dict[str, Any]:
    """Return the keys of a section, or of a table in it, with their types."""
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}


def dotted_keys(kind: type, prefix: str = "") -> list[str]:
    """Return all keys of a section and of the tables in it: `seed`, `fit.heads.folds`."""
    found = []
    for name, hint in keys_of(kind).items():
        below = dotted_keys(hint, f"{prefix}{name}.") if is_table(hint) else []
        found += below or [f"{prefix}{name}"]
    return found


def is_table(hint: Any) -> bool:
    """Tell whether a key holds a table: a frozen config of its own."""
    return is_dataclass(hint)


def meaning_of(kind: type, name: str) -> str:
    """Return what the docstring of a dataclass, or of one it inherits from, says of a field."""
    from docstring_parser import parse

    for each in kind.__mro__:
        said = {entry.arg_name: entry.description for entry in parse(each.__doc__ or "").params}
        if name in said:
            return " ".join((said[name] or "").split())
    raise LookupError(f"{kind.__name__} does not say what {name} is")
