"""Signals and encoders of other packages."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ncaudit.encoders import ENCODERS, load_encoder
from ncaudit.errors import ConfigError
from ncaudit.signals import SIGNALS
from ncaudit.signals.base import ScoredPairs
from ncaudit.testing import EncoderSuite, SignalSuite
from ncaudit.types import Floats
from tests.support.audits import ncaudit, score, write_striped
from tests.support.installed import installed
from tests.support.shards import pair, write_shard

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin"
SIGNAL = "looks_like_file_name"


@pytest.fixture
def example(tmp_path: Path) -> Iterator[None]:
    """The example package, with the entry points that its pyproject.toml names."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    with installed(tmp_path / "site", project["name"], project["entry-points"], EXAMPLE):
        yield


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[None]:
    """A package whose module is not there."""
    groups = {
        f"ncaudit.{kind}s": {"broken": "gone:it"} for kind in ("signal", "encoder", "engine")
    }
    with installed(tmp_path / "broken", "ncaudit-broken", groups):
        yield


def part(folder: Path, name: str = "0") -> Any:
    return pq.ParquetFile(folder / f"audit/scores/{name}.parquet").read()


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("check", SignalSuite.names())
def test_the_signal_of_the_example_keeps_its_promises(check: str) -> None:
    getattr(SignalSuite(SIGNALS.load(SIGNAL)()), check)()


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("check", EncoderSuite.names())
def test_the_encoder_of_the_example_keeps_its_promises(check: str) -> None:
    getattr(EncoderSuite(load_encoder("thumbnail", "cpu")), check)()


@pytest.mark.usefixtures("example")
def test_a_signal_becomes_a_column_of_the_parts(tmp_path: Path) -> None:
    samples = [
        ("a", pair("red", "IMG_2041.jpg")),
        ("b", pair("blue", "red left")),
        ("c", {"txt": b"x"}),
    ]
    write_shard(tmp_path / "shards/0.tar", samples)
    assert score(tmp_path, "--signal", SIGNAL, encoder="thumbnail").exit_code == 6  # too few pairs
    table = part(tmp_path)
    assert table[SIGNAL].to_pylist() == [1.0, 0.0, None]
    assert table.column_names[-1] == SIGNAL


@pytest.mark.usefixtures("example", "toys")
def test_a_signal_changes_no_other_number(tmp_path: Path) -> None:
    write_striped(tmp_path, 2, 120)
    assert score(tmp_path).exit_code == 0
    before, plain = part(tmp_path), (tmp_path / "audit/audit.csv").read_bytes()
    assert score(tmp_path, "--signal", SIGNAL, "--overwrite", "--workers", 2).exit_code == 0
    assert (tmp_path / "audit/audit.csv").read_bytes() == plain
    assert part(tmp_path).drop_columns([SIGNAL]).equals(before)


@pytest.mark.usefixtures("example")
def test_a_run_with_another_signal_is_another_run(tmp_path: Path) -> None:
    write_striped(tmp_path, 1, 20)
    assert score(tmp_path).exit_code == 6
    done = score(tmp_path, "--signal", SIGNAL)
    assert done.exit_code == 5
    assert "looks_like_file_name of ncaudit-example 1.0" in done.stderr


@pytest.mark.parametrize(
    ("name", "error"),
    [("nope", "unknown signal 'nope'"), ("similarity", "would replace a column of the table")],
)
def test_a_signal_that_cannot_be_is_refused(tmp_path: Path, name: str, error: str) -> None:
    write_striped(tmp_path, 1, 5)
    done = score(tmp_path, "--signal", name)
    assert (done.exit_code, error in done.stderr) == (2, True)
    assert not (tmp_path / "audit").exists()


class Unfinished:
    meaning, bad = "Nothing yet.", ""

    def measure(self, pairs: ScoredPairs) -> Floats:
        if len(pairs) == 1:
            raise LookupError("only one")
        return np.full(3, np.inf)


def test_a_signal_that_fails_is_one_line_and_names_its_package(tmp_path: Path) -> None:
    groups = {"ncaudit.signals": {"unfinished": f"{__name__}:Unfinished"}}
    for n_pairs, said in ((1, "failed: LookupError('only one')"), (5, "did not give one finite")):
        folder = tmp_path / str(n_pairs)
        write_striped(folder, 1, n_pairs)
        with installed(folder / "site", "ncaudit-hasty", groups):
            done = score(folder, "--signal", "unfinished", encoder="toy-aligned")
        assert done.exit_code == 2, done.stderr
        assert said in done.stderr
        assert "ncaudit-hasty 1.0" in done.stderr.splitlines()[-1]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("option", ["--encoder", "--signal", "--engine"])
def test_a_package_that_cannot_be_imported_is_one_line_and_named(
    tmp_path: Path, option: str
) -> None:
    write_striped(tmp_path, 1, 5)
    done = ncaudit("score", tmp_path / "shards", "-o", tmp_path / "audit", option, "broken")
    kind = option.removeprefix("--")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"error: the {kind} 'broken' of the package ncaudit-broken 1.0 cannot be imported: "
        "ModuleNotFoundError: No module named 'gone'",
        " hint: Upgrade the package, or uninstall it: pip uninstall ncaudit-broken",
    ]


@pytest.mark.usefixtures("broken")
def test_a_broken_package_breaks_nothing_else() -> None:
    assert ncaudit("--help").exit_code == 0
    report = json.loads(ncaudit("doctor", "--json").stdout)
    assert "cannot be imported" in report["encoders"]["broken"]


def test_a_builtin_name_wins_over_a_package(tmp_path: Path) -> None:
    with installed(tmp_path, "usurper", {"ncaudit.encoders": {"bundled": "gone:it"}}):
        assert ENCODERS.targets()["bundled"] == ENCODERS.builtin["bundled"]
        assert ENCODERS.origin("bundled") == "ncaudit"


def test_without_packages_an_unknown_signal_says_so() -> None:
    with pytest.raises(ConfigError) as caught:
        SIGNALS.load("x")
    assert caught.value.hint == "None are installed."
