"""Draw demo shards from Python."""

from ncaudit.api.given import AnyPath, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.settings import DemoSettings
from ncaudit.api.settle import settle
from ncaudit.audit.demo import DemoSummary, make_demo
from ncaudit.audit.stages import StageProgress, Stages


def demo(
    output: AnyPath | None = None,
    *,
    pairs: int | None = None,
    noise_rate: float | None = None,
    seed: int | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
) -> DemoSummary:
    """Draw small shards with planted mismatches.

    Args:
        output: Folder to write; `demo` if not given.
        pairs: Number of readable pairs, at least 20; 1,200 if not given.
        noise_rate: Share of pairs with another picture's caption; 0.2 if not given.
        seed: Root of every random draw; 0 if not given.
        config: TOML file with a section `demo`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.

    Raises:
        NcauditError: If a number is out of range, or the folder is not empty.
    """
    wanted = given({}, out=output, pairs=pairs, noise_rate=noise_rate, seed=seed)
    return run_demo(settle(DemoSettings, wanted, config), shown_by(progress))


@refusing_bad_paths()
def run_demo(settings: DemoSettings, progress: StageProgress | None = None) -> DemoSummary:
    """Draw with settled settings.

    Args:
        settings: All settings.
        progress: Who is told how far it is.

    Raises:
        NcauditError: See `ncaudit.audit.demo.make_demo`.
    """
    stages = Stages(progress)
    stages.stage("draw", settings.pairs, "pairs")
    return make_demo(
        settings.out,
        n_pairs=settings.pairs,
        noise_rate=settings.noise_rate,
        seed=settings.seed,
        on_image=lambda _n_drawn: stages.advance(1),
    )
