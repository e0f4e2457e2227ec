"""Regenerate golden.json from the equations: float64, entry by entry, without ncaudit.

Kept as they were handed down, for they are about the stopping rule of released code or need
100,000 iterations: the entries of HANDED_DOWN.
From the project's root: python -m tests.golden.make_golden
"""

import json
from pathlib import Path
from typing import Any

from tests.golden.oracle_losses import crcl, mscn, srem
from tests.golden.oracle_mixtures import beta_mixture, calibration, ncr_and_lemon
from tests.golden.oracle_transport import transport

PATH = Path(__file__).with_name("golden.json")
HANDED_DOWN = frozenset(
    {
        "G5.   mass,row mass*3,its",
        "G5.   released stop (thr 1e-3) mass,its",
        "G5.partialOT masked s=0.6667 reg=0.01 (converged)",
    }
)


def stored() -> dict[str, Any]:
    golden: dict[str, Any] = json.loads(PATH.read_text())
    return golden


def computed() -> dict[str, Any]:
    parts = (srem, crcl, mscn, beta_mixture, calibration, ncr_and_lemon, transport)
    return {name: value for part in parts for name, value in part().items()}


def main() -> None:
    golden = stored() | computed()
    PATH.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
