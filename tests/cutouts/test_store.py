"""The cache never gives back what was not put in, whatever happens to the process or the folder."""

import hashlib
import json
import logging
import os
import pickle
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from galestim.cutouts._store import CutoutStore, request_key

from ._faulty import script

REQUEST = {"source": "SkyServer", "ra": 150.1, "dec": -2.2, "npix": 64}
KEY = request_key(REQUEST)


@pytest.fixture
def store(tmp_path):
    return CutoutStore(tmp_path / "cache")


def files(store, kind):
    return [file for file in (store.folder / kind).rglob("*") if file.is_file()]


def assert_sound(store):
    """Every object is what its name says, and every request has its object."""
    for file in files(store, "objects"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    for file in files(store, "requests"):
        assert json.loads(file.read_text())["request"]
        assert store.get(file.stem) is not None


def test_what_is_put_comes_back(store):
    assert store.get(KEY) is None
    store.put(KEY, b"image", REQUEST)
    assert store.get(KEY) == CutoutStore(store.folder).get(KEY) == b"image"
    assert store.missing(KEY) is None
    store.put(KEY, b"", REQUEST)
    assert store.get(KEY) == b""


def test_same_bytes_are_kept_once(store):
    for ra in range(3):
        store.put(request_key({"ra": ra}), b"black", {"ra": ra})
    assert len(files(store, "objects")) == 1
    assert len(files(store, "requests")) == 3
    assert not files(store, "tmp")


def test_folder_is_made_when_needed(store):
    store.get(KEY)
    store.missing(KEY)
    assert not store.folder.exists()


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GALESTIM_CACHE", str(tmp_path / "mine"))
    assert CutoutStore().folder == tmp_path / "mine"
    monkeypatch.delenv("GALESTIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert CutoutStore().folder == tmp_path / "galestim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert CutoutStore().folder == tmp_path / ".cache" / "galestim"
    assert CutoutStore("~/cutouts").folder == tmp_path / "cutouts"


def test_copies(store):
    store.put(KEY, b"image", REQUEST)
    assert pickle.loads(pickle.dumps(store)).get(KEY) == b"image"
    assert repr(store) == f"CutoutStore({str(store.folder)!r})"


# --- missing cutouts ----------------------------------------------------------------------------------------


def test_missing_cutouts_are_remembered_for_30_days(store):
    assert store.missing(KEY) is None
    store.put_missing(KEY, "outside the survey", REQUEST)
    assert store.missing(KEY) == "outside the survey"
    assert store.get(KEY) is None
    (file,) = files(store, "requests")
    for days, remembered in [(29.9, "outside the survey"), (30.1, None)]:
        then = time.time() - days * 86400
        os.utime(file, (then, then))
        assert store.missing(KEY) == remembered


def test_the_last_answer_counts(store):
    store.put_missing(KEY, "outside the survey", REQUEST)
    store.put(KEY, b"image", REQUEST)
    assert (store.get(KEY), store.missing(KEY)) == (b"image", None)
    store.put_missing(KEY, "withdrawn", REQUEST)
    assert (store.get(KEY), store.missing(KEY)) == (None, "withdrawn")


# --- damage -------------------------------------------------------------------------------------------------


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip_a_byte, lambda file: os.truncate(file, 3), lambda file: os.truncate(file, 0)]
)
def test_damaged_object_is_noticed_and_replaced(store, damage, caplog):
    store.put(KEY, b"an image", REQUEST)
    (file,) = files(store, "objects")
    damage(file)
    assert store.get(KEY) is None
    assert f"{file} is damaged" in caplog.text
    assert not file.exists()
    store.put(KEY, b"an image", REQUEST)
    assert store.get(KEY) == b"an image"


def test_any_damage_to_an_entry_is_no_answer_or_the_right_one(store):
    store.put(KEY, b"an image", REQUEST)
    (file,) = files(store, "requests")
    sound = file.read_bytes()
    for i in range(len(sound)):
        for damaged in (sound[:i], sound[:i] + bytes([sound[i] ^ 0x81]) + sound[i + 1 :]):
            file.write_bytes(damaged)
            assert store.get(KEY) in (None, b"an image")
            assert store.missing(KEY) is None


@pytest.mark.parametrize(
    "entry", [[], 3, {"object": 3}, {"object": "../../secret"}, {"missing": 3}, {"object": None}]
)
def test_strange_entries(store, entry):
    store.put(KEY, b"an image", REQUEST)
    (file,) = files(store, "requests")
    file.write_text(json.dumps(entry))
    assert store.get(KEY) is None
    assert store.missing(KEY) is None


@pytest.mark.parametrize(
    "content",
    [b"7" * 5000, b'{"object": ' + b"1" * 9999 + b"}", b"[" * 10**5, b'{"a":' * 10**5, b"\xff\xfe", b"", b"null",
     b'{"request": NaN}', b'{"missing": "outside"}', b'{"missing": "outside", "request": [[]]}', b" " * 2**21],
    ids=lambda content: str(content[:12]),
)  # fmt: skip
def test_entries_that_json_cannot_read_count_as_absent(store, content):
    store.put(KEY, b"an image", REQUEST)
    (file,) = files(store, "requests")
    file.write_bytes(content)
    assert (store.get(KEY), store.missing(KEY)) == (None, None)
    store.put(KEY, b"an image", REQUEST)
    assert store.get(KEY) == b"an image"


@pytest.mark.parametrize("change", [{"ra": 150.2}, {"npix": 65}, {"source": "Soda"}, {"more": None}])
def test_the_entry_of_another_request_is_not_believed(store, change):
    other = {**REQUEST, **change}
    store.put(request_key(other), b"another galaxy", other)
    (theirs,) = files(store, "requests")
    ours = store.folder / "requests" / KEY[:2] / f"{KEY}.json"
    ours.parent.mkdir(exist_ok=True)
    theirs.rename(ours)  # or a tool that restored a backup did so
    assert store.get(KEY) is None
    store.put_missing(request_key(other), "outside", other)
    theirs.rename(ours)
    assert store.missing(KEY) is None


def test_wrong_key(store):
    with pytest.raises(ValueError, match=r"key='\.\./x'; expected the 64 hexadecimal digits that request_key gives"):
        store.get("../x")


# --- several writers, and their end -------------------------------------------------------------------------

# Writers are forked, and killed by their parent at a random moment, again and again.
WRITER = """
import os, random, signal, sys, time
from galestim.cutouts._store import CutoutStore, request_key
folder, seed, n_kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
moments = random.Random(seed)

def write(i):
    store = CutoutStore(folder)
    while True:
        i += 1
        request = {"i": i % 500}
        store.put(request_key(request), request_key(request).encode() * 2000, request)

def start(i):
    child = os.fork()
    if not child:
        write(i)
    return child

for kill in range(n_kills):
    children = [start(kill * 50), start(kill * 50)]  # two, so that they share the folder too
    for child in children:
        time.sleep(moments.uniform(0.01, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_writers_leave_a_sound_store(store):
    subprocess.run(script(WRITER, store.folder, random.randrange(10**6), 10), check=True)
    assert len(files(store, "requests")) > 5
    assert_sound(store)
    for file in files(store, "requests"):
        assert store.get(file.stem) == file.stem.encode() * 2000
    CutoutStore(store.folder).put(KEY, b"image", REQUEST)
    assert not list((store.folder / "tmp").iterdir())  # what the killed ones were writing


def test_threads_that_write_and_read_the_same(store):
    bodies = {bytes([i]) * 10000 for i in range(4)}

    def work(i):
        store.put(KEY, bytes([i % 4]) * 10000, REQUEST)
        return store.get(KEY)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(40))) <= bodies
    assert_sound(store)


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("cache", ["a folder", "", "."])
def test_a_folder_of_the_users_keeps_all_that_is_theirs(tmp_path, monkeypatch, cache, link):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "tmp").symlink_to(elsewhere) if link else (home / "tmp").mkdir()
    for folder in ("tmp", "objects", "requests"):
        theirs = home / folder / "mine" / "only_copy.fits"
        theirs.parent.mkdir(parents=True)
        theirs.write_text("precious")
        (home / folder / ("0" * 32)).write_text("precious")
    then = time.time() - 5 * 3600
    for file in [*home.rglob("*"), *elsewhere.rglob("*")]:
        os.utime(file, (then, then))
    monkeypatch.chdir(home)
    store = CutoutStore(home if cache == "a folder" else cache)
    store.put(KEY, b"image", REQUEST)
    store.put_missing(KEY, "outside", REQUEST)
    assert [file.read_text() for folder in ("tmp", "objects", "requests") for file in
            (home / folder / "mine" / "only_copy.fits", home / folder / ("0" * 32))] == ["precious"] * 6  # fmt: skip


# --- folders that cannot be written: the image is used, but not kept, and that is said once -------------------


def assert_useless_but_harmless(store, caplog):
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        store.put(KEY, b"image" * 10000, REQUEST)
    store.put_missing(KEY, "outside", REQUEST)
    assert store.get(KEY) is None
    assert store.missing(KEY) is None
    (record,) = caplog.records
    assert f"Cannot write to the cache {store.folder}: " in record.getMessage()
    assert "The cutouts are used, but not kept; make room there, or choose another folder" in record.getMessage()


def test_file_in_the_way(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert_useless_but_harmless(CutoutStore(tmp_path / "file" / "cache"), caplog)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(store, caplog):
    store.put(KEY, b"image", REQUEST)
    other = request_key({"i": 1})
    for folder in [store.folder, *store.folder.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o500)
    try:
        assert store.get(KEY) == b"image"
        store.put(other, b"another", {"i": 1})
        assert store.get(other) is None
        assert "Permission denied" in caplog.text
    finally:
        for folder in [store.folder, *store.folder.rglob("*")]:
            if folder.is_dir():
                folder.chmod(0o700)


def test_full_disk(store, caplog):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may grow beyond that
    try:
        store.put(KEY, b"image" * 10000, REQUEST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.get(KEY) is None
    assert not files(store, "objects")
    assert not files(store, "tmp")
    assert f"Cannot write to the cache {store.folder}: File too large" in caplog.text
    store.put(KEY, b"image", REQUEST)  # there is room again
    assert store.get(KEY) == b"image"


# --- keys ---------------------------------------------------------------------------------------------------


def test_request_key():
    assert request_key({"a": 1, "b": [1.5, {"c": None}]}) == request_key({"b": [1.5, {"c": None}], "a": 1})
    assert request_key({"a": 1}) != request_key({"a": 2})
    assert request_key({"ra": 0.1}) == hashlib.sha256(b'{"ra":0.1}').hexdigest()
    with pytest.raises(ValueError, match="not JSON compliant"):
        request_key({"ra": float("nan")})
    with pytest.raises(TypeError, match="not JSON serializable"):
        request_key({"path": Path()})
