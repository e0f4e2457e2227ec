import tarfile
from pathlib import Path
from typing import Any

from tests.support.cleaning import CAPTIONS, cleaned, members, notes, outcomes
from tests.support.runs import write_run
from tests.support.shards import jpeg, json_bytes


def several(txt: str, captions: list[Any], **more: Any) -> dict[str, bytes]:
    values = {"url": "x", "captions": captions, **more}
    return {
        "jpg": jpeg("red"),
        "json": json_bytes(values),
        "txt": txt.encode(),
        "npy": b"\x01" * 9,
    }


def test_bad_captions_leave_and_the_sample_stays(tmp_path: Path) -> None:
    samples = [
        ("a", several("one", CAPTIONS)),
        ("b", several("one", CAPTIONS)),
        ("c", several("x", CAPTIONS)),
    ]
    bad = {("a", 0): 0.9, ("a", 2): 0.8, ("b", 1): 0.9, ("c", 0): 0.9}
    write_run(tmp_path, {"0": samples}, bad, captions="json:captions")
    summary = cleaned(tmp_path)
    assert members(tmp_path / "cleaned/0.tar") == [
        ("a.jpg", jpeg("red")),
        ("a.json", b'{"url": "x", "captions": ["two"]}'),
        ("a.txt", b"two"),
        ("a.npy", b"\x01" * 9),
        ("b.jpg", jpeg("red")),
        ("b.json", b'{"url": "x", "captions": ["one", "three"]}'),
        ("b.txt", b"one"),
        ("b.npy", b"\x01" * 9),
        ("c.jpg", jpeg("red")),
        ("c.json", b'{"url": "x", "captions": ["two", "three"]}'),
        ("c.txt", b"x"),  # was none of the captions: left alone
        ("c.npy", b"\x01" * 9),
    ]
    assert not (tmp_path / "cleaned/rejected/0.tar").exists()
    totals = summary.totals
    assert [totals[n] for n in ("n_pairs", "n_kept", "n_dropped", "n_rewritten")] == [9, 5, 4, 3]


def test_a_sample_leaves_when_all_its_captions_do(tmp_path: Path) -> None:
    samples = [("a", several("one", CAPTIONS)), ("b", several("one", CAPTIONS))]
    bad = {("a", i): 0.9 for i in range(3)}
    write_run(tmp_path, {"0": samples}, bad, captions="json:captions")
    cleaned(tmp_path)
    assert [name for name, _ in members(tmp_path / "cleaned/0.tar")] == [
        "b.jpg",
        "b.json",
        "b.txt",
        "b.npy",
    ]
    note = notes(tmp_path / "cleaned/rejected/0.tar")["a"]
    assert [entry["caption_index"] for entry in note["pairs"]] == [0, 1, 2]


def test_captions_that_could_not_be_scored_leave_too(tmp_path: Path) -> None:
    samples = [("a", several("", ["", 7, "good"], title=None))]
    write_run(tmp_path, {"0": samples}, {}, captions="json:CAPTIONS")
    summary = cleaned(tmp_path)
    assert dict(members(tmp_path / "cleaned/0.tar"))["a.json"] == (
        b'{"url": "x", "captions": ["good"], "title": null}'
    )
    assert (summary.totals["n_kept"], summary.totals["n_rejected"]) == (1, 2)
    assert outcomes(tmp_path / "cleaned", ("0",)) == {
        "a2": "success",
        "a": "caption_empty",
        "a1": "caption_not_text",
    }


def test_auto_finds_the_list_that_scoring_found(tmp_path: Path) -> None:
    values = {"caption": None, "Captions": ["one", "two"]}
    samples = [("a", {"jpg": jpeg("red"), "json": json_bytes(values)})]
    write_run(tmp_path, {"0": samples}, {("a", 0): 0.9})
    cleaned(tmp_path)
    assert dict(members(tmp_path / "cleaned/0.tar"))["a.json"] == (
        b'{"caption": null, "Captions": ["two"]}'
    )


def test_a_rewritten_member_keeps_its_owner_mode_and_time(tmp_path: Path) -> None:
    write_run(
        tmp_path,
        {"0": [("a", several("one", CAPTIONS))]},
        {("a", 1): 1.0},
        captions="json:captions",
    )
    cleaned(tmp_path)
    headers = []
    for tar in ("shards/0.tar", "cleaned/0.tar"):
        with tarfile.open(tmp_path / tar) as file:
            headers.append([(i.name, i.mode, i.mtime, i.uid, i.uname) for i in file])
    assert headers[0] == headers[1]
