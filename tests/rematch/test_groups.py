"""Which shards may exchange captions."""

import pytest

from ncaudit.config import RematchConfig
from ncaudit.errors import ConfigError
from ncaudit.rematch.groups import shard_groups

SHARDS = ["a/x/0", "a/x/1", "a/y/0", "b/0", "c"]


@pytest.mark.parametrize(
    ("within", "groups"),
    [
        ("all", [0, 0, 0, 0, 0]),
        ("shard", [0, 1, 2, 3, 4]),
        ("folder", [0, 0, 1, 2, 3]),
        ("1", [0, 0, 0, 1, 2]),
        ("0", [0, 0, 0, 0, 0]),
        ("a/x/*,b/*", [0, 0, 1, 2, 1]),
    ],
)
def test_shards_are_grouped(within: str, groups: list[int]) -> None:
    assert shard_groups(SHARDS, within).tolist() == groups


@pytest.mark.parametrize("setting", [{"within": " "}, {"pool": "some"}])
def test_settings_that_mean_nothing_are_refused(setting: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        RematchConfig(**setting)  # type: ignore[arg-type]
