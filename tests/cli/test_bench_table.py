import pytest

from ncaudit.audit.bench.summary import summarise_cases
from ncaudit.cli._bench_table import show_case


def entry(seed: int, auroc: float) -> dict[str, object]:
    numbers = dict.fromkeys(("precision_at_k", "recall_at_95", "ap"), 0.5)
    empty = dict.fromkeys(("f1_at_half", "ece", "brier", "estimated_rate"))
    row = {"method": "lemon_fixed", "kind": "baseline", "auroc": auroc} | numbers | empty
    kept = {"method": "fusion", "n_kept": 1234 + seed, "rsum": 200.0, "recovery": 0.5}
    return {
        "case": "1:topic:0.4",
        "seed": seed,
        "n_pairs": 2000,
        "true_rate": 0.391,
        "rows": [row],
        "downstream": {"rows": [kept]},
    }


def lines(capsys: pytest.CaptureFixture[str], *entries: dict[str, object]) -> list[str]:
    (case,) = summarise_cases(entries)
    show_case(case)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_one_seed_shows_plain_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, entry(0, 0.75))[:3] == [
        "1:topic:0.4: 2,000 pairs, 39.1% mismatched, 1 seed",
        "method       AUROC     AP  P@true  R@P95  F1@.5  ECE  Brier  rate",
        "lemon_fixed  0.750  0.500   0.500  0.500",
    ]


def test_several_seeds_show_mean_lowest_and_highest(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, entry(0, 0.7), entry(1, 0.9))
    assert "mean of 2 seeds (lowest, highest)" in shown[0]
    assert "0.800 (0.700, 0.900)" in shown[2]


def test_downstream_has_a_table_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, entry(0, 0.75))[3:] == [
        "retrieval on held-out clean pairs after the same training",
        "method   kept   rSum  recovery",
        "fusion  1,234  200.0     0.500",
    ]
