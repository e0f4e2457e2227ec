"""The rows of the cleaned tables: what the kept pairs are now, and what they were."""

from typing import Any

from ncaudit.audit.clean_plan import Rules, ShardPlan
from ncaudit.audit.decide import Human, Outcome
from ncaudit.types import Bools, Ints

_PROPOSAL = ("rematch_shard", "rematch_key", "rematch_confidence")


def kept_rows(plan: ShardPlan, chosen: Bools, rules: Rules) -> tuple[Any, dict[str, Any]]:
    """Return the chosen kept rows as they are after cleaning, and the columns to add.

    A rematched pair has the new caption and the numbers of the new pair; its interval is
    not known. The added column `weight`, in [0, 1], is how much a pair should count in
    training: 1 - `p_mismatch` of the caption it has now, and 1 where a person said that it
    matches. Where proposals are applied, further columns hold the caption it had and where
    the new one comes from; they are empty for other pairs.

    Args:
        plan: The pairs of a shard.
        chosen: Which of its rows, shape (n,); all of them kept.
        rules: What decided.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = plan.rows.filter(chosen)
    human = plan.human[chosen]
    if rules.min_confidence is None:
        return rows, {"weight": _weight(rows, human)}
    is_new = pa.array((plan.outcome == Outcome.REMATCHED)[chosen])

    def only_new(name: str) -> Any:
        return pc.if_else(is_new, rows[name], pa.scalar(None, rows[name].type))

    more = {"original_caption": only_new("caption")} | {n: only_new(n) for n in _PROPOSAL}
    for name in ("caption", "p_mismatch", "similarity"):
        new = pc.if_else(is_new, rows[f"rematch_{name}"], rows[name])
        rows = rows.set_column(rows.column_names.index(name), name, new)
    for name in ("p_low", "p_high"):
        known = pc.if_else(is_new, pa.scalar(None, rows[name].type), rows[name])
        rows = rows.set_column(rows.column_names.index(name), name, known)
    return rows, {"weight": _weight(rows, human)} | more


def _weight(rows: Any, human: Ints) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    says_so = pa.array((human == Human.MATCH) | (human == Human.REMATCH))
    return pc.if_else(says_so, 1.0, pc.subtract(1.0, rows["p_mismatch"]))
