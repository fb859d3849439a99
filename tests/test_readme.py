"""The README: what it shows works when it is pasted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import ROOT, run_program, snippets

PROGRAMS = snippets("README.md", "python")


def test_the_readme_s_first_snippet_works_when_pasted_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "pasted.py").write_text(PROGRAMS[0].text)
    done = subprocess.run(
        [sys.executable, "pasted.py"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", PROGRAMS[0].output)


def test_the_readme_shows_at_least_five_programs_that_fit_on_a_screen() -> None:
    assert len(PROGRAMS) >= 5
    assert all(len(snippet.text.splitlines()) <= 24 for snippet in PROGRAMS)


def test_the_readme_s_store_and_log_stream_go_on_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for program, first, second in (
        (PROGRAMS[1], "run 1", "run 2"),
        (PROGRAMS[2], "disk: 1\nweb-01 1", "disk: 2\nweb-01 2"),
    ):
        expected = program.output
        assert expected is not None
        assert run_program(program) == expected
        assert run_program(program) == expected.replace(first, second) != expected
