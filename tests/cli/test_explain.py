import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.audits import ncaudit, rows, score, write_striped
from tests.support.scored_runs import write_scored_run
from tests.support.shards import jpeg, json_bytes, pair

HOSTILE = "[red]a dog[/red] \x1b[2J\x1b]0;owned\x07"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shards = {
        "00000": [
            ("a", pair("red", HOSTILE)),
            ("both", pair("red", "one")),
            ("img-17", pair("red", "x")),
        ],
        "00001": [("both", pair("blue", "two"))],
    }
    return write_scored_run(tmp_path, shards, {("a", 0): 0.9}, repairs={"a": "a red thing"})


def test_all_evidence_is_on_one_screen(run: Path) -> None:
    done = ncaudit("explain", run, "a")
    assert done.exit_code == 0
    for words in ("00000/a", "a red thing", "0.900", "neg_clip_loss", "a.jpg in", "no model"):
        assert words in done.stdout
    assert len(done.stdout.splitlines()) <= 40


def test_captions_reach_the_terminal_as_text(run: Path) -> None:
    out = ncaudit("explain", run, "a").stdout
    assert "\x1b" not in out
    assert "\x07" not in out
    assert r"[red]a dog[/red] \x1b[2J\x1b]0;owned\x07" in " ".join(out.split())


def test_signals_stand_among_those_of_the_run(run: Path) -> None:
    found = json.loads(ncaudit("explain", run, "a", "--json").stdout)
    by_name = {signal["name"]: signal for signal in found["signals"]}
    assert found["p_percentile"] == 87.5  # above three of four, half of itself
    assert by_name["similarity"]["percentile"] == 12.5
    assert by_name["similarity"]["suspicion"] == 87.5
    assert by_name["neg_clip_loss"]["decided"]
    assert "mscn_similarity" not in by_name


def test_a_key_in_several_shards_lists_them(run: Path) -> None:
    done = ncaudit("explain", run, "both")
    assert done.exit_code == 2
    assert done.stderr == (
        "error: both is in 2 shards:\n  00000\n  00001\n"
        " hint: Name the one you mean: --shard 00000\n"
    )


@pytest.mark.parametrize("words", [["both", "--shard", "00001"], ["00001/both"]])
def test_the_shard_can_be_named(run: Path, words: list[str]) -> None:
    assert "two" in ncaudit("explain", run, *words).stdout


def test_an_unknown_key_suggests_near_ones(run: Path) -> None:
    done = ncaudit("explain", run, "img-71")
    assert done.exit_code == 2
    assert "hint: Near it: img-17" in done.stderr


def test_an_unknown_shard_suggests_near_ones(run: Path) -> None:
    done = ncaudit("explain", run, "a", "--shard", "0000")
    assert (done.exit_code, "has no shard 0000" in done.stderr) == (2, True)


def test_of_several_captions_the_most_suspicious_is_explained(tmp_path: Path) -> None:
    members = {"jpg": jpeg("red"), "json": json_bytes({"captions": ["one", "two"]})}
    run = write_scored_run(tmp_path, {"00000": [("a", members)]}, {("a", 1): 0.7})
    found = json.loads(ncaudit("explain", run, "a", "--json").stdout)
    assert (found["pair"]["caption"], found["other_captions"]) == ("two", [[0, "one", 0.1]])
    first = json.loads(ncaudit("explain", run, "a", "--json", "--caption", 0).stdout)
    assert first["pair"]["caption"] == "one"
    assert ncaudit("explain", run, "a", "--caption", 7).exit_code == 2


def test_a_rejected_pair_says_why(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, {"00000": [("a", {"jpg": jpeg("red"), "txt": b""})]}, {})
    done = ncaudit("explain", run, "a")
    assert (done.exit_code, "caption_empty" in done.stdout) == (0, True)


@pytest.mark.slow
def test_better_captions_and_images_come_from_the_run(tmp_path: Path) -> None:
    write_striped(tmp_path)
    assert score(tmp_path).exit_code == 0
    worst = max(rows(tmp_path), key=lambda row: float(row["p_mismatch"] or 0))
    words = ["explain", tmp_path / "audit", worst["key"], "--shard", worst["shard"]]
    found = json.loads(ncaudit(*words, "--json").stdout)
    for candidates in (found["nearest"]["captions"], found["nearest"]["images"]):
        assert candidates
        assert all(each["p_mismatch"] < found["pair"]["p"] for each in candidates)
    best = found["nearest"]["captions"][0]
    assert best["similarity"] > float(worst["similarity"])
    assert ncaudit(*words).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("attributes", "has_picture"), [("62;4", True), ("62", False)])
def test_a_terminal_with_sixel_graphics_shows_the_picture(
    run: Path, attributes: str, has_picture: bool
) -> None:
    said = in_terminal([sys.executable, "-m", "ncaudit", "explain", str(run), "a"], attributes)
    assert ("\x1bP" in said) == has_picture
    assert "00000/a" in said


def in_terminal(words: list[str], attributes: str) -> str:
    """Run a command in a terminal that answers to `ESC [ c` with its attributes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 1000, 800))
    environment = os.environ | {"TERM": "xterm-256color"}
    said = b""
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, env=environment) as process:
        os.close(theirs)
        while process.poll() is None or select.select([ours], [], [], 0.2)[0]:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if b"\x1b[c" in piece:
                os.write(ours, f"\x1b[?{attributes}c".encode())
            said += piece
    os.close(ours)
    return said.decode("utf-8", "replace")
