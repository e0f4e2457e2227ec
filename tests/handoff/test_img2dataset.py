"""The real img2dataset before an audit and after it, and clip-retrieval's reader at its end."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.audits import ncaudit, score
from tests.support.cleaning import contents
from tests.support.http_shards import FileServer, served
from tests.support.peers import peers
from tests.support.toy_encoder import striped
from tests.support.trainable import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
N_IMAGES = 240
N_GONE = 5


@dataclass(frozen=True)
class Downloaded:
    """What img2dataset wrote to `folder/shards`, scored, cleaned, and where it came from.

    Attributes:
        folder: Its `shards`, `audit` and `cleaned`.
        server: Where the images are.
        similarity: URL to the score that the list of URLs has.
        before: Digests of the shards' folder before it was scored.
    """

    folder: Path
    server: FileServer
    similarity: dict[str, float]
    before: dict[str, str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Downloaded]:
    programs = peers()
    folder = tmp_path_factory.mktemp("img2dataset")
    with served(folder / "web") as server:
        similarity = write_urls(folder, server)
        download(programs, folder)
        before = contents(folder / "shards")
        scored = score(folder, "--no-rematch", encoder="toy-aligned")
        assert scored.exit_code == 0, scored.output
        out = folder / "cleaned"
        extras = ["--clip-retrieval", "--card"]
        cleaned = ncaudit("clean", folder / "audit", "-o", out, "--quiet", *extras)
        assert cleaned.exit_code == 0, cleaned.output
        yield Downloaded(folder, server, similarity, before)


def write_urls(folder: Path, server: FileServer) -> dict[str, float]:
    """Write images to serve and a list of them, some of which are gone."""
    (folder / "web").mkdir()
    samples, _ = striped(N_IMAGES)
    rows = []
    for at, (key, members) in enumerate(samples):
        (folder / "web" / f"{key}.jpg").write_bytes(members["jpg"])
        url = f"{server.url}/{key}.jpg"
        rows.append({"url": url, "caption": members["txt"].decode(), "similarity": at / 1000})
    for at in range(N_GONE):
        gone = {"url": f"{server.url}/gone{at}.jpg", "caption": "gone", "similarity": 1.0}
        rows.insert(40 * at, gone)
    for at, row in enumerate(rows):
        row["uid"] = f"{at:032x}"
    pq.write_table(pa.Table.from_pylist(rows), folder / "urls.parquet")
    return {str(row["url"]): float(row["similarity"]) for row in rows}


def download(programs: Path, folder: Path) -> str:
    """Run img2dataset as it is run anywhere; returns what it printed."""
    words = {
        "url_list": "urls.parquet",
        "input_format": "parquet",
        "caption_col": "caption",
        "save_additional_columns": '["similarity","uid"]',
        "output_format": "webdataset",
        "output_folder": "shards",
        "number_sample_per_shard": "150",
        "resize_mode": "no",
        "processes_count": "1",
        "thread_count": "4",
        "incremental_mode": "incremental",
    }
    options = [word for name, value in words.items() for word in (f"--{name}", value)]
    # albumentations would ask the network for its newest version.
    quiet = {"NO_ALBUMENTATIONS_UPDATE": "1"}
    ended = subprocess.run(
        [str(programs / "img2dataset"), *options],
        cwd=folder,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def parts(done: Downloaded) -> list[dict[str, object]]:
    files = sorted((done.folder / "audit/scores").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_every_image_that_was_downloaded_is_scored(done: Downloaded) -> None:
    rows = parts(done)
    assert len(rows) == N_IMAGES
    assert {row["status"] for row in rows} == {"scored"}


def test_scores_of_the_url_list_stand_beside_ours(done: Downloaded) -> None:
    rows = parts(done)
    assert all(row["sidecar_similarity"] == done.similarity[str(row["url"])] for row in rows)


def test_scoring_and_cleaning_leave_its_folder_as_it_was(done: Downloaded) -> None:
    assert contents(done.folder / "shards") == done.before


def test_img2dataset_goes_on_in_its_folder_and_finds_nothing_to_do(done: Downloaded) -> None:
    n_requests = len(done.server.requests)
    printed = download(peers(), done.folder)
    assert "File sharded in 0 shards" in printed
    assert len(done.server.requests) == n_requests
    assert contents(done.folder / "shards") == done.before


def test_img2dataset_does_again_the_shard_that_is_gone(done: Downloaded) -> None:
    own = done.folder / "again"
    own.mkdir()
    (own / "urls.parquet").write_bytes((done.folder / "urls.parquet").read_bytes())
    (own / "shards").mkdir()
    for name in ("00000.tar", "00000.parquet", "00000_stats.json"):
        (own / "shards" / name).write_bytes((done.folder / "shards" / name).read_bytes())
    download(peers(), own)
    assert contents(own / "shards").keys() == done.before.keys()


def test_uids_of_what_is_kept_are_a_subset_for_datacomp(done: Downloaded) -> None:
    subset = np.load(done.folder / "cleaned/subset_uids.npy", allow_pickle=False)
    tables = sorted((done.folder / "cleaned").glob("0*.parquet"))
    kept = [int(uid, 16) for table in tables for uid in pq.read_table(table)["uid"].to_pylist()]
    assert [high for high, _ in subset.tolist()] == [0] * len(kept)
    assert [low for _, low in subset.tolist()] == sorted(kept)


def n_kept(done: Downloaded) -> int:
    return sum(json.loads((done.folder / "cleaned/sizes.json").read_text()).values())


def test_webdataset_reads_the_cleaned_shards(done: Downloaded) -> None:
    code = """
import glob, webdataset as wds
tars = sorted(glob.glob("cleaned/*.tar"))
data = wds.WebDataset(tars, shardshuffle=False).decode("pil")
print(len([sample["txt"] for sample in data if sample["jpg"].size == (24, 24)]))
"""
    (done.folder / "wds.py").write_text(code)
    ended = run("python -m wds", done.folder)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) == n_kept(done)


def test_datasets_reads_the_cleaned_folder_by_its_card(done: Downloaded) -> None:
    code = """
from datasets import load_dataset
data = load_dataset("cleaned", split="train")
print(len(data), data[0]["jpg"].size[0], data[0]["json"]["status"])
"""
    (done.folder / "hf.py").write_text(code)
    ended = run("python -m hf", done.folder, HF_HOME=str(done.folder / "cache"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [str(n_kept(done)), "24", "success"]


def test_clip_retrievals_reader_reads_the_exported_embeddings(done: Downloaded) -> None:
    code = """
import json, sys
from embedding_reader import EmbeddingReader
seen = []
for kind in ("img_emb", "text_emb"):
    reader = EmbeddingReader(
        embeddings_folder=f"cleaned/clip-retrieval/{kind}",
        metadata_folder="cleaned/clip-retrieval/metadata",
        meta_columns=["image_path", "caption"],
        file_format="parquet_npy",
    )
    for rows, meta in reader(batch_size=64, show_progress=False):
        for row, key, caption in zip(rows, meta["image_path"], meta["caption"]):
            seen.append([kind, key, caption, [float(x) for x in row]])
json.dump(seen, open("seen.json", "w"))
"""
    (done.folder / "reader.py").write_text(code)
    ended = subprocess.run(
        [str(peers() / "python"), "reader.py"],
        cwd=done.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads((done.folder / "seen.json").read_text())
    assert seen == expected_rows(done)


def expected_rows(done: Downloaded) -> list[list[object]]:
    """Return what the reader should see, from the run's own cache."""
    rows = []
    for kind, side in (("img_emb", "image"), ("text_emb", "caption")):
        for table in sorted((done.folder / "cleaned").glob("0*.parquet")):
            cache = done.folder / "audit/embeddings" / table.stem
            ids = pq.read_table(cache / "ids.parquet").to_pylist()
            at = {row["key"]: row["embedding_row"] for row in ids}
            array = np.load(cache / f"{side}.npy")
            rows += [
                [kind, row["key"], row["caption"], array[at[row["key"]]].tolist()]
                for row in pq.read_table(table).to_pylist()
            ]
    return rows
