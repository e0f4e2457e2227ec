"""Signals: a stopped run says how to go on, and goes on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.audits import digests, score, write_striped

# Scoring takes long enough to be hit: a part may be written only while a file is there.
_SCORE = """
import sys, time
from pathlib import Path
from ncaudit.audit import score
from ncaudit.cli import main
from tests.support.audits import toy_encoders
gate, real = Path(sys.argv.pop()), score.write_part
def slow(path, table):
    real(path, table)
    gate.write_text("reached")
    time.sleep(60)
score.write_part = slow
with toy_encoders():
    main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 130), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_stopped_run_goes_on_to_the_same_bytes(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    # Too few pairs to fit on, so that the run takes no time: it ends with exit code 6.
    write_striped(tmp_path, n_pairs=30)
    gate, encoder = tmp_path / "gate", "toy-aligned"
    where = ["-o", str(tmp_path / "audit"), "--encoder", encoder, "-q"]
    command = [sys.executable, "-c", _SCORE, "score", str(tmp_path / "shards"), *where, str(gate)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while not gate.exists() and run.poll() is None:
            time.sleep(0.05)
        run.send_signal(number)
        _, said = run.communicate(timeout=30)
    assert run.returncode == code, said
    assert ("run the same command to go on" in said) == (code == 130)
    assert not (tmp_path / "audit/run.json").exists()
    assert score(tmp_path, encoder=encoder).exit_code == 6
    assert score(tmp_path, encoder=encoder, out="other").exit_code == 6
    assert digests(tmp_path / "audit") == digests(tmp_path / "other")
