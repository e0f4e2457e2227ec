import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner  # noqa: TID251 - the command line is what is tested

from ncaudit import __version__
from ncaudit.cli._app import app
from ncaudit.cli.clean import brace_range
from ncaudit.shards.discover import discover_shards
from tests.support.runs import write_run
from tests.support.shards import pair

HEAVY = {
    "torch", "pandas", "pyarrow", "faiss", "open_clip", "sklearn", "scipy", "PIL", "numpy", "fsspec",
    "msgspec", "tomlkit",
}  # fmt: skip
SHARDS = {"00000": [("a", pair("red", "red")), ("b", pair("blue", "red"))]}


def ncaudit(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom ncaudit.cli import main\nsys.argv = ['ncaudit', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "[]\n"
    assert "Usage: ncaudit" in done.stdout


def test_the_module_is_the_command() -> None:
    words = [sys.executable, "-m", "ncaudit", "--version"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"ncaudit {__version__}\n"


@pytest.mark.parametrize("command", [[], ["clean"], ["demo"], ["doctor"]])
def test_every_command_has_help_under_both_names(command: list[str]) -> None:
    short, long = ncaudit(*command, "-h"), ncaudit(*command, "--help")
    assert (short.exit_code, short.output) == (0, long.output)


@pytest.mark.parametrize(
    ("words", "error", "command"),
    [
        (["cleen"], "No such command 'cleen'", ""),
        (["clean", "--nope"], "No such option: --nope", " clean"),
        (["clean", "--threshold", "2"], "Invalid value for '--threshold': ", " clean"),
        (["explain", "audit"], "Missing argument 'KEY'", " explain"),
        (["score", "x", "--seed", "one"], "Invalid value for '--seed': ", " score"),
    ],
)
def test_a_usage_error_is_one_line_and_a_hint(words: list[str], error: str, command: str) -> None:
    done = ncaudit(*words)
    first, second = done.stderr.splitlines()
    assert (done.exit_code, done.stdout) == (2, "")
    assert first.startswith(f"error: {error}")
    assert second == f" hint: See all options: root{command} --help"


def test_without_a_command_the_help_is_shown() -> None:
    done = ncaudit()
    assert done.exit_code == 2
    assert "Usage: " in done.output


def test_clean_writes_shards_and_says_what_it_did(tmp_path: Path) -> None:
    run = write_run(tmp_path, SHARDS, {("b", 0): 0.75})
    done = ncaudit("clean", run, "-o", tmp_path / "out", "--quiet")
    assert done.exit_code == 0
    assert (tmp_path / "out/00000.tar").exists()
    assert done.stderr == ""
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "pairs               2",
        "  kept              1 (50.0%)",
        "  dropped           1 (50.0%)",
        "  rejected          0 (0.0%)",
        "samples kept        1 of 2",
        "threshold           0.5",
        "mismatches removed  about 1, by p_mismatch",
        "good pairs lost     about 0",
        "mismatches left     about 0",
        f"cleaned shards      {tmp_path}/out",
        f"rejected            {tmp_path}/out/rejected",
        "",
        "train on them:",
        "  python -m open_clip_train.main --dataset-type webdataset"
        f" --train-data {tmp_path}/out/00000.tar --train-num-samples 1"
        " --workers 1 --batch-size 1",
    ]


def test_clean_prints_json_for_programs(tmp_path: Path) -> None:
    run = write_run(tmp_path, SHARDS, {("b", 0): 0.75})
    done = ncaudit("clean", run, "-o", tmp_path / "out", "--json", "--keep-fraction", 1)
    summary = json.loads(done.stdout)
    assert (summary["chosen_by"], summary["totals"]["n_kept"]) == ("keep_fraction", 2)
    assert summary["tars"] == ["00000.tar"]


def test_clean_of_no_run_is_exit_3_with_a_hint(tmp_path: Path) -> None:
    done = ncaudit("clean", tmp_path / "x")
    assert done.exit_code == 3
    assert done.stderr == (
        f"error: {tmp_path}/x is not a run directory: it has no run.json\n"
        f" hint: Score the shards first: ncaudit score SHARDS -o {tmp_path}/x\n"
    )


def test_clean_refuses_two_ways_to_choose(tmp_path: Path) -> None:
    done = ncaudit("clean", tmp_path, "--threshold", 0.5, "--max-good-loss", 0.1)
    assert (done.exit_code, "both given" in done.stderr) == (2, True)


def test_clean_refuses_a_folder_of_another_cleaning(tmp_path: Path) -> None:
    run = write_run(tmp_path, SHARDS, {})
    assert ncaudit("clean", run, "-o", tmp_path / "out").exit_code == 0
    done = ncaudit("clean", run, "-o", tmp_path / "out", "--threshold", 0.25)
    assert (done.exit_code, "threshold: 0.5 -> 0.25" in done.stderr) == (5, True)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["00000.tar"], "00000.tar"),
        (["00000.tar", "00001.tar", "00002.tar"], "{00000..00002}.tar"),
        (["8.tar", "9.tar", "10.tar"], "{{8..9},10}.tar"),
        (["00000.tar", "00002.tar", "00003.tar"], "{00000,{00002..00003}}.tar"),
        (["a.tar", "x/00000.tar"], "{a,x/00000}.tar"),
    ],
)
def test_tars_become_one_brace_pattern(tmp_path: Path, names: list[str], pattern: str) -> None:
    assert brace_range(names) == pattern
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = discover_shards([f"{tmp_path}/{pattern}"])
    assert sorted(shard.path for shard in found) == sorted(f"{tmp_path}/{name}" for name in names)


def test_demo_says_what_it_drew_and_what_to_do_next(tmp_path: Path) -> None:
    done = ncaudit("demo", "-o", tmp_path / "demo", "--pairs", 20)
    assert done.exit_code == 0
    assert f"ncaudit score {tmp_path}/demo" in done.stdout
    assert ncaudit("demo", "-o", tmp_path / "demo", "--pairs", 20).exit_code == 5


def test_doctor_reports_and_does_not_crash() -> None:
    report = json.loads(ncaudit("doctor", "--json").stdout)
    assert report["versions"]["ncaudit"] == __version__
    assert report["device"]["n_cores"] >= 1
    assert "bundled" in report["encoders"]
    assert report["system"]["worker process"].startswith("starts in ")
    assert report["system"]["free space here"].endswith(" GB")
    assert set(report["system"]) >= {"open files", "shared memory"}
    assert ncaudit("doctor").exit_code == 0
