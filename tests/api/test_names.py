"""What `import ncaudit` gives."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import ncaudit
from ncaudit.api.bench import BenchOptions
from ncaudit.api.clean import CleanOptions
from ncaudit.api.evaluate import EvaluateOptions
from ncaudit.api.given import AnyPath
from ncaudit.api.score import ScoreOptions
from ncaudit.api.sections import SECTIONS, keys_of, meaning_of
from ncaudit.api.train import TrainOptions

OPTIONS = {
    "score": ScoreOptions,
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "bench": BenchOptions,
    "clean": CleanOptions,
}
# Arguments with a name of their own.
NAMED = {"shards", "out", "run"}


def test_importing_ncaudit_imports_nothing_heavy() -> None:
    code = (
        "import sys, ncaudit; print(sorted({'torch', 'numpy', 'typer', 'rich'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert sorted(ncaudit.__all__, key=str.lower) == sorted(set(ncaudit.__all__), key=str.lower)
    for name in ncaudit.__all__:
        assert getattr(ncaudit, name) is not None
        assert name in dir(ncaudit)
    with pytest.raises(AttributeError, match="no attribute 'scor'"):
        ncaudit.scor  # type: ignore[attr-defined]  # noqa: B018 - asking is the test


def test_the_package_says_that_it_has_types() -> None:
    assert (Path(ncaudit.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("command", OPTIONS)
def test_a_function_takes_every_setting_of_its_command(command: str) -> None:
    taken: dict[str, Any] = get_type_hints(OPTIONS[command])
    named = NAMED | ({"model"} if command == "evaluate" else set())
    assert taken.keys() == keys_of(SECTIONS[command]).keys() - named


@pytest.mark.parametrize("command", OPTIONS)
def test_settings_are_taken_in_their_own_types(command: str) -> None:
    keys = keys_of(SECTIONS[command])
    for name, hint in get_type_hints(OPTIONS[command]).items():
        # Paths may be text, and names of an enumeration too.
        if hint not in (AnyPath, str, tuple[str, ...]):
            assert hint == keys[name] or (hint | None) == keys[name], name


@pytest.mark.parametrize("command", SECTIONS)
def test_every_setting_has_a_meaning(command: str) -> None:
    assert all(meaning_of(SECTIONS[command], name) for name in keys_of(SECTIONS[command]))
