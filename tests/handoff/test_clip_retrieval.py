"""Embeddings that clip-retrieval's own writer wrote are imported."""

import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ncaudit.embeddings.cache import read_ids
from tests.support.audits import ncaudit
from tests.support.embedding_folders import embedded
from tests.support.peers import peers
from tests.support.shards import write_shard
from tests.support.toy_encoder import striped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
N_PAIRS = 24
# The module alone: its package would import all of clip-retrieval.
WRITE = """
import importlib.util, json, pathlib, sys, sysconfig
import numpy as np
import pyarrow.parquet as pq

packages = pathlib.Path(sysconfig.get_paths()["purelib"])
path = packages / "clip_retrieval/clip_inference/writer.py"
spec = importlib.util.spec_from_file_location("writer", path)
writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writer)

names = pq.read_table("names.parquet").to_pydict()
arrays = np.load("arrays.npz")
parts = np.array_split(np.arange(len(names["key"])), 11)
for number, rows in enumerate(parts):
    sink = writer.NumpyWriter(number, "clip", True, True, True, len(parts))
    sink({
        "image_embs": arrays["image"][rows],
        "text_embs": arrays["caption"][rows],
        "image_filename": [names["key"][row] for row in rows],
        "text": [names["caption"][row] for row in rows],
        "metadata": [json.dumps({"url": "u", "similarity": 0.5}) for _ in rows],
    })
    sink.flush()
"""


def test_every_pair_gets_the_embeddings_that_were_written_for_it(tmp_path: Path) -> None:
    programs = peers()
    shard = write_shard(tmp_path / "shards/0.tar", striped(N_PAIRS)[0])
    keys, _, captions, image, caption = embedded([shard])
    pq.write_table(pa.table({"key": keys, "caption": captions}), tmp_path / "names.parquet")
    np.savez(tmp_path / "arrays.npz", image=image, caption=caption)
    (tmp_path / "write.py").write_text(WRITE)
    written = subprocess.run(
        [str(programs / "python"), "write.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert written.returncode == 0, written.stderr
    out = tmp_path / "audit"
    words = ["-o", out, "--embeddings", tmp_path / "clip", "--quiet"]
    # 24 pairs are too few to fit on; what is asked here comes before.
    assert ncaudit("score", tmp_path / "shards", *words).exit_code == 6
    ids = read_ids(out / "embeddings/0").to_pylist()
    assert [row["status"] for row in ids] == ["scored"] * N_PAIRS
    of_key = {key: row for row, key in enumerate(keys)}
    order = [of_key[row["key"]] for row in ids]
    assert np.array_equal(np.load(out / "embeddings/0/image.npy"), image[order])
    assert np.array_equal(np.load(out / "embeddings/0/caption.npy"), caption[order])
