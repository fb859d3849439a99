from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_readme_s_first_snippet_works_when_pasted(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = tmp_path / "pasted.py"
    program.write_text(snippets[0])
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    assert done.stdout == ("host/web-01/disk DiskUsage(host='web-01', mount='/', used=0.91) from web-01\n")
    assert done.returncode == 0


def test_the_readme_s_snippet_fits_in_twenty_lines() -> None:
    text = (ROOT / "README.md").read_text()
    snippet = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    assert len(snippet.splitlines()) <= 20
