"""The code of docs/python.md runs as it stands."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "python.md"


@pytest.mark.filterwarnings("ignore::diffeo.DiffeoWarning")
def test_blocks_run_one_after_another(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) >= 6
    names = {}
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), names)
    assert (tmp_path / "model.png").exists() and len(names["parts"]) == 2
