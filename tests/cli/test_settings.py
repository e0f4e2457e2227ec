"""Options, config files and defaults: which wins, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import typer  # noqa: TID251 - the command line is what is tested

from ncaudit.api.sections import SECTIONS, dotted_keys
from ncaudit.api.settings import _RANGES
from ncaudit.api.settle import settle
from ncaudit.cli._app import app
from ncaudit.cli._settings import NO_SETTINGS, place_of
from tests.support.audits import ncaudit

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def options(command: str) -> dict[str, Any]:
    return {
        each.name: each.default
        for each in COMMANDS[command].params
        if each.name not in (*NO_SETTINGS, "help")
    }


@pytest.mark.parametrize("command", SECTIONS)
def test_every_option_is_a_key_of_the_config_file(command: str) -> None:
    keys = {".".join(place_of(option)) for option in options(command)}
    assert keys <= set(dotted_keys(SECTIONS[command]))


@pytest.mark.parametrize("command", SECTIONS)
def test_the_help_shows_the_defaults_that_are_used(command: str) -> None:
    settings = SECTIONS[command]()
    for option, default in options(command).items():
        used: Any = settings
        for name in place_of(option):
            used = getattr(used, name)
        shown = tuple(default) if isinstance(default, list) else default
        assert (shown or None) == (used or None), option


@pytest.mark.parametrize("command", SECTIONS)
def test_a_printed_config_reads_back_to_the_same_settings(command: str, tmp_path: Path) -> None:
    printed = ncaudit(command, "--print-config")
    assert (printed.exit_code, printed.stderr) == (0, "")
    file = tmp_path / "ncaudit.toml"
    file.write_text(printed.stdout)
    assert settle(SECTIONS[command], {}, file) == SECTIONS[command]()
    assert ncaudit(command, "--print-config", "--config", file).stdout == printed.stdout


def test_all_sections_fit_into_one_file(tmp_path: Path) -> None:
    file = tmp_path / "ncaudit.toml"
    file.write_text("".join(ncaudit(command, "--print-config").stdout for command in SECTIONS))
    assert ncaudit("train", "--print-config", "--config", file).exit_code == 0


def test_options_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "ncaudit.toml"
    file.write_text(
        "[score]\nseed = 3\nbatch_size = 8\n[score.rematch]\nenabled = false\npool = 'all'\n"
    )
    words = ["--config", file, "--seed", 4, "--rematch", "--rematch-within", "folder"]
    shown = ncaudit("score", "a/", "b/", *words, "--print-config").stdout.splitlines()
    expected = ['shards = ["a/", "b/"]', "seed = 4", "batch_size = 8", "enabled = true"]
    assert {*expected, 'pool = "all"', 'within = "folder"', "workers = 0"} <= set(shown)


def test_a_default_that_is_typed_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ncaudit.toml"
    file.write_text("[score]\nseed = 3\n")
    shown = ncaudit("score", "--config", file, "--seed", 0, "--print-config").stdout
    assert "\nseed = 0\n" in shown


def test_no_shards_are_exit_2(tmp_path: Path) -> None:
    done = ncaudit("score", "-o", tmp_path / "audit")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: no shards are named\n hint: Name folders")


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("[score]\nsead = 1", "unknown key 'sead' in {file}", "Did you mean 'seed'?"),
        ("[score.fit]\nfolds = 3", "unknown key 'fit.folds'", "Did you mean 'fit.heads.folds'?"),
        ("[score]\nworkers = 2", "unknown key 'workers'", "Did you mean 'engine.workers'?"),
        ("[scor]\nseed = 1", "unknown section 'scor'", "Did you mean 'score'?"),
        ("seed = 1", "'seed' in {file} is in no section", "such as [score]"),
        ("score = 1", "'score' in {file} is no section", "Write [score]."),
        ("[score]\nseed = 'a'", "{file}: seed: expected int, got string", ""),
        ("[score]\nseed = 1.5", "{file}: seed: expected int, got float", ""),
        ("[score]\nseed = true", "{file}: seed: expected int, got true or false", ""),
        ("[score]\nshards = 'a'", "{file}: shards: expected list, got string", ""),
        ("[score]\nfit = 1", "{file}: fit: expected table, got int", ""),
        ("[score]\nout = ''", "{file}: out: expected path, got string", ""),
        ("[score.fit]\nplanted_fraction = nan", "planted_fraction' in {file} is nan", "finite"),
        ("[score.fit.heads]\nobjective = 'x'", "unknown value 'x'", "Use one of: crcl, srem."),
        ("[score.fit.heads]\nfolds = 1", "1 folds are too few", "Use 2 or more."),
        ("[score]\nbatch_size = 0", "batch_size is 0", "Give a number from 1 on."),
        ("[score]\nseed = -1", "seed is -1", "Give a number from 0 on."),
        ("[score.engine]\nworkers = -2", "engine.workers is -2", "Give a number from 0 on."),
        ("[score.rematch]\nflagged_p = 2", "flagged_p is 2", "Give a number from 0 to 1."),
        ("[score", "{file} is no TOML: ", "--print-config"),
        ("[score]\nseed = 1\nseed = 2", "{file} is no TOML: ", "--print-config"),
    ],
)
def test_a_wrong_config_file_is_one_line_and_a_hint(
    tmp_path: Path, text: str, error: str, hint: str
) -> None:
    file = tmp_path / "ncaudit.toml"
    file.write_text(text)
    done = ncaudit("score", "x.tar", "--config", file)
    first, second = done.stderr.splitlines()
    assert (done.exit_code, done.stdout) == (2, "")
    assert error.format(file=file) in first
    assert hint in second


def test_a_config_file_that_cannot_be_read_is_one_line_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"[score]\nout = '\xe9'\n")
    for file in (tmp_path / "none.toml", tmp_path, tmp_path / "latin.toml"):
        done = ncaudit("score", "x.tar", "--config", file)
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 2), done.stderr


def test_every_range_is_that_of_a_key() -> None:
    known = {key for kind in SECTIONS.values() for key in dotted_keys(kind)}
    assert known >= _RANGES.keys()
