"""The signals of the audit keep what further signals have to promise."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from ncaudit.audit.fit_model import fit_model
from ncaudit.audit.model import AuditModel
from ncaudit.config import BankConfig, FitConfig, HeadsConfig, MetaConfig
from ncaudit.matching.pairs import Pairs
from ncaudit.report.columns import SIGNAL_COLUMNS, Column
from ncaudit.signals.base import ScoredPairs
from ncaudit.testing import SignalSuite
from ncaudit.types import Floats
from tests.signals.latent_pairs import card, latent_pairs

CONFIG = FitConfig(
    heads=HeadsConfig(dim=24, pieces=(1,), batch=128),
    bank=BankConfig(loss_batch=64, repeats=2),
    meta=MetaConfig(steps=10),
)


@dataclass(frozen=True)
class OwnSignal:
    """A column of the table as a signal: what the model says of pairs that it was not fitted on."""

    model: AuditModel
    name: str
    meaning: str
    bad: Literal["high", "low", ""]

    def measure(self, pairs: ScoredPairs) -> Floats:
        ids = np.array([int(text) for text in pairs.text], np.uint64)
        return self.model.score(Pairs(pairs.image, pairs.caption, ids, ids)).signals[self.name]


@pytest.fixture(scope="module")
def model() -> AuditModel:
    return fit_model(latent_pairs(300)[0], CONFIG, card(aligned=False), seed=0)


@pytest.fixture(scope="module")
def strangers() -> ScoredPairs:
    pairs, _ = latent_pairs(12, seed=5)
    text = [str(number) for number in pairs.image_id]
    return ScoredPairs(pairs.image, pairs.caption, text, aligned=False, columns={})


@pytest.mark.slow
@pytest.mark.parametrize("column", SIGNAL_COLUMNS, ids=lambda column: column.name)
def test_a_signal_of_the_audit_keeps_its_promises(
    model: AuditModel, strangers: ScoredPairs, column: Column
) -> None:
    own = OwnSignal(model, column.name, column.meaning, column.bad)
    SignalSuite(own, strangers).run()
