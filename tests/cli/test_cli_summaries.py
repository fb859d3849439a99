"""What commands that print no results say with --json: what they have done, as one object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_stores import hosts
from processes import broker, finished

from broker.cli.app import run_app
from broker.trust.keys import SecretKey


async def done(*arguments: str, stdin: str = "", expected: int = 0) -> Any:
    code, output, errors = await finished(*broker(*arguments), stdin=stdin)
    assert code == expected, errors
    return json.loads(output)


async def test_what_was_published_loaded_and_written_is_told(tmp_path: Path) -> None:
    nobody = ("--listen", "tcp://127.0.0.1:0", "--wait", "0", "--json")
    assert await done("pub", "t", "E", *nobody, stdin="1\n2\n") == {"sent": 2, "unwanted": 2, "lost": 0}

    spool = str(tmp_path / "disks.spool")
    written = await done("log", "write", "disks", "--spool", spool, "--json", stdin='{"a": 1}\n[1]\n', expected=2)
    assert written == {"written": 1, "wrong": 1, "lost": 0, "last": 1}

    async with hosts() as mesh:
        lines = '{"key": 1, "value": 2}\n{"key": 3, "value": 4, "expires": "2001-01-01T00:00:00+00:00"}\n'
        loaded = await done("store", "load", "hosts", "-", "--connect", mesh.address, "--json", stdin=lines)
        assert loaded == {"loaded": 1, "expired": 1}


def test_keys_and_who_is_trusted_are_told_as_they_are_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROKER_KEYS", str(tmp_path))
    monkeypatch.delenv("BROKER_ACCESS", raising=False)

    def told(*arguments: str) -> Any:
        assert run_app(["keys", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    first = told("new", "web-01")["key"]
    assert first == told("show", "web-01")["key"]
    assert told("trust", first, "--name", "web-01", "--group", "agents")["keys"] == [first]
    assert told("group", "agents", "--publish", "x/")["publish"] == ["x/"]
    assert told("group", "agents")["members"] == ["web-01"]
    coming = told("rotate", "web-01")["key"]
    assert told("rotate", "web-01", "--finish")["key"] == coming != first
    assert told("revoke", "web-01")["state"] == "revoked"
    capsys.readouterr()
    assert run_app(["keys", "trust", str(SecretKey(bytes(32)).public), "--name", "web-01", "--json"]) == 2
    assert capsys.readouterr().out == ""
