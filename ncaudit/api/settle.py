"""From what was given and a config file to frozen settings: strict about keys and types."""

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from ncaudit.api.sections import SECTIONS, dotted_keys, is_table, keys_of
from ncaudit.errors import ConfigError
from ncaudit.registry import suggest

T = TypeVar("T")
_WHERE = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_WORDS = {"object": "table", "str": "string", "array": "list", "bool": "true or false"}
_NOTHING: Mapping[str, object] = {}


def settle(
    kind: type[T],
    given: Mapping[str, object],
    file: str | Path | None = None,
    *,
    defaults: Mapping[str, object] = _NOTHING,
) -> T:
    """Return the settings of a command: what is given, else the file's, else the defaults.

    Args:
        kind: Settings of one of `SECTIONS`.
        given: Key to value; a table may be a mapping, or the frozen config it stands for,
            which then replaces the whole table.
        file: Config file with a section for the command, or None.
        defaults: Values that stand for the settings' own defaults.

    Raises:
        ConfigError: If the file cannot be read, a key is unknown, or a value has the wrong
            type or is out of range.
    """
    plain = {name: _plain(value) for name, value in given.items()}
    _check_keys(kind, plain, repr)
    settled: dict[str, Any] = dict(defaults)
    if file is not None:
        path = Path(file)
        section = _read_section(path, kind)
        _check_keys(kind, section, lambda key: f"{key!r} in {path}")
        _convert(kind, section, f"{path}: ")
        settled = _merged(settled, section)
    return _convert(kind, _merged(settled, plain), "")


def _read_section(path: Path, kind: type) -> dict[str, Any]:
    """Return the section for `kind`, empty if the file has none."""
    content = _read_toml(path)
    for name, value in content.items():
        if name not in SECTIONS:
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{name!r} in {path} is in no section",
                    hint="Put it into the section of its command, such as [score].",
                )
            raise ConfigError(f"unknown section {name!r} in {path}", hint=suggest(name, SECTIONS))
        if not isinstance(value, dict):
            raise ConfigError(f"{name!r} in {path} is no section", hint=f"Write [{name}].")
    command = next(name for name, each in SECTIONS.items() if each is kind)
    return dict(content.get(command, {}))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the config file {path} cannot be read: {error.strerror}",
            hint="Write one with --print-config: ncaudit score --print-config > ncaudit.toml",
        ) from error
    except (ValueError, RecursionError) as error:  # what is no TOML, or no UTF-8
        raise ConfigError(
            f"{path} is no TOML: {str(error) or 'nested too deep'}",
            hint="Compare it with what --print-config shows.",
        ) from error


def _check_keys(kind: type, values: Mapping[str, Any], shown: Callable[[str], str]) -> None:
    known = dotted_keys(kind)
    for key, value in _walk(kind, values):
        if value is _UNKNOWN:
            name = key.rpartition(".")[2]
            table = key.removesuffix(name)
            # A key may be right and its table forgotten, or the other way round.
            near = {each: each for each in known if each.startswith(table)} or dict.fromkeys(known)
            raise ConfigError(f"unknown key {shown(key)}", hint=_nearest(key, name, near))
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{shown(key)} is {value}", hint="Give a finite number.")


def _nearest(key: str, name: str, known: Mapping[str, object]) -> str:
    same_name = [each for each in known if each.rpartition(".")[2] == name]
    return f"Did you mean {same_name[0]!r}?" if same_name else suggest(key, known)


_UNKNOWN = object()


def _walk(kind: type, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted key, `_UNKNOWN` in place of one nobody knows."""
    keys = keys_of(kind)
    for name, value in values.items():
        key = f"{prefix}{name}"
        if name not in keys:
            yield key, _UNKNOWN
        elif is_table(keys[name]) and isinstance(value, Mapping):
            yield from _walk(keys[name], value, f"{key}.")
        elif isinstance(value, list):
            yield from ((key, each) for each in value)
        else:
            yield key, value


def _plain(value: object) -> Any:
    """Return a value as TOML would hold it: frozen configs become tables."""
    import msgspec

    try:
        return msgspec.to_builtins(value, enc_hook=str)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[name] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _convert(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    import msgspec

    try:
        return msgspec.convert(values, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        match = _WHERE.fullmatch(str(error))
        said, key = match.groups() if match else (str(error), "")
        raise ConfigError(f"{where}{key}: {_in_words(said)}", hint=_choices(kind, key)) from error


def _path(kind: type, value: object) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"Expected `path`, got `{type(value).__name__}`")


def _in_words(said: str) -> str:
    """Say what msgspec says in TOML's words."""
    said = said.replace(" | null", "").replace("Invalid enum value", "unknown value")
    words = re.sub(r"`(\w+)`", lambda match: _WORDS.get(match[1], match[1]), said)
    return words[:1].lower() + words[1:]


def _choices(kind: type, key: str) -> str:
    """Return the values that a key may have, where they can be counted."""
    hint: Any = kind
    for name in re.sub(r"\[.*?\]", "", key).split("."):
        hint = keys_of(hint).get(name) if is_table(hint) else None
    found: list[str] = []
    for each in (hint, *get_args(hint)):
        if get_origin(each) is Literal:
            found += [str(choice) for choice in get_args(each)]
        elif isinstance(each, type) and issubclass(each, StrEnum):
            found += [str(choice) for choice in each]
        elif each is int and get_args(hint):
            found.append("a whole number")
    if not found:
        return "Compare with --print-config."
    return f"Use {'one of: ' if len(found) > 1 else ''}{', '.join(found)}."
