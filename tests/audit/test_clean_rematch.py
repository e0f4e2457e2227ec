import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ncaudit import __version__
from ncaudit.errors import ConfigError
from ncaudit.files import read_json
from tests.support.cleaning import CAPTIONS, cleaned, members, outcomes
from tests.support.runs import proposal, score_by_hand, write_run
from tests.support.shards import Samples, jpeg, json_bytes, pair, write_shard

SHARDS: dict[str, Samples] = {
    "0": [("a", pair("red", "red")), ("b", pair("blue", "red")), ("c", pair("green", "red"))],
    "1": [("donor", pair("red", "blue")), ("d", pair("red", "red"))],
}
BAD = {("b", 0): 0.9, ("c", 0): 0.9, ("donor", 0): 0.9}
BLUE = {("b", 0): proposal("blue")}


def captions_of(tar: Path) -> dict[str, str]:
    return {name: text.decode() for name, text in members(tar) if name.endswith("txt")}


def note_of(tar: Path, name: str = "b.json") -> Any:
    return json.loads(dict(members(tar))[name])["ncaudit"]


def sample(**members_of: bytes) -> dict[str, bytes]:
    return {"jpg": jpeg("blue"), **members_of}


def test_an_accepted_caption_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals=BLUE)
    summary = cleaned(tmp_path, apply_rematch=True)
    assert captions_of(tmp_path / "cleaned/0.tar") == {"a.txt": "red", "b.txt": "blue"}
    assert note_of(tmp_path / "cleaned/0.tar") == {
        "version": __version__,
        "rematched": [
            {
                "caption_index": 0,
                "p_mismatch": 0.9,
                "rematch_shard": "1",
                "rematch_key": "donor",
                "rematch_confidence": 0.8,
                "rematch_p_mismatch": 0.05,
                "original_caption": "red",
                "decided_by": "threshold",
            }
        ],
    }
    assert dict(members(tmp_path / "cleaned/0.tar"))["b.jpg"] == jpeg("blue")
    assert summary.totals["n_rematched"] == 1


def test_rematched_pairs_count_as_kept(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals=BLUE)
    totals = cleaned(tmp_path, apply_rematch=True).totals
    counts = [totals[f"n_{name}"] for name in ("pairs", "kept", "rematched", "dropped")]
    assert counts == [5, 3, 1, 2]
    assert read_json(tmp_path / "cleaned/clean.json")["totals"] == totals
    assert totals["mismatches_removed"] == pytest.approx(2.7)
    assert totals["mismatches_left"] == pytest.approx(0.1 + 0.05 + 0.1)


def test_the_donor_is_decided_by_itself(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals=BLUE)
    cleaned(tmp_path, apply_rematch=True)
    assert outcomes(tmp_path / "cleaned")["donor"] == "dropped"
    assert outcomes(tmp_path / "cleaned")["b"] == "success"


def test_without_the_flag_proposals_change_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals=BLUE)
    assert cleaned(tmp_path).totals["n_rematched"] == 0
    assert outcomes(tmp_path / "cleaned")["b"] == "dropped"
    assert "original_caption" not in pq.read_schema(tmp_path / "cleaned/0.parquet").names


def test_the_table_says_what_was_replaced_and_by_what(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals=BLUE)
    cleaned(tmp_path, apply_rematch=True)
    columns = ["key", "caption", "original_caption", "p_mismatch", "rematch_key", "rematch_shard"]
    assert pq.read_table(tmp_path / "cleaned/0.parquet", columns=columns).to_pylist() == [
        dict(zip(columns, row, strict=True))
        for row in (
            ("a", "red", None, 0.1, None, None),
            ("b", "blue", "red", 0.05, "donor", "1"),
        )
    ]


@pytest.mark.parametrize(
    ("settings", "change", "kept"),
    [
        ({}, {}, True),
        ({"min_confidence": 0.8}, {}, True),
        ({"min_confidence": 0.9}, {}, False),
        ({}, {"verdict": "drop"}, False),
        ({}, {"confidence": 0.4}, False),
        ({}, {"p_mismatch": 0.6}, False),
        ({"threshold": 0.7}, {"p_mismatch": 0.6}, True),
    ],
)
def test_only_accepted_proposals_of_enough_confidence_are_used(
    tmp_path: Path, settings: dict[str, Any], change: dict[str, Any], kept: bool
) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals={("b", 0): proposal("blue", **change)})
    totals = cleaned(tmp_path, apply_rematch=True, **settings).totals
    assert totals["n_rematched"] == int(kept)


def test_a_pair_that_stays_anyway_keeps_its_caption(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals={("a", 0): proposal("blue")})
    cleaned(tmp_path, apply_rematch=True)
    assert captions_of(tmp_path / "cleaned/0.tar") == {"a.txt": "red"}


@pytest.mark.parametrize(
    ("verdict", "captions"),
    [
        ("rematch", {"a.txt": "red", "b.txt": "blue"}),
        ("match", {"a.txt": "red", "b.txt": "red"}),
        ("mismatch", {"a.txt": "red"}),
        ("unsure", {"a.txt": "red"}),
    ],
)
def test_a_person_outranks_what_the_audit_makes_of_a_proposal(
    tmp_path: Path, verdict: str, captions: dict[str, str]
) -> None:
    rejected = proposal("blue", verdict="drop", confidence=0.1, p_mismatch=0.99)
    write_run(tmp_path, SHARDS, BAD, proposals={("b", 0): rejected})
    file = tmp_path / "verdicts.csv"
    file.write_text(f"shard,key,caption_index,verdict\n0,b,0,{verdict}\n")
    cleaned(tmp_path, apply_rematch=True, verdicts=file)
    assert captions_of(tmp_path / "cleaned/0.tar") == captions


def test_a_person_accepts_in_vain_where_nothing_is_proposed(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals=BLUE)
    file = tmp_path / "verdicts.csv"
    file.write_text("shard,key,caption_index,verdict\n0,a,0,rematch\n")
    cleaned(tmp_path, apply_rematch=True, verdicts=file)
    assert outcomes(tmp_path / "cleaned")["a"] == "dropped"


def test_all_samples_of_a_tar_get_a_json_if_one_gets_its_first(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD, proposals=BLUE)
    cleaned(tmp_path, apply_rematch=True)
    names = [name for name, _ in members(tmp_path / "cleaned/0.tar")]
    assert names == ["a.jpg", "a.txt", "a.json", "b.jpg", "b.txt", "b.json"]
    assert note_of(tmp_path / "cleaned/0.tar", "a.json")["rematched"] == []
    assert [name for name, _ in members(tmp_path / "cleaned/1.tar")] == ["d.jpg", "d.txt"]


@pytest.mark.parametrize("captions", ["auto", "txt", "json:caption"])
def test_both_txt_and_json_lose_the_old_caption(tmp_path: Path, captions: str) -> None:
    values = {"caption": "red", "url": "red", "ncaudit": {"old": 1}}
    samples = [("b", sample(txt=b"red", json=json_bytes(values), npy=b"0"))]
    write_run(tmp_path, {"0": samples}, BAD, proposals=BLUE, captions=captions)
    cleaned(tmp_path, apply_rematch=True)
    found = dict(members(tmp_path / "cleaned/0.tar"))
    assert list(found) == ["b.jpg", "b.txt", "b.json", "b.npy"]
    assert found["b.txt"] == b"blue"
    new = json.loads(found["b.json"])
    assert (new["caption"], new["url"], new["ncaudit"]["before"]) == ("blue", "red", {"old": 1})


def test_texts_that_are_another_caption_are_left_alone(tmp_path: Path) -> None:
    samples = [("b", sample(txt=b"mine", json=json_bytes({"caption": "red", "title": "other"})))]
    write_run(tmp_path, {"0": samples}, BAD, proposals=BLUE, captions="json:caption")
    cleaned(tmp_path, apply_rematch=True)
    found = dict(members(tmp_path / "cleaned/0.tar"))
    assert found["b.txt"] == b"mine"
    assert json.loads(found["b.json"])["title"] == "other"


def test_a_json_that_is_no_object_stays_and_the_note_goes_beside_it(tmp_path: Path) -> None:
    write_run(tmp_path, {"0": [("b", sample(txt=b"red", json=b"[1]"))]}, BAD, proposals=BLUE)
    cleaned(tmp_path, apply_rematch=True)
    found = dict(members(tmp_path / "cleaned/0.tar"))
    assert (found["b.json"], found["b.txt"]) == (b"[1]", b"blue")
    assert note_of(tmp_path / "cleaned/0.tar", "b.ncaudit.json")["rematched"]


def test_of_several_captions_some_leave_and_some_are_replaced(tmp_path: Path) -> None:
    samples = [("b", sample(txt=b"two", json=json_bytes({"captions": CAPTIONS})))]
    bad = {("b", 0): 0.9, ("b", 1): 0.9}
    write_run(
        tmp_path,
        {"0": samples},
        bad,
        proposals={("b", 1): proposal("blue")},
        captions="json:captions",
    )
    totals = cleaned(tmp_path, apply_rematch=True).totals
    found = dict(members(tmp_path / "cleaned/0.tar"))
    assert json.loads(found["b.json"])["captions"] == ["blue", "three"]
    assert found["b.txt"] == b"blue"
    (entry,) = note_of(tmp_path / "cleaned/0.tar")["rematched"]
    assert (entry["caption_index"], entry["original_caption"]) == (1, "two")
    counts = [totals[n] for n in ("n_kept", "n_rematched", "n_dropped", "n_rewritten")]
    assert counts == [2, 1, 1, 1]


def test_gzip_shards_are_repaired_too(tmp_path: Path) -> None:
    write_shard(tmp_path / "shards/0.tar.gz", SHARDS["0"])
    score_by_hand(tmp_path, BAD, proposals=BLUE)
    cleaned(tmp_path, apply_rematch=True)
    assert captions_of(tmp_path / "cleaned/0.tar") == {"a.txt": "red", "b.txt": "blue"}


def test_a_run_without_proposals_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    with pytest.raises(ConfigError, match="no proposals to apply") as caught:
        cleaned(tmp_path, apply_rematch=True)
    assert "leave out --apply-rematch" in caught.value.hint
    assert not (tmp_path / "cleaned").exists()


def test_a_confidence_without_proposals_to_apply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="min_confidence"):
        cleaned(tmp_path, min_confidence=0.7)
