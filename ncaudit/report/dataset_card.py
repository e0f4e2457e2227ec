"""The card of a cleaned data set: README.md as the Hugging Face hub reads it."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ncaudit import __version__
from ncaudit.report.html import environment

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_LARGEST = "n>1B"
_UNKNOWN: dict[str, Any] = {
    "estimated_noise_rate": None,
    "noise_rate_low": None,
    "noise_rate_high": None,
    "self_check": {},
    "banner": "",
}


def dataset_card(
    tars: Sequence[str],
    totals: Mapping[str, int | float],
    *,
    threshold: float,
    encoder: str,
    summary: Mapping[str, Any],
) -> str:
    """Return the card as Markdown after a YAML head.

    Args:
        tars: The cleaned tars, relative to the card.
        totals: What a cleaning counts over all shards, by the names in `CleanTally`.
        threshold: Pairs with `p_mismatch` at or above it left.
        encoder: Name of the encoder.
        summary: summary.json of the run; what is not in it is not said.
    """
    card = environment().overlay(keep_trailing_newline=True)
    page: str = card.get_template("dataset_card.md.j2").render(
        size=size_category(int(totals["n_samples_kept"])),
        paths=[_as_yaml(path) for path in tar_globs(tars)],
        n_tars=len(tars),
        totals=totals,
        threshold=threshold,
        encoder=encoder,
        summary={**_UNKNOWN, **summary},
        version=__version__,
    )
    return page


def tar_globs(tars: Sequence[str]) -> list[str]:
    """Return a glob for each folder that has tars, so that `rejected/` is not among them."""
    return sorted({str(PurePosixPath(tar).parent / "*.tar") for tar in tars})


def size_category(n_samples: int) -> str:
    """Return the hub's word for a number of samples."""
    return next((name for limit, name in _SIZES if n_samples < limit), _LARGEST)


def _as_yaml(path: str) -> str:
    # Single quotes hold anything printable; only they themselves are doubled.
    return "'" + path.replace("'", "''") + "'"
