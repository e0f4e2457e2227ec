"""Measure on shards with planted noise from Python."""

from typing import Literal, TypedDict, Unpack

from ncaudit.api.given import AnyPath, Shards, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.settings import BenchSettings
from ncaudit.api.settle import settle
from ncaudit.audit.bench.run import BenchResult, bench_shards
from ncaudit.audit.score import raise_for_defects
from ncaudit.audit.stages import StageProgress
from ncaudit.config import FitConfig


class BenchOptions(TypedDict, total=False):
    """The fields of `BenchSettings` that `bench` takes by name."""

    encoder: str
    captions: str
    device: str
    batch_size: int
    torch_compile: bool
    noise: tuple[str, ...]
    rate: tuple[float, ...]
    seeds: int
    captions_per_image: int | Literal["all"]
    cache: AnyPath
    baselines: str
    downstream: bool
    fit: FitConfig


def bench(
    shards: Shards = (),
    *,
    output: AnyPath | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[BenchOptions],
) -> BenchResult:
    """Plant known mismatches in clean shards and measure how well they are found.

    Args:
        shards: Folders, globs, brace ranges, @lists or URLs.
        output: Folder to write; `bench` if not given.
        config: TOML file with a section `bench`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.
        **options: Fields of `BenchSettings`.

    Raises:
        NcauditError: Where the command would end with an exit code other than 0.
    """
    wanted = given(dict(options), shards=shards, out=output)
    found = run_bench(settle(BenchSettings, wanted, config), shown_by(progress))
    raise_for_defects(found.defects)
    return found


@refusing_bad_paths()
def run_bench(
    settings: BenchSettings, progress: StageProgress | None = None, *, command: str = ""
) -> BenchResult:
    """Measure with settled settings; the result tells of shards that failed.

    Args:
        settings: All settings.
        progress: Who is told how far it is.
        command: What the user typed, for the record.

    Raises:
        NcauditError: See `ncaudit.audit.bench.run.bench_shards`.
    """
    cache = settings.cache or settings.out / "embeddings"
    return bench_shards(settings.bench, settings.out, cache, progress, command=command)
