"""Embeddings that people already have: clip-retrieval's folders and DataComp's metadata.

Both keep embeddings in one file and say in another, row by row, whose they are. A row is
found by its key (or uid) and its caption, never by where it stands.
"""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as header

from ncaudit.errors import ConfigError, InputError, first_line
from ncaudit.files import digest_file, digest_json, is_url
from ncaudit.types import EncoderCard, Fit, Floats, Ints, Pixels, Preprocess

DATACOMP_TOWERS = {"b32": "ViT-B-32/openai", "l14": "ViT-L-14/openai"}
DEFAULT_TOWER = "l14"
_HINT = "See docs/ecosystem.md for the files that are looked for."
_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
_Rows: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows that lie together: one metadata file and the arrays in step with it.

    Attributes:
        metadata: Parquet file that names each row.
        arrays: Files the embeddings are in.
        n_rows: Rows of each.
        dim: Width of an embedding.
        images: Opens the image embeddings, shape (n_rows, dim).
        captions: Opens the caption embeddings, likewise.
    """

    metadata: Path
    arrays: tuple[Path, ...]
    n_rows: int
    dim: int
    images: _Rows
    captions: _Rows


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """Rows of all blocks in the order of the hash of what identifies them.

    Attributes:
        ids: Hashes of keys or uids, ascending, uint64.
        captions: Hashes of their captions, uint64; None where none are known.
        rows: Their rows, counted over all blocks.
    """

    ids: Ints
    captions: Ints | None
    rows: Ints


@dataclass(frozen=True, eq=False)
class ImportedEmbeddings:
    """An opened folder; stands where an encoder stands, and can encode nothing new.

    Attributes:
        card: Identity of what made the embeddings, as far as it is known.
        digest: Of the content of all files: other content, other embeddings.
        by_uid: Whether rows are found by the samples' uid rather than their key.
        folder: Where they are.
        blocks: Their files.
    """

    card: EncoderCard
    digest: str
    by_uid: bool
    folder: Path
    blocks: tuple[Block, ...]
    _index: _Index = field(repr=False)

    @property
    def preprocess(self) -> Preprocess:
        """No picture is made smaller here."""
        return Preprocess(0, Fit.CROP)

    @property
    def has_captions(self) -> bool:
        """Whether the metadata says which caption an embedding is of."""
        return self._index.captions is not None

    def encode_images(self, pixels: Pixels) -> Floats:
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        raise _cannot_encode(len(pixels))

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        raise _cannot_encode(len(captions))

    def find(self, names: Sequence[str], captions: Sequence[str]) -> tuple[list[Ints], list[Ints]]:
        """Return for each pair the rows of its key or uid, and those that have its caption.

        Without captions in the metadata both are the same.

        Args:
            names: Key or uid of each pair.
            captions: Compared after their white space is made single blanks.
        """
        index, wanted = self._index, _hashes(names)
        low, high = (np.searchsorted(index.ids, wanted, side) for side in ("left", "right"))
        spans = [slice(*bounds) for bounds in zip(low, high, strict=True)]
        of_name = [index.rows[span] for span in spans]
        if index.captions is None:
            return of_name, of_name
        texts = _hashes(map(_plain, captions))
        same = (index.captions[span] == text for span, text in zip(spans, texts, strict=True))
        return of_name, [rows[is_same] for rows, is_same in zip(of_name, same, strict=True)]

    def take(self, rows: Ints) -> tuple[Floats, Floats]:
        """Return the image and the caption embeddings of rows, float32, as they are stored.

        Raises:
            InputError: If a file can no longer be read.
        """
        image = np.zeros((len(rows), self.card.image_dim), np.float32)
        caption = np.zeros_like(image)
        start = 0
        for block in self.blocks:
            here = np.flatnonzero((rows >= start) & (rows < start + block.n_rows))
            if len(here):
                inside = rows[here] - start
                try:
                    image[here] = block.images()[inside]
                    caption[here] = block.captions()[inside]
                except _READ_ERRORS as error:
                    raise _unreadable(block.arrays[0], error) from error
            start += block.n_rows
        return image, caption


def open_imported(folder: str, encoder: str) -> ImportedEmbeddings:
    """Open a folder of embeddings and check that its files are in step.

    Args:
        folder: clip-retrieval's, with `img_emb/`, `text_emb/` and `metadata/`; or DataComp's
            metadata, each `.parquet` with its `.npz`.
        encoder: Name of what made them, for the card; of DataComp's two, `b32` or `l14`,
            which is also taken for `bundled`.

    Raises:
        InputError: If there are no such files, or they are not in step.
        ConfigError: If DataComp's metadata has no such encoder.
    """
    path = Path(folder).expanduser()
    if is_url(folder) or not path.is_dir():
        raise InputError(f"{folder} is not a folder of this machine", hint=_HINT)
    if (path / "img_emb").is_dir():
        blocks, by_uid, columns = _clip_retrieval(path), False, ("image_path", "caption")
        name = "imported" if encoder == "bundled" else f"imported {encoder}"
    elif any(path.rglob("*.npz")):
        tower = _tower(encoder)
        blocks, by_uid, columns = _datacomp(path, tower), True, ("uid", "text")
        name = f"imported {DATACOMP_TOWERS[tower]}"
    else:
        raise InputError(f"{folder} has neither img_emb/ nor .npz files", hint=_HINT)
    if len(dims := {block.dim for block in blocks}) != 1:
        raise InputError(f"{folder} has embeddings of widths {sorted(dims)}", hint=_HINT)
    (dim,) = dims
    card = EncoderCard(
        name=name,
        aligned=True,
        image_dim=dim,
        caption_dim=dim,
        preprocess_id="imported",
        weights={},
        dtype="imported",
    )
    index = _build_index(blocks, *columns)
    return ImportedEmbeddings(card, _digest(path, blocks), by_uid, path, blocks, index)


def _clip_retrieval(folder: Path) -> tuple[Block, ...]:
    """Pair the files of the three folders by the number in their names."""
    kinds = (("img_emb", "npy"), ("text_emb", "npy"), ("metadata", "parquet"))
    found = [
        {file.stem.removeprefix(f"{kind}_"): file for file in (folder / kind).glob(f"*.{suffix}")}
        for kind, suffix in kinds
    ]
    for (kind, suffix), files in zip(kinds, found, strict=True):
        if odd := sorted(set().union(*found) - set(files)):
            raise InputError(
                f"{folder / kind} has no {kind}_{odd[0]}.{suffix}, which the other folders have",
                hint="Write images, captions and metadata in one run of clip-retrieval inference.",
            )
    if not found[0]:
        raise InputError(f"{folder / 'img_emb'} has no .npy files", hint=_HINT)
    images, captions, metadata = found
    return tuple(_npy_block(metadata[at], images[at], captions[at]) for at in sorted(images))


def _npy_block(metadata: Path, image: Path, caption: Path) -> Block:
    shapes = [_checked_shape(path, _open_npy(path)) for path in (image, caption)]
    _check_step(metadata, (image, caption), shapes)
    return Block(
        metadata,
        (image, caption),
        *shapes[0],
        lambda: _open_npy(image),
        lambda: _open_npy(caption),
    )


def _datacomp(folder: Path, tower: str) -> tuple[Block, ...]:
    """Pair each `.npz` with the `.parquet` of its name."""
    blocks = []
    for file in sorted(folder.rglob("*.npz")):
        metadata = file.with_suffix(".parquet")
        if not metadata.is_file():
            raise InputError(f"{file} has no {metadata.name} beside it", hint=_HINT)
        blocks.append(_npz_block(metadata, file, tower))
    return tuple(blocks)


def _npz_block(metadata: Path, file: Path, tower: str) -> Block:
    names = (f"{tower}_img", f"{tower}_txt")
    shapes = [_npz_shape(file, name) for name in names]
    _check_step(metadata, (file, file), shapes)
    return Block(
        metadata,
        (file,),
        *shapes[0],
        lambda: _npz_member(str(file), names[0]),
        lambda: _npz_member(str(file), names[1]),
    )


def _tower(encoder: str) -> str:
    tower = DEFAULT_TOWER if encoder == "bundled" else encoder
    if tower not in DATACOMP_TOWERS:
        known = ", ".join(DATACOMP_TOWERS)
        raise ConfigError(
            f"DataComp's metadata has no embeddings of {encoder}",
            hint=f"With --embeddings of DataComp, --encoder is one of: {known}.",
        )
    return tower


def _check_step(
    metadata: Path, arrays: tuple[Path, Path], shapes: Sequence[tuple[int, int]]
) -> None:
    """Refuse files that do not have a row each for the same pairs."""
    n_rows = _open_metadata(metadata).metadata.num_rows
    counts = {str(metadata): n_rows, **{f"{a}": s[0] for a, s in zip(arrays, shapes, strict=True)}}
    if len({n_rows, *(shape[0] for shape in shapes)}) != 1:
        listed = ", ".join(f"{name}: {n:,}" for name, n in counts.items())
        raise InputError(
            f"files with different numbers of rows: {listed}",
            hint="Embeddings and metadata must be of the same run; make them again.",
        )
    if shapes[0][1] != shapes[1][1]:
        raise InputError(
            f"{arrays[0]} is {shapes[0][1]} wide and {arrays[1]} is {shapes[1][1]}",
            hint="Images and captions must share one space, as CLIP's do.",
        )


def _open_npy(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


def _npz_shape(path: Path, name: str) -> tuple[int, int]:
    """Read the shape of a member from its header, not the member."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            is_first = header.read_magic(file) == (1, 0)
            read = header.read_array_header_1_0 if is_first else header.read_array_header_2_0
            shape, _, dtype = read(file)
            return _checked_shape(path, np.broadcast_to(np.zeros((), dtype), shape))
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


@lru_cache(maxsize=4)
def _npz_member(path: str, name: str) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


def _checked_shape(path: Path, array: Any) -> tuple[int, int]:
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        raise InputError(f"{path} is no table of floating-point numbers", hint=_HINT)
    n_rows, dim = array.shape
    return int(n_rows), int(dim)


def _open_metadata(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _build_index(blocks: Sequence[Block], id_column: str, caption_column: str) -> _Index:
    import pyarrow as pa

    ids, captions = [], []
    for block in blocks:
        file = _open_metadata(block.metadata)
        names = file.schema_arrow.names
        if id_column not in names:
            raise InputError(f"{block.metadata} has no column {id_column}", hint=_HINT)
        has_captions = caption_column in names
        try:
            table = file.read(columns=[id_column, *([caption_column] if has_captions else [])])
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(block.metadata, error) from error
        ids.append(_hashes(map(str, table[id_column].to_pylist())))
        if has_captions:
            plain = (_plain(text or "") for text in table[caption_column].to_pylist())
            captions.append(_hashes(plain))
    if captions and len(captions) < len(blocks):
        raise InputError(f"only some metadata has a column {caption_column}", hint=_HINT)
    joined = np.concatenate(ids)
    order = np.argsort(joined, kind="stable")
    of_captions = np.concatenate(captions)[order] if captions else None
    return _Index(joined[order], of_captions, order)


def _hashes(texts: Any) -> Ints:
    from pandas.util import hash_array

    hashes: Ints = hash_array(np.array(list(texts), object), categorize=False)
    return hashes


def _plain(caption: str) -> str:
    return " ".join(caption.split())


def _digest(folder: Path, blocks: Sequence[Block]) -> str:
    files = sorted({path for block in blocks for path in (block.metadata, *block.arrays)})
    return digest_json([[str(path.relative_to(folder)), digest_file(str(path))] for path in files])


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read: {first_line(error)}", hint=_HINT)


def _cannot_encode(n: int) -> ConfigError:
    return ConfigError(
        f"{n} inputs need an encoder, and embeddings were imported",
        hint="Leave out --embeddings and choose an --encoder.",
    )
