from pathlib import Path

import pytest
from PIL import Image

from ncaudit.report.bench_plots import plot_case, plots_available

CURVES = {
    "false_positive_rate": [0.0, 0.25, 1.0],
    "true_positive_rate": [0.1, 0.9, 1.0],
    "recall": [0.0, 0.5, 1.0],
    "precision": [1.0, 0.9, 0.4],
}
SEED = {
    "fusion": CURVES | {"reliability": [[60, 0.1, 0.12], [40, 0.9, 0.85]]},
    "lemon_fixed": CURVES,
    "a_signal": CURVES,
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots")
    plot_case("caption noise at 40 %", [SEED, SEED], folder / "a")
    return folder


def test_both_plots_are_pictures(drawn: Path) -> None:
    assert plots_available()
    with (
        Image.open(drawn / "a/roc-pr.png") as two,
        Image.open(drawn / "a/reliability.png") as one,
    ):
        assert two.width > one.width > 300


def test_the_same_numbers_draw_the_same_file(drawn: Path) -> None:
    again = plot_case("caption noise at 40 %", [SEED, SEED], drawn / "b")
    assert [file.name for file in again] == ["reliability.png", "roc-pr.png"]
    for file in again:
        assert file.read_bytes() == (drawn / "a" / file.name).read_bytes()


def test_what_is_drawn_depends_on_the_numbers(drawn: Path) -> None:
    better = {"fusion": SEED["fusion"] | {"true_positive_rate": [0.5, 1.0, 1.0]}}
    plot_case("caption noise at 40 %", [better], drawn / "c")
    name = "roc-pr.png"
    assert (drawn / "c" / name).read_bytes() != (drawn / "a" / name).read_bytes()


def test_without_mismatches_only_reliability_is_drawn(drawn: Path) -> None:
    calm = {"fusion": {"reliability": [[100, 0.01, 0.0]]}}
    assert [file.name for file in plot_case("none", [calm], drawn / "d")] == ["reliability.png"]
