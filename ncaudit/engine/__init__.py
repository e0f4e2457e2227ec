"""Where shard tasks run, and which of them are done.

`ENGINES` holds the ways to run them, by the names that `--engine` takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ncaudit.engine.base import Engine, EngineOptions
from ncaudit.registry import Registry

ENGINES: Registry[Engine] = Registry(
    "engine",
    {
        "local": "ncaudit.engine.local:open_local",
        "ray": "ncaudit.engine.ray_cluster:open_ray",
    },
)


@contextmanager
def open_engine(options: EngineOptions, device: str) -> Iterator[Engine]:
    """Open the engine that `options` names, and close it in the end.

    Args:
        options: Which, and how large.
        device: What the work runs on, see `ncaudit.devices.resolve_device`.

    Raises:
        ConfigError: If no engine has that name, or what it needs is not there.
    """
    engine = ENGINES.load(options.name)(options, device)
    try:
        yield engine
    finally:
        engine.close()
