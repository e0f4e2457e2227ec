"""`ncaudit score --embeddings`: embeddings that people have, in the place of an encoder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ncaudit.embeddings.cache import read_ids
from tests.support.audits import ncaudit, rows, score, write_striped
from tests.support.embedding_folders import write_clip_retrieval, write_datacomp
from tests.support.shards import json_bytes, pair, write_shard
from tests.support.toy_encoder import striped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards, and the embeddings of them in clip-retrieval's layout."""
    folder = tmp_path_factory.mktemp("imported")
    write_striped(folder, n_shards=2, n_pairs=120)
    write_clip_retrieval(folder / "clip", sorted((folder / "shards").glob("*.tar")))
    return folder


def import_into(folder: Path, out: str, *words: object) -> Any:
    where = ["-o", folder / out, "--quiet", "--no-rematch"]
    return ncaudit("score", folder / "shards", *where, *words)


def small(folder: Path) -> Path:
    """Write a shard of three pairs and their embeddings; nothing can be fitted on it."""
    samples = [("a", pair("red", "one")), ("b", pair("blue", "two")), ("c", pair("green", "3"))]
    shard = write_shard(folder / "shards/0.tar", samples)
    return write_clip_retrieval(folder / "clip", [shard], n_files=1)


def metadata(clip: Path, **columns: list[str] | None) -> None:
    """Replace columns of a folder's only metadata file; None drops one."""
    path = clip / "metadata/metadata_0.parquet"
    table = pq.read_table(path).to_pydict() | columns
    pq.write_table(pa.table({k: v for k, v in table.items() if v is not None}), path)


def statuses(folder: Path) -> dict[str, str]:
    ids = read_ids(folder / "audit/embeddings/0").to_pylist()
    return {row["key"]: row["status"] for row in ids}


def test_scores_are_those_of_the_encoder_that_made_the_embeddings(folder: Path) -> None:
    assert score(folder, "--no-rematch", encoder="toy-aligned", out="made").exit_code == 0
    done = import_into(folder, "taken", "--embeddings", folder / "clip")
    assert done.exit_code == 0, done.output
    names = ("key", "status", "p_mismatch", "similarity", "reasons")
    made, taken = (
        [{name: row[name] for name in names} for row in rows(folder, out)]
        for out in ("made", "taken")
    )
    assert made == taken


def test_the_run_says_that_they_were_imported(folder: Path) -> None:
    import_into(folder, "taken", "--embeddings", folder / "clip")
    run = json.loads((folder / "taken/run.json").read_text())
    assert run["encoder"]["name"] == "imported"
    assert run["encoder"]["aligned"]
    assert len(run["imported_embeddings"]) == 64


def test_the_cleaned_shards_are_written_as_ever(folder: Path) -> None:
    import_into(folder, "taken", "--embeddings", folder / "clip")
    done = ncaudit("clean", folder / "taken", "-o", folder / "cleaned", "--quiet")
    assert done.exit_code == 0, done.output
    assert (folder / "cleaned/0.tar").exists()


def test_other_embeddings_are_another_run(tmp_path: Path) -> None:
    clip = small(tmp_path)
    import_into(tmp_path, "audit", "--embeddings", clip)
    image = np.load(clip / "img_emb/img_emb_0.npy")
    np.save(clip / "img_emb/img_emb_0.npy", image[::-1])
    done = import_into(tmp_path, "audit", "--embeddings", clip)
    assert done.exit_code == 5


def test_a_pair_without_an_embedding_is_accounted_for(tmp_path: Path) -> None:
    clip = small(tmp_path)
    metadata(clip, image_path=["c", "elsewhere", "a"])
    import_into(tmp_path, "audit", "--embeddings", clip)
    assert statuses(tmp_path) == {"a": "scored", "b": "embedding_missing", "c": "scored"}


def test_an_embedding_of_zeros_or_nan_is_invalid(tmp_path: Path) -> None:
    clip = small(tmp_path)
    image = np.load(clip / "img_emb/img_emb_0.npy")
    image[0], image[2, 0] = 0, np.nan
    np.save(clip / "img_emb/img_emb_0.npy", image)
    import_into(tmp_path, "audit", "--embeddings", clip)
    invalid = "embedding_invalid"
    assert statuses(tmp_path) == {"a": invalid, "b": "scored", "c": invalid}
    cached = np.load(tmp_path / "audit/embeddings/0/image.npy")
    assert np.array_equal(cached, image[1:2])


def test_of_several_captions_the_one_that_was_embedded_is_scored(tmp_path: Path) -> None:
    clip = small(tmp_path)
    sample = {"jpg": pair("red", "")["jpg"], "json": json_bytes({"captions": ["other", "one"]})}
    write_shard(tmp_path / "shards/0.tar", [("a", sample)])
    import_into(tmp_path, "audit", "--embeddings", clip)
    ids = read_ids(tmp_path / "audit/embeddings/0").to_pylist()
    assert [row["status"] for row in ids] == ["embedding_missing", "scored"]


def other_captions(clip: Path) -> None:
    metadata(clip, caption=["3", "two", "a caption that was changed since"])


def keys_that_come_again(clip: Path) -> None:
    metadata(clip, image_path=["a", "a", "a"], caption=["one", "one", "one"])


def no_key_of_these_shards(clip: Path) -> None:
    metadata(clip, image_path=["x", "y", "z"])


def no_keys(clip: Path) -> None:
    metadata(clip, image_path=None)


def a_row_less(clip: Path) -> None:
    path = clip / "text_emb/text_emb_0.npy"
    np.save(path, np.load(path)[:-1])


def a_file_less(clip: Path) -> None:
    (clip / "text_emb/text_emb_0.npy").rename(clip / "text_emb/text_emb_1.npy")


def another_width(clip: Path) -> None:
    path = clip / "text_emb/text_emb_0.npy"
    np.save(path, np.load(path)[:, :-1])


def a_pickle(clip: Path) -> None:
    np.save(clip / "img_emb/img_emb_0.npy", np.array([{}], object), allow_pickle=True)


def metadata_that_is_broken(clip: Path) -> None:
    (clip / "metadata/metadata_0.parquet").write_bytes(b"PAR1")


def nothing_known(clip: Path) -> None:
    (clip / "img_emb").rename(clip / "images")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (other_captions, "1 samples have other captions than those that were embedded"),
        (keys_that_come_again, "0: a comes several times with the same caption"),
        (no_key_of_these_shards, "not one of 3 pairs has an embedding"),
        (no_keys, "metadata_0.parquet has no column image_path"),
        (a_row_less, "different numbers of rows"),
        (a_file_less, "has no img_emb_1.npy"),
        (another_width, "img_emb_0.npy is 30 wide"),
        (a_pickle, "img_emb_0.npy cannot be read"),
        (metadata_that_is_broken, "metadata_0.parquet cannot be read"),
        (nothing_known, "neither img_emb/ nor .npz files"),
    ],
)
def test_what_is_not_in_step_is_refused(
    tmp_path: Path, break_it: Callable[[Path], None], says: str
) -> None:
    clip = small(tmp_path)
    break_it(clip)
    done = import_into(tmp_path, "audit", "--embeddings", clip)
    assert done.exit_code == 3, done.output
    told = " ".join(done.stderr.split()).replace("- ", "-")
    assert says.replace(" ", "") in told.replace(" ", "")
    assert "Traceback" not in told


def with_uids(folder: Path) -> Path:
    samples, _ = striped(120)
    named = [
        (key, {**members, "json": json_bytes({"uid": f"{at:032x}"})})
        for at, (key, members) in enumerate(samples)
    ]
    return write_shard(folder / "shards/0.tar", named)


def test_datacomps_npz_is_joined_by_uid_and_made_unit_length(tmp_path: Path) -> None:
    meta = write_datacomp(tmp_path / "meta", [with_uids(tmp_path)])
    done = import_into(tmp_path, "audit", "--embeddings", meta, "--encoder", "b32")
    assert done.exit_code == 6, done.output
    assert set(statuses(tmp_path).values()) == {"scored"}
    caption = np.load(tmp_path / "audit/embeddings/0/caption.npy").astype(np.float32)
    assert np.allclose(np.linalg.norm(caption, axis=1), 1, atol=1e-3)
    run = json.loads((tmp_path / "audit/run.json").read_text())
    assert run["encoder"]["name"] == "imported ViT-B-32/openai"


def test_datacomp_has_no_other_encoders(tmp_path: Path) -> None:
    meta = write_datacomp(tmp_path / "meta", [with_uids(tmp_path)])
    done = import_into(tmp_path, "audit", "--embeddings", meta, "--encoder", "toy")
    assert done.exit_code == 2
    assert "b32, l14" in done.stderr


def test_an_npz_without_its_parquet_is_refused(tmp_path: Path) -> None:
    meta = write_datacomp(tmp_path / "meta", [with_uids(tmp_path)])
    (meta / "0a1b.parquet").unlink()
    done = import_into(tmp_path, "audit", "--embeddings", meta)
    assert done.exit_code == 3
