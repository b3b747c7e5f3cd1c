"""Files are written whole or not at all, and what killed writers leave is removed."""

import os
import signal
import subprocess
import sys

import pytest

from galestim._io import files
from galestim._io.files import PREFIX, file_names, written_whole

CODE = """
import sys, time
from pathlib import Path
from galestim._io.files import written_whole
with written_whole(sys.argv[1]) as path:
    path.write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def writer(path):
    """A process that has written half of a file."""
    process = subprocess.Popen([sys.executable, "-c", CODE, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, end):
    (tmp_path / "a.txt").write_bytes(b"before")
    process = writer(tmp_path / "a.txt")
    process.send_signal(end)
    process.communicate()
    assert (tmp_path / "a.txt").read_bytes() == b"before"
    assert len(names(tmp_path)) == 2
    with written_whole(tmp_path / "b.txt") as path:
        path.write_bytes(b"whole")
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_a_writer_at_work_is_left_alone(tmp_path):
    process = writer(tmp_path / "a.txt")
    with written_whole(tmp_path / "b.txt") as path:
        path.write_bytes(b"whole")
    (hidden,) = tmp_path.glob(f"{PREFIX}*")
    assert (hidden / "a.txt").read_bytes() == b"half"
    process.kill()
    process.communicate()


def test_only_what_it_made_itself_is_removed(tmp_path):
    kept = [f"{PREFIX}notes", f"{PREFIX}ABCDEFGH", "galestim-abcdefgh", f"x{PREFIX}abcdefgh"]
    for name in kept:
        (tmp_path / name).mkdir()
    deep = tmp_path / f"{PREFIX}abcdefgh" / "folder"
    deep.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (tmp_path / f"{PREFIX}abcdefgi").symlink_to(outside)
    before = names(tmp_path)
    with written_whole(tmp_path / "b.txt") as path:
        path.touch()
    assert names(tmp_path) == sorted([*before, "b.txt"])
    assert (outside / "precious").exists()


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, KeyboardInterrupt])
def test_failing_leaves_things_as_they_were(tmp_path, error):
    (tmp_path / "a.txt").write_bytes(b"before")

    def write():
        with written_whole(tmp_path / "a.txt") as path:
            path.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"before"


def test_without_locks_files_are_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    (tmp_path / f"{PREFIX}abcdefgh").mkdir()
    with written_whole(tmp_path / "a.txt") as path:
        path.write_bytes(b"whole")
    assert names(tmp_path) == [f"{PREFIX}abcdefgh", "a.txt"]
    assert os.listdir(tmp_path / f"{PREFIX}abcdefgh") == []


@pytest.mark.parametrize(
    "name", ["", "../evil", "/abs/evil", "a/b", "a\\b", "a\0b", "a\nb", "\x1b[2J", "x" * 251, "é" * 126, "\udc80"]
)
def test_names_that_no_file_may_have(name):
    with pytest.raises(ValueError, match=r"cannot be that of a file; expected 1 to 250 bytes without slashes"):
        file_names(["a", name], ".fits")


def test_equal_names_and_names_that_are_fine():
    with pytest.raises(ValueError, match=r"1 names occur more than once, such as 'a\.fits'; expected unique ones"):
        file_names(["a", "b", "a"], ".fits")
    assert file_names(["..", "J1+2", "λ Ori", "x" * 250], ".fits") == [
        "...fits",
        "J1+2.fits",
        "λ Ori.fits",
        "x" * 250 + ".fits",
    ]


def test_a_folder_that_is_none_is_named(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="nowhere is not a folder; make it first"),
        written_whole(tmp_path / "nowhere" / "a.txt"),
    ):
        pass
