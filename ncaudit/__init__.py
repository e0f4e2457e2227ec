"""Find image-text pairs whose caption does not belong to its image.

    import ncaudit

    run = ncaudit.score("shards/", output="audit/")
    ncaudit.clean("audit/", output="cleaned/", threshold=0.5)

One function for each command, with the same settings. Names are imported when they are
asked for, so that `import ncaudit` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ncaudit.api.bench import bench
    from ncaudit.api.clean import clean
    from ncaudit.api.demo import demo
    from ncaudit.api.evaluate import evaluate
    from ncaudit.api.report import explain, write_report
    from ncaudit.api.run import Run, open_run
    from ncaudit.api.score import score
    from ncaudit.api.train import train
    from ncaudit.api.validate import Preflight, validate
    from ncaudit.config import FitConfig, RematchConfig
    from ncaudit.engine.base import EngineOptions
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

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "EngineOptions",
    "FitConfig",
    "FitError",
    "InputError",
    "InterruptedRunError",
    "NcauditError",
    "OutputExistsError",
    "Preflight",
    "RematchConfig",
    "Run",
    "ShardsFailedError",
    "WeightsError",
    "__version__",
    "bench",
    "clean",
    "demo",
    "evaluate",
    "explain",
    "open_run",
    "score",
    "train",
    "validate",
    "write_report",
]

_HOMES = {
    "ncaudit.api.bench": ("bench",),
    "ncaudit.api.clean": ("clean",),
    "ncaudit.api.demo": ("demo",),
    "ncaudit.api.evaluate": ("evaluate",),
    "ncaudit.api.report": ("explain", "write_report"),
    "ncaudit.api.run": ("Run", "open_run"),
    "ncaudit.api.score": ("score",),
    "ncaudit.api.train": ("train",),
    "ncaudit.api.validate": ("Preflight", "validate"),
    "ncaudit.config": ("FitConfig", "RematchConfig"),
    "ncaudit.engine.base": ("EngineOptions",),
    "ncaudit.errors": tuple(name for name in __all__ if name.endswith("Error")),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name where it is asked for."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
