"""Options that several commands share: same option, same name, same help."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ShardsArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SHARDS...",
        help="Folders, globs, brace ranges, @lists or URLs of .tar shards.",
        show_default=False,
    ),
]
RunArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder that `ncaudit score` wrote.")
]
OutOption: TypeAlias = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
EncoderOption: TypeAlias = Annotated[
    str, typer.Option(help="`bundled`, or MODEL/PRETRAINED of open_clip.")
]
EmbeddingsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Import embeddings of clip-retrieval or DataComp from this folder; encode nothing."
    ),
]
CaptionsOption: TypeAlias = Annotated[
    str, typer.Option(help="Where captions are: auto, txt or json:FIELD.")
]
ModelOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of a fitted model, used instead of fitting.")
]
SeedOption: TypeAlias = Annotated[int, typer.Option(min=0, help="Root of every random draw.")]
DeviceOption: TypeAlias = Annotated[str, typer.Option(help="Device: auto, cpu or cuda.")]
BatchSizeOption: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Images or captions in one forward pass.")
]
TorchCompileOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--torch-compile",
        help="Compile the encoder's forward passes; models of open_clip only.",
    ),
]
FitPairsOption: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Pairs to fit the model on, at most; a sample above that.")
]
TrustedOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="Shards of pairs known to be matched, for MSCN; may be repeated."),
]
FitVerdictsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--verdicts", help="CSV of people's verdicts to calibrate on: 50 or more."),
]
CacheOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder of embeddings to use and fill.", show_default="OUT/embeddings"),
]
RematchOption: TypeAlias = Annotated[
    bool, typer.Option("--rematch/--no-rematch", help="Propose captions for flagged pairs.")
]
RematchPoolOption: TypeAlias = Annotated[
    str, typer.Option(help="Whose captions are proposed: flagged pairs' or all pairs'.")
]
RematchWithinOption: TypeAlias = Annotated[
    str,
    typer.Option(help="Shards that exchange captions: all, shard, folder, DEPTH or GLOB,GLOB."),
]
RematchMaxOption: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Flagged pairs that take part at most; a sample above that.")
]
WorkersOption: TypeAlias = Annotated[
    int, typer.Option(min=0, help="Worker processes; 0 for as many as suit the machine.")
]
EngineOption: TypeAlias = Annotated[
    str, typer.Option(help="Where the work is done: local, or ray.")
]
AddressOption: TypeAlias = Annotated[
    str, typer.Option(help="Ray cluster to join: auto, or HOST:PORT.")
]
GpusPerWorkerOption: TypeAlias = Annotated[
    float | None,
    typer.Option(min=0, help="GPUs that Ray keeps for a worker, also 0.5.", show_default="auto"),
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Summary as JSON on stdout, for programs.")
]
QuietOption: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress on stderr.")
]
