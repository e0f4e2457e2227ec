"""Settings as a config file: every key with its value and what it means."""

import textwrap
from collections.abc import Mapping
from typing import Any, get_args

from ncaudit.api.sections import SECTIONS, is_table, keys_of, meaning_of

_WIDTH = 96
_EXAMPLES = {"str": '"..."', "Path": '"..."', "int": "0", "float": "0.5"}


def config_text(command: str, settings: object) -> str:
    """Return the section of a command as TOML that reads back to the same settings.

    Keys that are not set are there as comments.

    Args:
        command: One of `SECTIONS`.
        settings: Settings of that command.
    """
    import msgspec

    values = msgspec.to_builtins(settings, enc_hook=str)
    head = f"# Settings of `ncaudit {command}`: options on the command line win over these.\n"
    return head + "\n".join(_tables(command, SECTIONS[command], values))


def _tables(name: str, kind: type, values: Mapping[str, Any]) -> list[str]:
    """Return the text of a table, and of the tables in it."""
    keys = keys_of(kind)
    lines = [f"[{name}]"]
    for key, hint in keys.items():
        if not is_table(hint):
            lines += [*_comment(meaning_of(kind, key)), _entry(key, hint, values[key])]
    texts = ["\n".join(lines) + "\n"]
    for key, hint in keys.items():
        if is_table(hint):
            below = _tables(f"{name}.{key}", hint, values[key])
            below[0] = "\n".join([*_comment(meaning_of(kind, key)), below[0]])
            texts += below
    return texts


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _entry(key: str, hint: Any, value: Any) -> str:
    import tomlkit

    if value is not None:
        return f"{key} = {tomlkit.item(value).as_string()}"
    return f"# {key} = {_example(hint)}"


def _example(hint: Any) -> str:
    """Return a value of the right type for a key that is not set."""
    inner = next(each for each in get_args(hint) if each is not type(None))
    parts = get_args(inner)
    if parts:
        return f"[{', '.join(_EXAMPLES[part.__name__] for part in parts)}]"
    return _EXAMPLES[inner.__name__]
