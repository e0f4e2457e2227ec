from pathlib import Path

import numpy as np
import pytest

from ncaudit.report.figures import N_STEPS, count_figures, signal_agreement, steps_of
from ncaudit.report.groups import script_of
from ncaudit.report.parts import read_part
from ncaudit.report.selection import choose_pairs
from tests.support.scored_runs import many_pairs, write_scored_run


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("figures")
    run = write_scored_run(folder, *many_pairs(80), repairs={"00003": "better", "00050": "best"})
    return sorted((run / "scores").glob("*.parquet"))


def p_of(parts: list[Path]) -> np.ndarray:
    return np.concatenate([read_part(part)["p_mismatch"].to_numpy() for part in parts])


def test_steps_tell_exactly_what_each_threshold_drops() -> None:
    p = np.append(np.random.default_rng(0).random(1000), np.arange(N_STEPS + 1) / N_STEPS)
    steps = steps_of(p)
    for k in range(N_STEPS + 1):
        assert np.array_equal(steps >= k, p >= k / N_STEPS)


def test_counts_and_sums_are_those_of_the_pairs(parts: list[Path]) -> None:
    figures, p = count_figures(parts, n_pairs=80), p_of(parts)
    assert figures.counts.sum() == 80
    assert figures.counts[50:].sum() == (p >= 0.5).sum()
    assert figures.sums[50:].sum() == pytest.approx(p[p >= 0.5].sum())


def test_groups_divide_the_pairs(parts: list[Path]) -> None:
    tables = {table.title: table.groups for table in count_figures(parts, n_pairs=80).tables}
    sizes = {title: [int(x.counts.sum()) for x in groups] for title, groups in tables.items()}
    assert sizes == {
        "Shard": [40, 40],
        "Caption length": [80],
        "Script of the caption": [80],
        "Shortest side of the image": [80],
    }


def test_empty_signals_are_left_out_of_the_agreement(parts: list[Path]) -> None:
    agreement = count_figures(parts, n_pairs=80).agreement
    assert agreement is not None
    assert "mscn_similarity" not in agreement.names
    assert len(agreement.names) == 9


def test_agreement_is_one_where_two_signals_suspect_the_same_pairs() -> None:
    rows = np.full((50, 12), np.nan)
    rows[:, 0] = np.linspace(0, 1, 50)
    rows[:, 1] = -(rows[:, 0] ** 3)  # similarity: low is bad
    rows[:, 3] = -rows[:, 0]  # energy: high is bad
    agreement = signal_agreement(rows)
    assert agreement is not None
    assert agreement.names == ("p_mismatch", "similarity", "srem_energy_i2t")
    assert agreement.correlation[0] == pytest.approx([1, 1, -1])


def test_a_few_pairs_cannot_agree() -> None:
    assert signal_agreement(np.random.default_rng(0).random((29, 12))) is None


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("a dog", "Latin"),
        ("собака бежит", "Cyrillic"),
        ("一只狗", "Han"),
        ("犬が走る", "Japanese"),
        ("كلب", "Arabic"),
        ("123 !?", "no letters"),
        ("", "no letters"),
    ],
)
def test_captions_have_the_script_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_the_worst_the_borderline_and_the_repairs_are_chosen(parts: list[Path]) -> None:
    chosen, p = choose_pairs(parts, n_each=5, threshold=0.5), p_of(parts)
    found = {
        name: [40 * x.part + x.row for x in chosen if name in x.sets]
        for name in ("worst", "borderline", "repairs", "sample")
    }
    assert found["worst"] == np.argsort(-p, kind="stable")[:5].tolist()
    assert set(found["borderline"]) == set(np.argsort(np.abs(p - 0.5))[:5].tolist())
    assert sorted(found["repairs"]) == [3, 50]
    assert len(found["sample"]) == 5
