"""Equal captions are encoded once."""

from collections.abc import Callable, Sequence

from ncaudit.types import Floats


def encode_distinct(captions: Sequence[str], encode: Callable[[Sequence[str]], Floats]) -> Floats:
    """Encode each distinct caption once and repeat its row wherever it stands.

    Args:
        captions: At least one caption.
        encode: Maps k captions to (k, d), in order.

    Returns:
        Shape (n, d).
    """
    rows: dict[str, int] = {}
    where = [rows.setdefault(caption, len(rows)) for caption in captions]
    return encode(list(rows))[where]
