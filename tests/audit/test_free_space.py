import logging
import shutil
from pathlib import Path

import pytest

from ncaudit.audit.free_space import estimate_bytes, free_bytes, warn_if_too_little
from ncaudit.types import ShardRef
from tests.support.toy_encoder import ToyEncoder

CARD = ToyEncoder(aligned=True).card
SHARDS = [ShardRef(f"{n}.tar", f"{n}", 8_000_000, "") for n in range(3)]


def test_the_estimate_grows_with_the_shards_and_the_dimensions() -> None:
    per_pair = 2 * (CARD.image_dim + CARD.caption_dim) + 400
    assert estimate_bytes(SHARDS, CARD) == 3000 * per_pair
    assert estimate_bytes([], CARD) == 0


def test_the_space_of_a_folder_that_is_not_there_yet_is_that_above_it(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a/b/c") == pytest.approx(
        shutil.disk_usage(tmp_path).free, rel=0.1
    )


@pytest.mark.parametrize(("free", "n_warnings"), [(10, 1), (10**15, 0)])
def test_too_little_space_is_told_and_no_more(
    free: int, n_warnings: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ncaudit.audit.free_space.free_bytes", lambda _: free)
    with caplog.at_level(logging.WARNING):
        warn_if_too_little(Path("audit"), SHARDS, CARD)
    assert len(caplog.records) == n_warnings
