from pathlib import Path
from typing import Any

import pytest

from ncaudit.audit import embed as module
from ncaudit.audit.embed import EmbedTask, MakeEmbed
from ncaudit.audit.stages import Stages
from ncaudit.embeddings.embed_shard import embedding_key
from ncaudit.errors import ConfigError
from ncaudit.shards.discover import discover_shards
from tests.support.shards import write_shard
from tests.support.toy_encoder import ToyEncoder, striped

TOY = ToyEncoder(aligned=True)


def maker(key: str = "") -> MakeEmbed:
    return MakeEmbed("toy", "cpu", key or embedding_key(TOY.card, "auto"), "auto", 64, encoder=TOY)


def task(folder: Path) -> EmbedTask:
    write_shard(folder / "0.tar", striped(4)[0])
    (shard,) = discover_shards([str(folder / "0.tar")])
    return EmbedTask(0, shard, folder / "embeddings/0")


def test_a_shard_that_ended_its_process_is_decoded_in_isolation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolated: list[bool] = []
    real = module.embed_shard

    def embed(shard: Any, folder: Path, encoder: Any, options: Any, *rest: Any) -> Any:
        isolated.append(options.isolated)
        if len(isolated) == 1:
            # What a process that is killed here leaves.
            monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
            raise KeyboardInterrupt
        return real(shard, folder, encoder, options.__class__(), *rest)

    monkeypatch.setattr(module, "embed_shard", embed)
    work, wanted = maker()(1), task(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work(wanted, lambda _: None)
    monkeypatch.undo()
    monkeypatch.setattr(module, "embed_shard", embed)
    for _ in range(2):
        work(wanted, lambda _: None)
    assert isolated == [False, True, False]


def test_an_interrupted_shard_is_not_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "embed_shard", stop)
    wanted = task(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        maker()(1)(wanted, lambda _: None)
    assert list(wanted.folder.iterdir()) == []


def test_a_worker_with_another_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="not the one of this process"):
        maker("another")(1)


def test_the_estimate_names_rate_time_left_and_bottleneck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([0.0, 1.0, 10.0, 20.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    notes: list[str] = []

    class Shown:
        def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None: ...

        def advance(self, k: int = 1) -> None: ...

        def note(self, text: str) -> None:
            notes.append(text)

    stages = Stages(Shown())
    stages.add_steps({"read": 1.0, "decode": 2.0, "encode": 7.0, "write": 0.1})
    progress = module._Progress(stages, 4_000)
    for _ in range(3):
        progress.end_shard(1_000, 100)
    assert notes == ["20 pairs/s, about 0:00:10 left; the longest step is to encode"]
