"""ncaudit report: everything worth seeing of a finished run in one HTML file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncaudit import __version__
from ncaudit.audit.people import what_people_saw
from ncaudit.audit.report_pictures import address_of, all_pictures
from ncaudit.audit.run_directory import RunDirectory
from ncaudit.audit.scored_run import ScoredShard, count_pairs, load_scored_run
from ncaudit.errors import InputError
from ncaudit.files import read_json, write_atomic
from ncaudit.report.figures import RunFigures, count_figures
from ncaudit.report.html import render_page
from ncaudit.report.pair_view import by_part, read_rows, view_of
from ncaudit.report.pictures import THUMBNAIL_PX
from ncaudit.report.report_page import report_context, report_data
from ncaudit.report.safe_text import escape_controls
from ncaudit.report.selection import ChosenPair, choose_pairs
from ncaudit.report.summary import Summary, read_summary

FILE_NAME = "report.html"
PAIRS_EACH = 120
MAX_PICTURE_BYTES = 13_000_000  # of data URIs; leaves room for the rest under 20 MB
_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What was written.

    Attributes:
        path: The page.
        n_bytes: Its size.
        n_pairs: Pairs of the run.
        n_shown: Pairs in the gallery.
        n_pictures: Pictures in it.
        plots: Files of the plots, if they were asked for.
    """

    path: Path
    n_bytes: int
    n_pairs: int
    n_shown: int
    n_pictures: int
    plots: tuple[Path, ...] = ()


def write_report(
    folder: Path,
    out: Path | None = None,
    *,
    plots: Path | None = None,
    pairs_each: int = PAIRS_EACH,
    on_step: Callable[[], None] = lambda: None,
) -> WrittenReport:
    """Write report.html of a finished run; needs no model, and reads only shown images.

    Args:
        folder: The run.
        out: The page; `report.html` in the run if None.
        plots: Folder for the plots as PNG, or None.
        pairs_each: Most pairs of each kind in the gallery.
        on_step: Called after each of `N_STEPS` steps.

    Raises:
        InputError: If there is no finished run in `folder`.
        ConfigError: If plots are asked for and matplotlib is missing.
    """
    run = load_scored_run(folder)
    summary = _summary(folder)
    parts = [shard.part for shard in run.shards]
    n_pairs = count_pairs(run)
    figures = count_figures(parts, n_pairs=n_pairs)
    on_step()
    written = _plots(plots, summary, figures)
    chosen = choose_pairs(parts, n_each=pairs_each, threshold=_THRESHOLD)
    on_step()
    pairs, images = gallery(run.shards, chosen)
    on_step()
    page = render_page(
        "report",
        policy="img-src data:",
        data=report_data(figures)
        | {"run": escape_controls(folder.resolve().name), "pairs": pairs, "images": images},
        run=escape_controls(folder.resolve().name),
        people=what_people_saw(folder, run, _THRESHOLD),
        colophon=_colophon(folder),
        **report_context(summary, figures),
    )
    path = out or folder / FILE_NAME
    content = page.encode("utf-8", "backslashreplace")
    write_atomic(path, lambda temporary: _write(temporary, content))
    on_step()
    return WrittenReport(path, len(content), n_pairs, len(pairs), len(images), written)


N_STEPS = 4


def gallery(
    shards: Sequence[ScoredShard], chosen: Sequence[ChosenPair]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the chosen pairs as the page takes them, and the pictures they point to.

    A picture that several pairs share is there once. Pictures stop at `MAX_PICTURE_BYTES`.
    """
    rows = {
        (part, row): content
        for part, at in by_part((pair.part, pair.row) for pair in chosen).items()
        for row, content in zip(at, read_rows(shards[part].part, at), strict=True)
    }
    wanted = {
        part: [address_of(rows[part, row]) for row in at] for part, at in by_part(rows).items()
    }
    pictures = all_pictures(shards, wanted, THUMBNAIL_PX)
    images: dict[str, int] = {}
    n_bytes, pairs = 0, []
    for pair in chosen:
        row = rows[pair.part, pair.row]
        picture = pictures[pair.part, address_of(row)]
        uri, problem = picture.data_uri, picture.problem
        if uri and uri not in images:
            if n_bytes + len(uri) <= MAX_PICTURE_BYTES:
                n_bytes += len(uri)
                images[uri] = len(images)
            else:
                problem = "This page has no room for more pictures."
        shown = {"sets": list(pair.sets), "image": images.get(uri), "problem": problem}
        pairs.append(view_of(row) | shown)
    return pairs, list(images)


def _summary(folder: Path) -> Summary:
    path = RunDirectory(folder).summary
    try:
        return read_summary(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read: {error!r}",
            hint="Run the same ncaudit score command again.",
        ) from error


def _plots(folder: Path | None, summary: Summary, figures: RunFigures) -> tuple[Path, ...]:
    if folder is None:
        return ()
    from ncaudit.report.plots import write_plots

    return write_plots(folder, summary, figures)


def _colophon(folder: Path) -> str:
    record = read_json(RunDirectory(folder).run_json)
    encoder = (record.get("encoder") or {}).get("name", "")
    words = [f"Made by ncaudit {__version__} without network or model."]
    if encoder:
        words.append(f"Encoder {encoder}, seed {record.get('seed')}.")
    if record.get("fingerprint"):
        words.append(f"Run {record['fingerprint'][:16]}.")
    return escape_controls(" ".join(words))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
