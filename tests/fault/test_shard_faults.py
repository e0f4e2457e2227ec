"""Each bad shard beside a good one: what the preflight says, and that an audit says the same."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.fault.shard_faults import GOOD, SHARD_FAULTS, ShardFault
from tests.support.audits import ncaudit, score, write_striped
from tests.support.shards import write_shard

NAMES = [fault.name for fault in SHARD_FAULTS]
DAMAGED = ("shard_truncated", "shard_unreadable")


def write_fault(folder: Path, fault: ShardFault) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{fault.name}.tar").write_bytes(fault.make())


@pytest.fixture(scope="module")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Shard to its defects, of one preflight over all bad shards; tests only read it."""
    folder = tmp_path_factory.mktemp("preflight")
    for fault in SHARD_FAULTS:
        write_fault(folder, fault)
    found = json.loads(ncaudit("validate", folder, "--json", "--quiet").stdout)
    by_shard: dict[str, list[dict[str, Any]]] = {fault.name: [] for fault in SHARD_FAULTS}
    for defect in found["defects"]:
        by_shard[defect["shard"]].append(defect)
    return by_shard


@pytest.mark.parametrize("fault", SHARD_FAULTS, ids=NAMES)
def test_the_preflight_names_the_fault(
    fault: ShardFault, preflight: Mapping[str, list[dict[str, Any]]]
) -> None:
    defects = preflight[fault.name]
    of_shard = [defect for defect in defects if defect["caption_index"] is None]
    assert [defect["status"] for defect in of_shard] == ([fault.defect] if fault.defect else [])
    of_pairs = Counter(defect["status"] for defect in defects if defect not in of_shard)
    assert of_pairs == {
        str(status): n for status, n in fault.rejects.items() if status != "shard_unreadable"
    }
    assert fault.detail in "\n".join(defect["detail"] for defect in defects)


@pytest.mark.parametrize("fault", SHARD_FAULTS, ids=NAMES)
def test_the_exit_code_of_the_preflight_tells_the_severity(
    fault: ShardFault, tmp_path: Path
) -> None:
    write_fault(tmp_path, fault)
    alone = ncaudit("validate", tmp_path, "--no-decode", "--quiet")
    write_shard(tmp_path / "good.tar", [("a", GOOD)])
    beside = ncaudit("validate", tmp_path, "--no-decode", "--quiet")
    assert (alone.exit_code, beside.exit_code) == exit_codes(fault)


def exit_codes(fault: ShardFault) -> tuple[int, int]:
    """Return the exit code of a preflight of the shard alone, and beside a good one."""
    damaged = 4 if fault.defect in DAMAGED else 0
    return (damaged if fault.n_good or set(fault.rejects) - {"shard_unreadable"} else 3), damaged


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """One audit of all bad shards and enough good ones; tests only read it."""
    folder = tmp_path_factory.mktemp("audited")
    write_striped(folder, 2, 120)
    for fault in SHARD_FAULTS:
        write_fault(folder / "shards", fault)
    return folder, score(folder, encoder="toy-aligned")


def test_an_audit_of_all_of_them_ends_with_4_and_names_the_damaged(
    audited: tuple[Path, Any],
) -> None:
    _, done = audited
    assert done.exit_code == 4, done.output
    damaged = [fault.name for fault in SHARD_FAULTS if fault.defect in DAMAGED]
    assert f"{len(damaged)} shards could not be read, or only in part" in done.stderr


@pytest.mark.parametrize("fault", SHARD_FAULTS, ids=NAMES)
def test_an_audit_gives_each_pair_the_reason_and_goes_on(
    fault: ShardFault, audited: tuple[Path, Any]
) -> None:
    part = pq.read_table(audited[0] / f"audit/scores/{fault.name}.parquet")
    statuses = Counter(part["status"].to_pylist())
    n_good = statuses.pop("scored", 0)
    assert statuses == {str(status): n for status, n in fault.rejects.items()}
    assert n_good == fault.n_good


def reasons(rows: list[Mapping[str, Any]]) -> Counter[tuple[str, ...]]:
    names = ("shard", "key", "status", "detail")
    return Counter(tuple(str(row[name]) for name in names) for row in rows)


def test_the_preflight_gives_the_reasons_of_the_audit(audited: tuple[Path, Any]) -> None:
    folder, _ = audited
    tables = [pq.read_table(path).to_pylist() for path in folder.glob("audit/scores/*.parquet")]
    rejected = [row for table in tables for row in table if row["status"] != "scored"]
    found = json.loads(ncaudit("validate", folder / "shards", "--json", "--quiet").stdout)
    pairs = [
        defect
        for defect in found["defects"]
        if defect["caption_index"] is not None or defect["status"] == "shard_unreadable"
    ]
    assert reasons(pairs) == reasons(rejected)
    assert found["totals"]["pairs"] == sum(map(len, tables))
