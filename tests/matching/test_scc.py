"""Self-refining correspondence correction: one step, the schedule, and what always holds."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from ncaudit.matching.scc import (
    LabelPhase,
    SccSchedule,
    guarded_labels,
    refine_correspondence,
)
from tests.golden.make_golden import stored

GOLDEN = stored()
UNIT = st.floats(0.0, 1.0)


def test_golden_step() -> None:
    """0.8 * 1 + 0.2 * 0.9 = 0.98; 0.8 * 0.5 + 0.2 * 0.1 = 0.42; 0.04 + 0.08 = 0.12."""
    got = refine_correspondence(np.array([1, 0.5, 0.05]), np.array([0.9, 0.1, 0.4]))
    np.testing.assert_allclose(got, GOLDEN["G3.one step"], rtol=1e-14)


def test_golden_trace() -> None:
    labels = np.array([1.0, 0.6, 0.12])
    for p, expected in zip(
        ([0.95, 0.02, 0.05], [0.9, 0.01, 0.6], [0.97, 0.01, 0.9]), GOLDEN["G3.trace"], strict=True
    ):
        labels = refine_correspondence(labels, np.array(p))
        np.testing.assert_allclose(labels, expected, rtol=1e-14)


def test_golden_schedule() -> None:
    schedule = SccSchedule(pieces=(2, 1), warmup=2)
    stored_labels, trace = np.ones(3), []
    for piece in range(2):
        for epoch in range(schedule.n_epochs(piece)):
            p = np.array([0.9, 0.2, 0.04]) + 0.01 * epoch
            use, stored_labels = schedule.update(stored_labels, p, piece=piece, epoch=epoch)
            trace.append([piece, epoch, use, stored_labels])
    for got, expected in zip(trace, GOLDEN["G3.sched"], strict=True):
        assert got[:2] == expected[:2]
        np.testing.assert_allclose(got[2], expected[2], rtol=1e-14)
        np.testing.assert_allclose(got[3], expected[3], rtol=1e-14)


def test_phases_of_a_schedule() -> None:
    schedule = SccSchedule(pieces=(1, 1), warmup=2)
    phases = [schedule.phase(piece=p, epoch=e) for p in range(2) for e in range(3)]
    frozen, blended = LabelPhase.FROZEN, LabelPhase.BLENDED
    assert phases == [frozen, LabelPhase.INITIALISED, blended, frozen, frozen, blended]


def test_hopeless_pair_is_zeroed_after_eleven_updates() -> None:
    label, n_updates = np.ones(1), 0
    while label[0] > 0:
        label, n_updates = refine_correspondence(label, np.zeros(1)), n_updates + 1
    assert n_updates == GOLDEN["G3.epochs for y=1,p=0 to be zeroed"]


def test_zeroed_label_comes_back_only_for_a_believed_pair() -> None:
    got = refine_correspondence(np.zeros(2), np.array([0.49, 0.51]))
    np.testing.assert_allclose(got, [0.0, 0.102])


def test_dtype_and_inputs_are_kept() -> None:
    labels = np.array([0.5, 1.0], np.float32)
    got = refine_correspondence(labels, np.array([0.1, 0.2]))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(labels, np.array([0.5, 1.0], np.float32))


@given(arrays(np.float64, 7, elements=UNIT), arrays(np.float64, 7, elements=UNIT), UNIT, UNIT)
def test_labels_stay_probabilities(
    labels: np.ndarray, p: np.ndarray, momentum: float, floor: float
) -> None:
    got = refine_correspondence(labels, p, momentum=momentum, floor=floor)
    assert ((got >= 0) & (got <= 1)).all()
    assert ((got == 0) | (got >= floor)).all()


@given(
    arrays(np.float64, 5, elements=UNIT),
    arrays(np.float64, 5, elements=UNIT),
    st.permutations(range(5)),
)
def test_pairs_do_not_see_each_other(labels: np.ndarray, p: np.ndarray, order: list[int]) -> None:
    got = refine_correspondence(labels[order], p[order])
    np.testing.assert_array_equal(got, refine_correspondence(labels, p)[order])


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_values_outside_the_unit_interval_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="match_probability"):
        refine_correspondence(np.ones(1), np.array([bad]))
    with pytest.raises(ValueError, match="momentum"):
        refine_correspondence(np.ones(1), np.ones(1), momentum=1.5)
    with pytest.raises(ValueError, match="probabilities"):
        refine_correspondence(np.ones(2), np.ones(1))
    with pytest.raises(ValueError, match="pieces"):
        SccSchedule(pieces=())


def test_labels_of_a_model_that_believes_are_its_match_probabilities() -> None:
    p = np.array([0.9, 0.8, 0.1, 0.0, 0.7])
    np.testing.assert_array_equal(guarded_labels(p), p)


def test_guard_gives_right_pairs_high_labels_where_none_is_believed() -> None:
    rng = np.random.default_rng(0)
    is_right = np.arange(500) < 100
    p = np.exp(np.where(is_right, rng.normal(-2.5, 0.3, 500), rng.normal(-7, 0.5, 500)))
    labels = guarded_labels(p.astype(np.float32))
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels > 0.5, is_right)
    np.testing.assert_array_equal(guarded_labels(p, guard=0.0), p)


@given(arrays(np.float64, st.integers(0, 12), elements=UNIT))
@settings(max_examples=15, deadline=None)
def test_guarded_labels_stay_probabilities(p: np.ndarray) -> None:
    labels = guarded_labels(p, guard=1.0)
    assert ((labels >= 0) & (labels <= 1)).all()
    assert labels.shape == p.shape
