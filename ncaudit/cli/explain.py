"""ncaudit explain."""

import io
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ncaudit.cli._console import exit_codes, out, safe, say_json
from ncaudit.cli._options import JsonOption, RunArgument

if TYPE_CHECKING:
    from ncaudit.audit.explain import Explanation, SignalStanding
    from ncaudit.audit.nearest import Candidate

_GAUGE_CELLS = 20
_PICTURE_CELLS = 36
_PLAIN_TERMINALS = ("dumb", "linux")
_LEFT = 14


def explain(
    run: RunArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key, or shard/key, of the sample.")],
    shard: Annotated[str | None, typer.Option(help="Shard, where several have the key.")] = None,
    caption: Annotated[
        int | None, typer.Option(min=0, help="Which caption.", show_default="most suspicious")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the evidence about one pair: image, caption, signals, reasons, and what fits better."""
    with exit_codes(resumable=False):
        from ncaudit.audit.explain import explain_pair

        found = explain_pair(run, key, shard=shard, caption=caption)
        if json:
            say_json(_plain(found))
            return
        picture = _terminal_picture(found.image.picture.webp)
        if picture is not None:
            out.print(picture)
        out.print(_page(found))


def _plain(found: "Explanation") -> dict[str, Any]:
    plain = asdict(found)
    plain["image"]["problem"] = plain["image"].pop("picture")["problem"]
    return plain


def _terminal_picture(webp: bytes) -> Any:
    """Return the picture for terminals that can show one, or None."""
    # Finding out asks the terminal, so it must be one, and one that hides what it does not know.
    is_terminal = sys.stdout.isatty() and sys.stdin.isatty()
    if not webp or not is_terminal or os.environ.get("TERM", "dumb") in _PLAIN_TERMINALS:
        return None
    try:
        from textual_image.renderable import Image, SixelImage, TGPImage
    except ImportError:
        return None
    if Image not in (SixelImage, TGPImage):
        return None
    from PIL import Image as Pillow

    return Image(Pillow.open(io.BytesIO(webp)), width=_PICTURE_CELLS, height="auto")


def _page(found: "Explanation") -> Group:
    pair = found.pair
    title = Text(f"{pair['shard']}/{pair['key']}", "bold")
    if pair["index"] or found.other_captions:
        title.append(f"  caption {pair['index']}", "dim")
    blocks: list[Any] = [title, _line("image", _image_words(found))]
    blocks.append(_line("caption", Text(safe(pair["caption"]), "italic")))
    blocks += [_line("", Text(_caption_words(*other), "dim")) for other in found.other_captions]
    blocks.append(_line("status", _status(found)))
    if pair["p"] is not None:
        blocks += [_line("p_mismatch", _probability(found)), _line("decided by", _reasons(pair))]
    if pair["proposal"]:
        blocks.append(_line("proposal", _proposal(pair["proposal"])))
    if found.sidecar:
        known = (f"{name} {value:.4g}" for name, value in found.sidecar.items())
        blocks.append(_line("beside the tar", Text(safe(", ".join(known)))))
    if found.signals:
        blocks += [Text(), _signals(found.signals)]
    return Group(*blocks, *_nearest(found))


def _line(name: str, value: Text) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=_LEFT, style="cyan")
    grid.add_column(overflow="fold")
    grid.add_row(Text(name), value)
    return grid


def _image_words(found: "Explanation") -> Text:
    pair, image = found.pair, found.image
    words = []
    if pair["width"]:
        words.append(f"{pair['width']} x {pair['height']} px")
    if image.n_bytes:
        words.append(f"{image.n_bytes / 1000:,.1f} kB")
    words.append(f"{image.member or 'no image'} in {image.tar}")
    text = Text(safe(", ".join(words)))
    if image.picture.problem:
        text.append(f"\n{safe(image.picture.problem)}", "yellow")
    return text


def _caption_words(index: int, caption: str, p: float | None) -> str:
    shown = "no p" if p is None else f"p {p:.2f}"
    return safe(f"caption {index}, {shown}: {caption}")


def _status(found: "Explanation") -> Text:
    text = Text(safe(found.status), "" if found.status == "scored" else "yellow")
    if found.pair["verdict"]:
        text.append(f", verdict {safe(found.pair['verdict'])}")
    if found.in_fit is not None:
        text.append(", in the fit" if found.in_fit else ", not in the fit", "dim")
    if found.detail:
        text.append(f": {safe(found.detail)}")
    return text


def _probability(found: "Explanation") -> Text:
    pair = found.pair
    text = Text(f"{pair['p']:.3f}", "bold red" if pair["p"] >= 0.5 else "bold green")
    if pair["low"] is not None:
        text.append(f"  ({pair['low']:.3f} to {pair['high']:.3f})")
    if found.p_percentile is not None:
        text.append(f"  higher than {found.p_percentile:.1f}% of the run", "dim")
    return text


def _reasons(pair: dict[str, Any]) -> Text:
    return Text(safe(", ".join(pair["reasons"]) or "no signal stands out"))


def _proposal(proposal: dict[str, Any]) -> Text:
    text = Text(safe(proposal["caption"]), "italic green")
    known = [("confidence", "confidence"), ("p", "p_mismatch")]
    words = [f"{name} {proposal[of]:.2f}" for of, name in known if proposal[of] is not None]
    words.append(f"from {proposal['shard']}/{proposal['key']}")
    if proposal["mutual"]:
        words.append("each other's nearest")
    return text.append(f"\n{safe(', '.join(words))}", "dim not italic")


def _signals(signals: "tuple[SignalStanding, ...]") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("signal")
    table.add_column("value", justify="right")
    table.add_column("percentile", justify="right")
    table.add_column("bad end")
    table.add_column("worse than", no_wrap=True)
    for signal in signals:
        style = "bold" if signal.decided else ""
        table.add_row(
            Text(("* " if signal.decided else "  ") + signal.name, style),
            Text(f"{signal.value:.4g}", style),
            Text(f"{signal.percentile:.1f}", style),
            Text(signal.bad, "dim"),
            _gauge(signal.suspicion),
        )
    return table


def _gauge(suspicion: float) -> Text:
    n_full = round(suspicion / 100 * _GAUGE_CELLS)
    bar = Text(
        "█" * n_full, "red" if suspicion >= 90 else "yellow" if suspicion >= 50 else "green"
    )
    return bar.append("░" * (_GAUGE_CELLS - n_full), "dim").append(f" {suspicion:.0f}%")


def _nearest(found: "Explanation") -> list[Any]:
    nearest = found.nearest
    if nearest.problem:
        return [Text(), _line("better", Text(safe(nearest.problem), "dim"))]
    blocks: list[Any] = [Text()]
    for title, candidates in (("captions", nearest.captions), ("images", nearest.images)):
        words = [_candidate(each, with_caption=title == "captions") for each in candidates]
        none = Text(f"none among {nearest.n_searched:,} pairs", "dim")
        blocks.append(_line(f"better {title[:-1]}", Text("\n").join(words) or none))
    return blocks


def _candidate(candidate: "Candidate", *, with_caption: bool) -> Text:
    p = "" if candidate.p_mismatch is None else f"p {candidate.p_mismatch:.2f}  "
    text = Text(p, "green")
    if with_caption:
        text.append(safe(candidate.caption), "italic").append("  ")
    place = f"{candidate.shard}/{candidate.key}, similarity {candidate.similarity:.2f}"
    return text.append(safe(place), "dim not italic")
