"""Names a user may type, mapped to code that is imported only when it is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from ncaudit.errors import ConfigError, NcauditError

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
        plugins = {name: entry.value for name, entry in self._plugins().items()}
        return plugins | dict(self.builtin)

    def load(self, name: str) -> Callable[..., T]:
        """Import and return the factory registered under `name`.

        Raises:
            ConfigError: If no such name is registered, or the package that brings it cannot
                be imported.
        """
        if name in self.builtin:
            module, _, attribute = self.builtin[name].partition(":")
            return cast(Callable[..., T], getattr(import_module(module), attribute))
        plugins = self._plugins()
        if name not in plugins:
            raise ConfigError(f"unknown {self.kind} {name!r}", hint=suggest(name, self.targets()))
        try:
            return cast(Callable[..., T], plugins[name].load())
        except NcauditError:
            raise
        except Exception as error:
            package = _package(plugins[name])
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"the {self.kind} {name!r} of the package {package} cannot be imported: {said}",
                hint=f"Upgrade the package, or uninstall it: pip uninstall {package.split()[0]}",
            ) from error

    def origin(self, name: str) -> str:
        """Return the package that brings `name`, with its version; "ncaudit" for a built-in."""
        entry = self._plugins().get(name)
        return "ncaudit" if entry is None or name in self.builtin else _package(entry)

    def _plugins(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=f"ncaudit.{self.kind}s")}


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def suggest(name: str, known: Mapping[str, object]) -> str:
    """Return a hint for a mistyped name: the nearest known one, or all of them."""
    near = get_close_matches(name, known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(sorted(known))}." if known else "None are installed."
