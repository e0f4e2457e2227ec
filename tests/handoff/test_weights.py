"""The snippet of docs/ecosystem.md that gives each pair its weight."""

import json
import re
from pathlib import Path

import pytest

from tests.support.trainable import clean_striped, run

PAGE = (Path(__file__).parents[2] / "docs/ecosystem.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_every_kept_pair_gets_its_weight(tmp_path: Path) -> None:
    done = clean_striped(tmp_path)
    assert done.exit_code == 0, done.output
    snippet = next(code for code in SNIPPETS if "weights[" in code)
    code = (
        f"seen = []\n{snippet.replace('...', 'seen.append(weight)')}\nprint(len(seen), set(seen))"
    )
    (tmp_path / "weighted.py").write_text(code)
    ended = run("python -m weighted", tmp_path)
    assert ended.returncode == 0, ended.stderr
    sizes = json.loads((tmp_path / "cleaned/sizes.json").read_text())
    assert ended.stdout.split() == [str(sizes["00000.tar"]), "{0.9}"]
