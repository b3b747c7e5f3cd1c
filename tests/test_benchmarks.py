"""Every benchmark script still runs, in its smallest form; its full form and numbers are in docs/benchmarks.md."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
SDSS = Path(__file__).resolve().parents[2] / "shared" / "data" / "sdss_jpeg"


def run(script, *options):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, options)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_every_script_is_run_here():
    scripts = {path.name for path in BENCHMARKS.glob("[!_]*.py")}
    assert scripts == {"downsampling.py", "memory.py", "sdss_morphology.py", "spin_ceiling.py"}


def test_spin_ceiling(tmp_path):
    out = tmp_path / "spin.jsonl"
    run("spin_ceiling.py", "--galaxies", 40, "--test-galaxies", 40, "--epochs", 1, "--out", out)
    result = json.loads(out.read_text())
    assert result["ceiling"] == pytest.approx(0.8676, abs=1e-4)
    assert result["share_of_ceiling"] == pytest.approx(result["pearson"] / result["ceiling"], abs=1e-3)


def test_memory(tmp_path):
    out = tmp_path / "memory.jsonl"
    run("memory.py", "--gigabytes", 0.05, "--folder", tmp_path, "--out", out)
    result = json.loads(out.read_text())
    assert result["peak_gigabytes"] >= result["peak_before_fit_gigabytes"] > 0.1
    assert list(tmp_path.iterdir()) == [out]


def test_downsampling():
    assert "area" in run("downsampling.py", "--images", 4, "--repeats", 1)


@pytest.mark.skipif(not SDSS.exists(), reason="the real SDSS images are not beside this checkout")
def test_sdss_morphology(tmp_path):
    out = tmp_path / "sdss.jsonl"
    tiny = ["cnnregressor__max_epochs=1", "downsampler__size=16"]
    run("sdss_morphology.py", "--only", "features", "--folds", 0, "--out", out)
    table = run("sdss_morphology.py", "--only", "features", "compact", "--folds", 0, "--out", out, "--set", *tiny)
    run("sdss_morphology.py", "--only", "search", "--out", out, "--set", *tiny)
    features, compact, search = map(json.loads, out.read_text().splitlines())  # what is done is not done again
    assert len(search["scores"]) == 4
    assert all(0 <= score <= 1 for score in search["scores"].values())
    assert features["auc"] > 0.7
    assert (features["what"], compact["what"]) == ("features", "compact")
    assert "| features | 1 | 0.7" in table
