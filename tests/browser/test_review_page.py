"""The review page served by the real command, and killed like a real process."""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ncaudit.audit.review_verdicts import read_verdict_rows
from tests.support.scored_runs import many_pairs, write_scored_run

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror='window.hacked = 1'></script><script>window.hacked = 2</script>"
Wait = Callable[[str], Any]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shards, p = many_pairs(60)
    repairs = {f"{at:05d}": HOSTILE for at in range(60)}
    return write_scored_run(tmp_path, shards, p, repairs=repairs)


@contextmanager
def served(run: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run the command; yields the address it printed, and kills it in the end."""
    words = [sys.executable, "-m", "ncaudit", "review", str(run), "--no-open", "--pairs", "45"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "http://" in line)
            yield line.strip(), process
        finally:
            process.kill()


def decide(press: Callable[..., None], wait_for: Wait, key: str) -> None:
    """Press a key and wait until the next pair is there."""
    before = wait_for("document.body.dataset.shown")
    press(key)
    wait_for(f"document.body.dataset.shown !== '{before}' && document.body.ariaBusy === 'false'")


def test_twenty_verdicts_outlive_a_killed_server(
    run: Path, browser: Any, press: Callable[..., None], wait_for: Wait
) -> None:
    keys = ["m", "x", "r", "u", "\ue014", "\ue012", "\ue013", "\ue015"]
    meanings = ["match", "mismatch", "rematch", "unsure"] * 2
    with served(run) as (address, process):
        browser.get(address)
        for at in range(20):
            decide(press, wait_for, keys[at % 8])
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    found = read_verdict_rows(run / "verdicts.csv")
    assert [row.verdict for row in found.values()] == [meanings[at % 8] for at in range(20)]
    assert all(row.weight and row.stratum and row.decided_at for row in found.values())
    with served(run) as (address, _):
        browser.get(address)
        wait_for("document.body.dataset.shown === '20'")
        assert wait_for("document.getElementById('count').textContent").startswith("20 of ")
        press("z")
        wait_for("document.body.dataset.shown === '19'")
    assert len(read_verdict_rows(run / "verdicts.csv")) == 19


def test_captions_are_text_and_only_this_server_is_asked(
    run: Path, browser: Any, wait_for: Wait, requested: Callable[[], list[str]]
) -> None:
    with served(run) as (address, _):
        browser.get(address)
        wait_for(
            "document.querySelector('#picture img') && document.querySelector('#picture img').naturalWidth"
        )
        assert HOSTILE in wait_for("document.querySelector('.better .caption').textContent")
        assert browser.execute_script("return window.hacked === undefined")
        ours = urlsplit(address)
        origin = f"{ours.scheme}://{ours.netloc}"
        asked = requested()
        assert all(x.startswith((origin, f"blob:{origin}")) for x in asked)
        assert not any("0000" in x or ours.fragment in x.partition("#")[0] for x in asked)


def test_the_page_shows_nothing_without_its_token(run: Path, browser: Any, wait_for: Wait) -> None:
    with served(run) as (address, _):
        browser.get(address.partition("#")[0])
        assert "Open the address from the terminal" in wait_for("document.body.innerText")
        browser.get("about:blank")
        browser.get(address + "x")
        wait_for("!document.getElementById('problem').hidden")


def test_requests_of_other_sites_are_refused(run: Path) -> None:
    with served(run) as (address, _):
        ours = urlsplit(address)

        def status(**headers: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=10)
            sent = {"Host": ours.netloc, "X-Ncaudit-Token": ours.fragment}
            connection.request("GET", "/state", headers=sent | headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        assert status() == 200
        assert status(Host="evil.example") == 403
        assert status(Origin="http://evil.example") == 403
        assert status(**{"X-Ncaudit-Token": "guess"}) == 403


def test_a_second_review_of_the_run_is_refused(run: Path) -> None:
    with served(run):
        words = [sys.executable, "-m", "ncaudit", "review", str(run), "--no-open"]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "reviewed by another process" in done.stderr) == (5, True)


def test_the_evidence_is_hidden_until_asked_for(
    run: Path, browser: Any, press: Callable[..., None], wait_for: Wait
) -> None:
    with served(run) as (address, _):
        browser.get(address)
        wait_for("document.body.dataset.shown")
        assert browser.execute_script("return document.getElementById('evidence').hidden")
        press("i")
        assert "p_mismatch" in wait_for("document.getElementById('evidence').innerText")
        press("?")
        assert browser.execute_script("return document.getElementById('help').open")
