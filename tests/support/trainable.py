"""Cleaned shards that trainers can read, made once for many tests."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.audits import ncaudit
from tests.support.runs import proposal, write_run
from tests.support.toy_encoder import striped

N_PAIRS = 260


def clean_striped(folder: Path, *words: object) -> Any:
    """Write two shards and a run over them, clean that into `folder/cleaned`."""
    shards, bad = {}, {}
    for number in range(2):
        shards[f"{number:05d}"], wrong = striped(N_PAIRS // 2, seed=number)
        bad |= {(key, 0): 0.9 for key in wrong}
    repaired = sorted(bad)[::2]
    write_run(folder, shards, bad, proposals={pair: proposal("red left") for pair in repaired})
    return ncaudit("clean", folder / "audit", "-o", folder / "cleaned", "--quiet", *words)


def run(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a shell would, in a folder, with this interpreter as `python`, offline."""
    line = command.strip().replace("python -m", f"{sys.executable} -m", 1)
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    offline = {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env=os.environ | offline | environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
