"""Log files as people see them: names, rotation, compression, and what they say when something is in the way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killed_disk import FullDisk, contents, numbers_in, visible
from sink_records import Longer, Number, Written, numbers

import broker
from broker.log_records import Column, columns_of
from broker.sinks import LogFiles, LogFilesDamaged, LogFilesError, LogFilesInUse, LogFilesStats

COLUMNS = columns_of(Number)
AT_S = 1_795_667_880.0  # 2026-11-26T04:38:00Z


class Clock:
    def __init__(self) -> None:
        self.now_s = AT_S

    def __call__(self) -> float:
        return self.now_s


def write(files: LogFiles, first: int, last: int) -> None:
    files.append(numbers(first, last), COLUMNS)
    files.commit(str(last).encode())


def names(directory: Path) -> list[str]:
    return [path.name for path in visible(directory)]


def test_records_go_into_a_current_file_and_the_checkpoint_with_them(tmp_path: Path) -> None:
    with LogFiles(tmp_path / "logs", "n", clock=Clock()) as files:
        checkpoints = [files.checkpoint]
        files.append(numbers(1, 3), COLUMNS)
        assert names(tmp_path / "logs") == []
        assert files.commit(b"three")
        checkpoints.append(files.checkpoint)
        assert checkpoints == [None, b"three"]
        assert numbers_in(tmp_path / "logs") == [1, 2, 3]
        size = files.path.stat().st_size
        assert files.stats == LogFilesStats(records=3, bytes=size, files=0)
    with LogFiles(tmp_path / "logs", "n", clock=Clock()) as files:
        assert files.checkpoint == b"three"
        write(files, 4, 4)
    assert names(tmp_path / "logs") == ["n.log"]
    assert numbers_in(tmp_path / "logs") == [1, 2, 3, 4]


def test_a_closed_file_ends_as_zeeks_do_and_goes_on_where_it_was(tmp_path: Path) -> None:
    for last in (1, 2):
        with LogFiles(tmp_path, "n", clock=Clock()) as files:
            write(files, last, last)
        lines = (tmp_path / "n.log").read_text().splitlines()
        assert lines[-1] == "#close\t2026-11-26-04-38-00"
        assert [line for line in lines if "#open" in line or "#close" in line][1:] == lines[-1:]


def test_what_was_not_committed_is_forgotten(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        write(files, 1, 2)
        files.append(numbers(3, 4), COLUMNS)
    assert numbers_in(tmp_path) == [1, 2]


def test_rotation_by_size(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n", rotate_bytes=200, clock=Clock()) as files:
        assert not files.rotate_due()
        assert not files.rotate()
        for last in range(1, 10):
            write(files, last, last)
            if files.rotate_due():
                assert files.rotate()
        assert files.stats.files == 2
    assert names(tmp_path) == [
        "n.2026-11-26T04-38-00Z-0001.log",
        "n.2026-11-26T04-38-00Z-0002.log",
        "n.log",
    ]
    assert all(path.read_text().splitlines()[-1].startswith("#close") for path in visible(tmp_path))
    assert numbers_in(tmp_path) == list(range(1, 10))


def test_rotation_by_time_is_at_whole_multiples(tmp_path: Path) -> None:
    clock = Clock()
    with LogFiles(tmp_path, "n", rotate_s=3600, clock=clock) as files:
        write(files, 1, 1)
        clock.now_s = AT_S + 21 * 60
        assert not files.rotate_due()
        clock.now_s = AT_S + 22 * 60  # 05:00
        assert files.rotate_due()
        assert files.rotate_due(AT_S + 22 * 60)
        files.rotate()
        assert not files.rotate_due()
        write(files, 2, 2)
    assert names(tmp_path) == ["n.2026-11-26T04-38-00Z-0001.log", "n.log"]


def test_a_clock_set_back_does_not_mix_up_the_files(tmp_path: Path) -> None:
    clock = Clock()
    with LogFiles(tmp_path, "n", clock=clock) as files:
        for last in (1, 2, 3):
            write(files, last, last)
            files.rotate()
            clock.now_s -= 1000
    assert numbers_in(tmp_path) == [1, 2, 3]


def test_no_file_is_written_over(tmp_path: Path) -> None:
    taken = tmp_path / "n.2026-11-26T04-38-00Z-0001.log.gz"
    taken.write_text("somebody's")
    with LogFiles(tmp_path, "n", clock=Clock()) as files:
        write(files, 1, 1)
        files.rotate()
    assert taken.read_text() == "somebody's"
    assert (tmp_path / "n.2026-11-26T04-38-00Z-0002.log").exists()


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_finished_files_are_compressed_and_the_oldest_removed(tmp_path: Path, compress: Any) -> None:
    with LogFiles(tmp_path, "n", compress=compress, keep=2, clock=Clock()) as files:
        for last in (1, 2, 3):
            write(files, last, last)
            files.rotate()
            files.tidy()
    suffix = {"gzip": "gz", "zstd": "zst"}[compress]
    assert names(tmp_path) == [f"n.2026-11-26T04-38-00Z-000{number}.log.{suffix}" for number in (2, 3)]
    if compress == "gzip":
        assert numbers_in(tmp_path) == [2, 3]
    else:
        import pyarrow as pa

        with pa.input_stream(str(visible(tmp_path)[0]), compression="zstd") as stream:
            assert stream.read().decode().splitlines()[-2].endswith("\t2")


def test_more_columns_begin_a_new_file_and_fewer_do_not(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n", clock=Clock()) as files:
        write(files, 1, 1)
        files.append([Written(Longer(2))], columns_of(Longer))
        files.append(numbers(3, 3), COLUMNS)
        files.commit(b"3")
        files.append(numbers(4, 4), COLUMNS)
        files.commit(b"4")
    old, new = visible(tmp_path)
    assert contents(old).decode().splitlines()[6] == "#fields\tts\tn"
    assert [line.split("\t")[1:] for line in contents(new).decode().splitlines()[8:-1]] == [
        ["2", "more"],
        ["3", "-"],
        ["4", "-"],
    ]


def test_other_settings_begin_a_new_file(tmp_path: Path) -> None:
    for time_column in (None, "", ""):
        with LogFiles(tmp_path, "n", time_column=time_column, clock=Clock()) as files:
            write(files, 1, 1)
    old, new = visible(tmp_path)
    assert (b"#fields\tts\tn\n" in contents(old), b"#fields\tn\n" in contents(new)) == (True, True)


def test_columns_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files, pytest.raises(LogFilesError, match="two columns named 'a'"):
        files.append([Written(broker.Event("none", (1, 2)))], (Column("a", "int"), Column("a", "int")))


def test_a_second_writer_is_refused_and_other_streams_are_not(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "n")
    with LogFiles(tmp_path, "m"), LogFiles(tmp_path, "n", format="json"):
        pass
    with pytest.raises(LogFilesInUse, match=r"n\.log: another process writes"):
        LogFiles(tmp_path, "n")
    files.close()
    LogFiles(tmp_path, "n").close()


@pytest.mark.parametrize("damage", [b"", b"garbage\n", b"00000000 {}\n"])
def test_a_damaged_state_is_named_with_what_to_do(tmp_path: Path, damage: bytes) -> None:
    with LogFiles(tmp_path, "n") as files:
        write(files, 1, 3)
    before = (tmp_path / "n.log").read_bytes()
    (tmp_path / ".n.log.state").write_bytes(damage)
    with pytest.raises(
        LogFilesDamaged, match=r"\.n\.log\.state: the state file is damaged .* restore it from a backup"
    ):
        LogFiles(tmp_path, "n")
    assert (tmp_path / "n.log").read_bytes() == before


def test_any_flipped_bit_of_the_state_is_seen(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        write(files, 1, 3)
    path = tmp_path / ".n.log.state"
    good = path.read_bytes()
    for place in range(len(good) - 1):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(LogFilesDamaged):
            LogFiles(tmp_path, "n")


def test_a_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    import zlib

    text = b'{"version":2}'
    (tmp_path / ".n.log.state").write_bytes(b"%08x %b\n" % (zlib.crc32(text), text))
    with pytest.raises(LogFilesError, match="of version 2, this program knows 1"):
        LogFiles(tmp_path, "n")


def test_a_current_file_cut_by_somebody_is_an_error_and_one_taken_away_is_not(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        write(files, 1, 3)
    whole = (tmp_path / "n.log").read_bytes()
    (tmp_path / "n.log").write_bytes(whole[:50])
    with pytest.raises(LogFilesDamaged, match="has 50 bytes"):
        LogFiles(tmp_path, "n")
    (tmp_path / "n.log").unlink()
    with LogFiles(tmp_path, "n") as files:
        assert files.checkpoint == b"3"
        write(files, 4, 4)
    assert numbers_in(tmp_path) == [4]


def test_somebody_elses_current_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "n.log").write_text("mine")
    with pytest.raises(LogFilesError, match="not ours has this name: move it elsewhere"):
        LogFiles(tmp_path, "n")
    (tmp_path / "n.log").unlink()
    with LogFiles(tmp_path, "n") as files:
        (tmp_path / "n.log").write_text("mine")
        files.append(numbers(1, 1), COLUMNS)
        with pytest.raises(LogFilesError, match="not ours"):
            files.commit(b"1")
        (tmp_path / "n.log").rename(tmp_path / "mine")
        files.commit(b"1")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "n.log").read_text().count("\t1\n") == 1


@pytest.mark.parametrize("kind", ["tsv", "json", "parquet"])
@pytest.mark.parametrize("at", range(1, 12))
def test_on_a_full_disk_nothing_is_lost_and_the_same_call_goes_on(tmp_path: Path, kind: Any, at: int) -> None:
    disk = FullDisk(at)
    files = LogFiles(tmp_path, "n", format=kind, rotate_bytes=1, disk=disk, clock=Clock())
    failures = 0
    for last in (2, 4, 6):
        files.append(numbers(last - 1, last), COLUMNS)
        for work in (lambda last=last: files.commit(str(last).encode()), files.rotate):
            while True:
                try:
                    work()
                    break
                except OSError as error:
                    failures += error.errno == errno.ENOSPC
                    disk.room = failures > 2
                    # No half of a record stays behind.
                    assert kind == "parquet" or all(contents(path).endswith(b"\n") for path in visible(tmp_path))
        committed = int(files.checkpoint or b"0")
        assert committed == last
        assert numbers_in(tmp_path) == list(range(1, last + 1))
    files.close()
    assert failures == 3
    with LogFiles(tmp_path, "n", format=kind, rotate_bytes=1) as files:
        assert files.checkpoint == b"6"
    assert numbers_in(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_records_can_be_added_after_a_rotation_that_failed(tmp_path: Path) -> None:
    disk = FullDisk(5)
    with LogFiles(tmp_path, "n", disk=disk, clock=Clock()) as files:
        write(files, 1, 1)
        with pytest.raises(OSError, match="No space left"):
            files.rotate()
        disk.room = True
        write(files, 2, 2)
    assert names(tmp_path) == ["n.2026-11-26T04-38-00Z-0001.log", "n.log"]
    assert numbers_in(tmp_path) == [1, 2]


FULL = """
import resource, signal, sys
from sink_records import numbers, Number
from broker.log_records import columns_of
from broker.sinks import LogFiles

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
with LogFiles(sys.argv[1], "n") as files:
    for last in range(100, 100_000, 100):
        files.append(numbers(last - 99, last), columns_of(Number))
        try:
            files.commit(str(last).encode())
        except OSError as error:
            assert files.path.stat().st_size <= 5000
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            files.commit(str(last).encode())
            print(last)
            break
"""


def test_a_write_that_the_system_cuts_short_is_made_good(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE is not None
    assert signal.SIGXFSZ
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        capture_output=True,
    )
    assert numbers_in(tmp_path) == list(range(1, int(done.stdout) + 1))


def test_rotation_waits_for_the_commit(tmp_path: Path) -> None:
    with LogFiles(tmp_path, "n") as files:
        files.append(numbers(1, 1), COLUMNS)
        with pytest.raises(LogFilesError, match="commit first"):
            files.rotate()


def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "n")
    files.close()
    files.close()
    with pytest.raises(LogFilesError, match="closed"):
        files.append(numbers(1, 1), COLUMNS)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"format": "csv"}, "format is"),
        ({"stream": "a/b"}, "cannot be a file's name"),
        ({"stream": ".."}, "cannot be a file's name"),
        ({"stream": ""}, "cannot be a file's name"),
        ({"stream": "a\n"}, "cannot be a file's name"),
        ({"stream": "a" * 181}, "at most 180 bytes"),
        ({"rotate_bytes": 0}, "rotate_bytes"),
        ({"rotate_s": 0}, "rotate_s"),
        ({"rotate_s": float("nan")}, "rotate_s"),
        ({"keep": 0}, "keep"),
        ({"compress": "lzma"}, "compress is"),
        ({"timestamps": "millis", "format": "json"}, "timestamps are"),
        ({"format": "parquet"}, "give rotate_bytes or rotate_s"),
        ({"format": "parquet", "rotate_s": 1, "compress": "gzip"}, "leave compress out"),
    ],
)
def test_arguments_that_cannot_be_are_refused(tmp_path: Path, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        LogFiles(tmp_path, **{"stream": "n", **arguments})


@pytest.fixture
def _without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in sys.modules if name.startswith(("pyarrow", "broker.sinks.parquet"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    yield
    sys.modules.pop("broker.sinks.parquet", None)


@pytest.mark.usefixtures("_without_pyarrow")
@pytest.mark.parametrize("arguments", [{"format": "parquet", "rotate_s": 60}, {"compress": "zstd"}])
def test_without_pyarrow_the_error_says_what_to_install(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ImportError, match=r"pip install 'broker-mesh\[parquet\]'"):
        LogFiles(tmp_path, "n", **arguments)
