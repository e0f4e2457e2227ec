"""What can go wrong with a whole run, and what the user gets to read.

The tests are parametrised from this list, and the table in docs/operations.md is generated
from it.
"""

import errno
import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import pyarrow.parquet as pq
import pytest
import torch

from ncaudit.audit import free_space, score as score_module
from ncaudit.embeddings import embed_shard
from ncaudit.engine.ledger import Ledger
from ncaudit.report.parts import replace_columns
from ncaudit.shards import decode
from tests.fault.shard_faults import PICKLE
from tests.support.audits import ncaudit, score
from tests.support.crashing_decoder import crash_on_small
from tests.support.flaky_server import flaky_server
from tests.support.shards import jpeg, json_bytes, write_shard
from tests.support.toy_encoder import ToyEncoder, striped

HTML = "'\"></script><script>alert(1)</script><img src=x onerror=alert(2)>"


@dataclass(frozen=True, slots=True)
class Scene:
    """A copy of a finished audit of two shards, `folder/shards` and `folder/audit`."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def score(self, *words: object, **where: str) -> Any:
        return score(self.folder, *words, encoder="toy-aligned", **where)

    def model_file(self, name: str, content: bytes) -> Path:
        """Copy the run's model and put `content` in the place of one file."""
        copied = Path(shutil.copytree(self.folder / "audit/model", self.folder / "model"))
        (copied / name).write_bytes(content)
        return copied


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFault:
    """One way a run goes wrong.

    Attributes:
        name: Its name in the tests.
        what: What is wrong, for the documentation.
        outcome: What happens, for the documentation.
        exit_code: Exit code of the command.
        act: Does it, and returns the command's result.
        reads: What the user reads.
    """

    name: str
    what: str
    outcome: str
    exit_code: int
    act: Callable[[Scene], Any]
    reads: str


def another_seed(scene: Scene) -> Any:
    return scene.score("--seed", 1)


def changed_shard(scene: Scene) -> Any:
    write_shard(scene.folder / "shards/1.tar", striped(100, seed=9)[0])
    return scene.score()


def touched_shard(scene: Scene) -> Any:
    os.utime(scene.folder / "shards/1.tar", (1, 1))
    return scene.score()


def second_run(scene: Scene) -> Any:
    with Ledger(scene.folder / "audit").claim():
        return scene.score()


def second_clean(scene: Scene) -> Any:
    with Ledger(scene.folder / "cleaned").claim():
        return ncaudit("clean", scene.folder / "audit", "-o", scene.folder / "cleaned", "-q")


def little_space(scene: Scene) -> Any:
    scene.monkeypatch.setattr(free_space, "free_bytes", lambda _: 10)
    return scene.score("--model", scene.folder / "audit/model", out="other")


def foreign_folder(scene: Scene) -> Any:
    (scene.folder / "mine").mkdir()
    (scene.folder / "mine/thesis.txt").write_text("mine")
    return scene.score(out="mine")


def full_disk(scene: Scene) -> Any:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    scene.monkeypatch.setattr(score_module, "write_part", fail)
    return scene.score(out="other")


def full_device(scene: Scene) -> Any:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    scene.monkeypatch.setattr(ToyEncoder, "encode_images", fail)
    return scene.score(out="other")


def shell_command(scene: Scene) -> Any:
    return ncaudit("score", f"pipe:touch {scene.folder}/ran", "-o", scene.folder / "x")


def no_shards(scene: Scene) -> Any:
    return ncaudit("score", scene.folder / "audit", "-o", scene.folder / "x")


def nothing_readable(scene: Scene) -> Any:
    (scene.folder / "bad").mkdir()
    (scene.folder / "bad/0.tar").write_bytes(b"no tar" * 999)
    return ncaudit("score", scene.folder / "bad", "-o", scene.folder / "x", "--encoder", "toy")


def pickled_model(scene: Scene) -> Any:
    return scene.score("--model", scene.model_file("heads.safetensors", PICKLE), out="other")


def poisoned_model(scene: Scene) -> Any:
    model = scene.model_file("calibration.json", b'{"outside": [], "labelled": null}')
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps(card | {"temperature": 0}))
    return scene.score("--model", model, out="other")


def foreign_model(scene: Scene) -> Any:
    shutil.copytree(scene.folder / "audit/model", scene.folder / "model")
    words = ["--model", scene.folder / "model", "--encoder", "toy", "-q"]
    return ncaudit("score", scene.folder / "shards", "-o", scene.folder / "x", *words)


def foreign_index(scene: Scene) -> Any:
    for name in ("read_index", "read_index_binary", "deserialize_index", "read_VectorTransform"):
        scene.monkeypatch.setattr(faiss, name, None)
    for folder in ("shards", "audit", "audit/model", "audit/embeddings/0", "audit/rematch"):
        for name in ("index.faiss", "knn.index"):
            (scene.folder / folder / name).write_bytes(b"IxFI" + b"\xff" * 99)
    for lost in ("run.json", "rematch/proposals.parquet", "ledger/propose/proposals.json"):
        (scene.folder / "audit" / lost).unlink()
    before = (scene.folder / "audit/audit.csv").read_bytes()
    done = scene.score()
    assert (scene.folder / "audit/audit.csv").read_bytes() == before
    return done


def address_in_data(scene: Scene) -> Any:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    scene.monkeypatch.setattr(socket.socket, "connect", refuse)
    fields = {"url": "http://192.0.2.1/s.jpg", "caption": "http://192.0.2.1/", "src": "s3://a/b"}
    samples = [("a", {"jpg": jpeg("red"), "json": json_bytes(fields)})]
    write_shard(scene.folder / "shards/2.tar", samples)
    done = scene.score("--model", scene.folder / "audit/model", out="other")
    assert pq.read_table(scene.folder / "other/scores/2.parquet")["status"].to_pylist() == [
        "scored"
    ]
    return done


def html_in_data(scene: Scene) -> Any:
    part = scene.folder / "audit/scores/0.parquet"
    n_rows = pq.read_metadata(part).num_rows
    replace_columns(part, {name: [HTML] * n_rows for name in ("key", "caption", "reasons")})
    done = ncaudit("report", scene.folder / "audit", "-q")
    page = (scene.folder / "audit/report.html").read_text()
    assert page.count("<script") == 2
    assert "<img src=x" not in page
    return done


def hostile_verdicts(scene: Scene) -> Any:
    (scene.folder / "verdicts.csv").write_bytes(b"shard,key,caption_index,verdict\n0,a,\xff,\0\n")
    words = ["-o", scene.folder / "x", "--verdicts", scene.folder / "verdicts.csv"]
    return ncaudit("clean", scene.folder / "audit", *words)


def bad_embedding(scene: Scene) -> Any:
    scene.monkeypatch.setattr(embed_shard, "_is_unit", lambda row: bool(row[0] < 0.5))
    return scene.score(out="other")


def decoder_crash(scene: Scene) -> Any:
    crashing = {"jpg": jpeg("red", (5, 24)), "txt": b"red left"}
    write_shard(scene.folder / "shards/1.tar", [("a", crashing), *striped(3)[0]])
    scene.monkeypatch.setattr(decode, "decode_image", crash_on_small)
    return ncaudit("validate", scene.folder / "shards", "-q")


def broken_connection(scene: Scene) -> Any:
    with flaky_server(scene.folder / "shards", 503) as server:
        return ncaudit("validate", f"{server.url}/0.tar?token=t0ken", "-q", "--no-decode")


def refused_connection(scene: Scene) -> Any:
    with flaky_server(scene.folder / "shards", *[403] * 9) as server:
        return ncaudit("validate", f"{server.url}/0.tar?token=t0ken", "-q", "--no-decode")


RUN_FAULTS = (
    RunFault(
        name="another_seed",
        what="another setting in the folder of a run",
        outcome="refused, with every difference",
        exit_code=5,
        act=another_seed,
        reads="seed: 0 -> 1",
    ),
    RunFault(
        name="changed_shard",
        what="a shard that changed since the run",
        outcome="refused, with its name",
        exit_code=5,
        act=changed_shard,
        reads="shards: changed 1",
    ),
    RunFault(
        name="touched_shard",
        what="a shard with another time and the same content",
        outcome="the run is complete",
        exit_code=0,
        act=touched_shard,
        reads="audit.csv",
    ),
    RunFault(
        name="second_run",
        what="a second run in the same folder",
        outcome="refused, with the process that holds the folder",
        exit_code=5,
        act=second_run,
        reads="is in use by process",
    ),
    RunFault(
        name="second_clean",
        what="a second `ncaudit clean` in the same folder",
        outcome="refused, with the process that holds the folder",
        exit_code=5,
        act=second_clean,
        reads="is in use by process",
    ),
    RunFault(
        name="little_space",
        what="less free space than a run may need",
        outcome="a warning before anything is read; the run goes on",
        exit_code=0,
        act=little_space,
        reads="GB free",
    ),
    RunFault(
        name="foreign_folder",
        what="an output folder with other files",
        outcome="refused; nothing is touched",
        exit_code=5,
        act=foreign_folder,
        reads="is not empty and not an ncaudit run directory",
    ),
    RunFault(
        name="full_disk",
        what="a full disk",
        outcome="stops; the same command goes on",
        exit_code=4,
        act=full_disk,
        reads="is full",
    ),
    RunFault(
        name="full_device",
        what="a device without memory for even one image",
        outcome="stops, after batches were halved down to one; the same command goes on",
        exit_code=4,
        act=full_device,
        reads="is out of memory",
    ),
    RunFault(
        name="shell_command",
        what="a `pipe:` URL, which WebDataset gives to a shell",
        outcome="refused",
        exit_code=3,
        act=shell_command,
        reads="would run a shell command",
    ),
    RunFault(
        name="no_shards",
        what="a folder without shards",
        outcome="refused",
        exit_code=3,
        act=no_shards,
        reads="no .tar shards in",
    ),
    RunFault(
        name="nothing_readable",
        what="no shard that can be read",
        outcome="stops; the folder stays free",
        exit_code=3,
        act=nothing_readable,
        reads="no shard could be read",
    ),
    RunFault(
        name="pickled_model",
        what="a pickle in the place of a model's weights",
        outcome="refused; never unpickled",
        exit_code=7,
        act=pickled_model,
        reads="does not hold a fitted model",
    ),
    RunFault(
        name="poisoned_model",
        what="a model with NaN, wrong shapes or impossible numbers",
        outcome="refused",
        exit_code=7,
        act=poisoned_model,
        reads="the temperature cannot be right",
    ),
    RunFault(
        name="foreign_index",
        what="FAISS index files of others in the folders of shards, run and model",
        outcome="never loaded; the result has the same bytes",
        exit_code=0,
        act=foreign_index,
        reads="audit.csv",
    ),
    RunFault(
        name="address_in_data",
        what="URLs in `.json` members and captions",
        outcome="text like any other; never opened",
        exit_code=0,
        act=address_in_data,
        reads="audit.csv",
    ),
    RunFault(
        name="html_in_data",
        what="HTML in keys and captions, scripts and quotes included",
        outcome="shown as text by `ncaudit report` and `ncaudit review`",
        exit_code=0,
        act=html_in_data,
        reads="report.html",
    ),
    RunFault(
        name="foreign_model",
        what="a model of another encoder",
        outcome="refused, with every difference",
        exit_code=2,
        act=foreign_model,
        reads="was fitted with another encoder",
    ),
    RunFault(
        name="hostile_verdicts",
        what="a verdicts file that is no CSV of verdicts",
        outcome="refused, with the line",
        exit_code=2,
        act=hostile_verdicts,
        reads="cannot be read",
    ),
    RunFault(
        name="bad_embedding",
        what="an embedding that is zero or not finite",
        outcome="the pair is rejected as `embedding_invalid`",
        exit_code=0,
        act=bad_embedding,
        reads="embedding_invalid",
    ),
    RunFault(
        name="decoder_crash",
        what="an image that ends the process that decodes it",
        outcome="the pair is rejected as `decoder_crash`, the others are read",
        exit_code=0,
        act=decoder_crash,
        reads="decoder_crash: the decoder was killed by SIGSEGV",
    ),
    RunFault(
        name="broken_connection",
        what="a remote read that fails",
        outcome="tried again after 1 and 4 seconds",
        exit_code=0,
        act=broken_connection,
        reads="good",
    ),
    RunFault(
        name="refused_connection",
        what="a remote read that goes on failing",
        outcome="that shard is `shard_unreadable`; URLs are shown without credentials",
        exit_code=3,
        act=refused_connection,
        reads="shard_unreadable",
    ),
)
