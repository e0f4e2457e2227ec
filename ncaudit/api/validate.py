"""Look for defects of shards from Python."""

from dataclasses import dataclass

from ncaudit.api.given import AnyPath, Shards, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.settings import ValidateSettings
from ncaudit.api.settle import settle
from ncaudit.audit.stages import StageProgress
from ncaudit.audit.validate import Defect, OnDefect, Validation, validate_shards
from ncaudit.shards.decode import decode_image


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a look at shards found.

    Attributes:
        totals: Counts of shards, samples, pairs and defects.
        defects: Every defect, in shard order.
    """

    totals: Validation
    defects: tuple[Defect, ...]


def validate(
    shards: Shards = (),
    *,
    captions: str | None = None,
    decode: bool | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
) -> Preflight:
    """Read shards as `score` does and return every defect; writes nothing.

    Images are decoded in a process of its own, so a script that calls this needs its
    `if __name__ == "__main__"`.

    Args:
        shards: Folders, globs, brace ranges, @lists or URLs.
        captions: Where captions are: `auto`, `txt` or `json:FIELD`.
        decode: Whether images are decoded too; they are if not given.
        config: TOML file with a section `validate`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.

    Raises:
        NcauditError: If there are no shards, or a setting is wrong. Defects are no error.
    """
    wanted = given({}, shards=shards, captions=captions, decode=decode)
    settings = settle(ValidateSettings, wanted, config)
    defects: list[Defect] = []
    totals = run_validate(settings, defects.append, shown_by(progress))
    return Preflight(totals, tuple(defects))


@refusing_bad_paths()
def run_validate(
    settings: ValidateSettings, on_defect: OnDefect, progress: StageProgress | None = None
) -> Validation:
    """Look with settled settings, and tell each defect as it is found.

    Args:
        settings: All settings.
        on_defect: Called with each defect.
        progress: Who is told how far it is, in bytes.

    Raises:
        NcauditError: See `ncaudit.audit.validate.validate_shards`.
    """
    decode = decode_image if settings.decode else None
    return validate_shards(
        settings.patterns, on_defect, progress, captions=settings.captions, decode=decode
    )
