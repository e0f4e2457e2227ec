"""Names a user may type, mapped to code that is imported only when it is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from ncaudit.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registry(Generic[T]):
    """One family of interchangeable parts, e.g. every encoder.

    Attributes:
        kind: Singular noun for messages, e.g. "encoder".
        builtin: Name to "module:attribute". Other packages add entry points of the
            same form in the group `ncaudit.<kind>s`; a built-in name wins.
    """

    kind: str
    builtin: Mapping[str, str]

    def targets(self) -> dict[str, str]:
        """Return every known name with its "module:attribute"."""
        plugins = {
            entry.name: entry.value for entry in entry_points(group=f"ncaudit.{self.kind}s")
        }
        return plugins | dict(self.builtin)

    def load(self, name: str) -> Callable[..., T]:
        """Import and return the factory registered under `name`.

        Raises:
            ConfigError: If no such name is registered.
        """
        targets = self.targets()
        if name not in targets:
            raise ConfigError(f"unknown {self.kind} {name!r}", hint=suggest(name, targets))
        module, _, attribute = targets[name].partition(":")
        return cast(Callable[..., T], getattr(import_module(module), attribute))


def suggest(name: str, known: Mapping[str, object]) -> str:
    """Return a hint for a mistyped name: the nearest known one, or all of them."""
    near = get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}."
