"""Look at a finished run from Python: its report, and the evidence about one pair."""

from pathlib import Path

from ncaudit.api.given import AnyPath, given
from ncaudit.api.paths import refusing_bad_paths
from ncaudit.api.progress import OnProgress, shown_by
from ncaudit.api.settings import ReportSettings
from ncaudit.api.settle import settle
from ncaudit.audit.explain import Explanation, explain_pair
from ncaudit.audit.report import N_STEPS, WrittenReport, write_report as write_page
from ncaudit.audit.stages import StageProgress, Stages


def write_report(
    run: AnyPath | None = None,
    *,
    output: AnyPath | None = None,
    png: AnyPath | None = None,
    pairs: int | None = None,
    config: AnyPath | None = None,
    progress: OnProgress | None = None,
) -> WrittenReport:
    """Write one HTML page with a run's numbers, plots and pairs.

    Args:
        run: Folder of the run; `audit` if not given.
        output: Page to write; `report.html` in the run if not given.
        png: Folder for the plots as PNG; none are written if not given.
        pairs: Most pairs of each kind in the gallery; 120 if not given.
        config: TOML file with a section `report`; arguments win over it.
        progress: Called with a stage's name, the units done and their number, or None.

    Raises:
        NcauditError: If there is no finished run, or plots cannot be drawn.
    """
    wanted = given({}, run=run, out=output, png=png, pairs=pairs)
    return run_report(settle(ReportSettings, wanted, config), shown_by(progress))


@refusing_bad_paths()
def run_report(settings: ReportSettings, progress: StageProgress | None = None) -> WrittenReport:
    """Write a report with settled settings.

    Args:
        settings: All settings.
        progress: Who is told how far it is.

    Raises:
        NcauditError: See `ncaudit.audit.report.write_report`.
    """
    stages = Stages(progress)
    stages.stage("report", N_STEPS, "steps")
    return write_page(
        settings.run,
        settings.out,
        plots=settings.png,
        pairs_each=settings.pairs,
        on_step=lambda: stages.advance(1),
    )


def explain(
    run: AnyPath, key: str, *, shard: str | None = None, caption: int | None = None
) -> Explanation:
    """Collect the evidence about one pair of a finished run.

    Args:
        run: Folder of the run.
        key: Key, or shard/key, of the sample.
        shard: Shard, where several have the key.
        caption: Which caption; the most suspicious if not given.

    Raises:
        NcauditError: If there is no finished run, or no such pair in it.
    """
    return explain_pair(Path(run), key, shard=shard, caption=caption)
