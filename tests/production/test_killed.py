import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork")
CHUNK = 10  # rows: 30 partitions


@pytest.fixture(scope="module")
def run(survey):
    """Run it in a process of its own: into a folder, killed after some partitions, with files that large."""
    command = [sys.executable, str(Path(__file__).with_name("_killed.py")), str(survey.folder), str(CHUNK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"

        def in_child(out, parts=-1, seconds=0.0, limit=0):
            process.stdin.write(f"{out} {parts} {seconds} {limit}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield in_child
        process.stdin.close()


def visible(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder) == "done"
    return visible(folder)


def test_killed_at_ten_moments_and_resumed_it_is_the_same_to_the_bit(run, whole, tmp_path):
    rng, ended, grown = np.random.default_rng(0), [], [0]
    while "done" not in ended and len(ended) < 10:
        ended.append(run(tmp_path, grown[-1] + int(rng.integers(0, 3)), rng.uniform(0, 0.06)))
        found = visible(tmp_path)
        assert found.items() <= whole.items()  # each whole, none half
        assert len(found) >= grown[-1]
        grown.append(len(found))
    if "done" not in ended:
        assert run(tmp_path) == "done"
    assert ended.count("killed") >= 5  # ten, unless the machine is very quick
    assert len({n for n in grown if 0 < n < 30}) >= 2  # in the midst of it
    assert visible(tmp_path) == whole
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("part-")] == ["_manifest.json"]
    rows = pq.read_table(tmp_path, columns=["row"])["row"].to_pylist()
    assert sorted(rows) == list(range(300))
    assert json.loads((tmp_path / "_manifest.json").read_text())["progress"]["rows_done"] == 300


def test_a_full_disk(run, whole, tmp_path):
    said = run(tmp_path, limit=4000)
    assert said.startswith("OSError: ")
    assert "part-000000.parquet could not be written: " in said
    assert said.endswith("the other partitions are whole; make room, and run this again.")
    assert [path.name for path in tmp_path.iterdir()] == ["_manifest.json"]
    assert run(tmp_path) == "done"
    assert visible(tmp_path) == whole
