"""A fetch that was killed, seen from the server: it leaves nothing broken, and nothing to do twice."""

import hashlib
import multiprocessing
import time

import numpy as np
import pytest

from galestim.catalogs import Catalog
from galestim.cutouts import CutoutFetcher, CutoutRequest, CutoutStore, SkyServer, Transport
from galestim.cutouts._store import request_key
from galestim.testing import GaussianSky, LoopbackSky

N = 250
KILLS = 12

# Not forked from here, where the server's threads run, but from a process that has imported what is needed.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["__main__", "galestim.cutouts"])


@pytest.fixture(scope="module")
def catalog():
    rng = np.random.default_rng(0)
    return Catalog({"ra": rng.uniform(0, 360, N), "dec": rng.uniform(-60, 60, N)})


@pytest.fixture
def server(catalog):
    flux = np.random.default_rng(1).uniform(50, 500, (N, 3))
    with LoopbackSky(GaussianSky(catalog["ra"].value, catalog["dec"].value, flux, sigma=2.0)) as server:
        yield server


@pytest.fixture
def fetcher(server, tmp_path):
    transport = Transport(requests_per_second=2000, max_in_flight=4)
    return CutoutFetcher(SkyServer(url=server.skyserver_url, transport=transport), npix=64, cache=tmp_path / "cache")


def started(fetcher, catalog):
    process = CONTEXT.Process(target=fetcher.prefetch, args=(catalog,))
    process.start()
    return process


def kept(fetcher, catalog):
    """Right ascensions of the galaxies whose cutouts are in the cache and whole."""
    store = CutoutStore(fetcher.cache)
    requests = [
        CutoutRequest(ra, dec, fetcher.source.pixel_scale, fetcher.npix, "")
        for ra, dec in zip(catalog["ra"].value.tolist(), catalog["dec"].value.tolist())
    ]
    bodies = [store.get(request_key(fetcher.source.identity(request))) for request in requests]
    return {round(request.ra, 7) for request, body in zip(requests, bodies) if body is not None}


def asked(records):
    return {round(float(record.query["ra"][0]), 7) for record in records}


def damaged(fetcher):
    """Objects whose bytes are not those that their names promise."""
    objects = (fetcher.cache / "objects").glob("*/*")
    return [file for file in objects if hashlib.sha256(file.read_bytes()).hexdigest() != file.name]


def kill_after(process, server, n_requests, seconds):
    while len(server.log) < n_requests and process.is_alive():
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
    process.close()


def test_killed_at_random_moments(fetcher, catalog, server):
    rng = np.random.default_rng(2)
    done = set()
    for _ in range(KILLS):
        before = len(server.log)
        kill_after(started(fetcher, catalog), server, before + rng.integers(0, 22), rng.uniform(0, 0.01))
        assert not damaged(fetcher)
        assert not done & asked(server.log[before:])
        done = kept(fetcher, catalog)
    assert 50 < len(done) < N  # the kills came in the midst of it

    before = len(server.log)
    images = fetcher.transform(catalog)
    assert len(server.log) - before == N - len(done)
    assert not done & asked(server.log[before:])

    before = len(server.log)
    np.testing.assert_array_equal(fetcher.transform(catalog), images)
    assert len(server.log) == before
    uncached = CutoutFetcher(fetcher.source, npix=64, cache=None)
    np.testing.assert_array_equal(images[::10], uncached.transform(catalog[::10]))


def test_two_processes_share_a_cache(fetcher, catalog, server):
    catalog = catalog[:200]
    processes = [started(fetcher, catalog[::step]) for step in (1, -1)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert not damaged(fetcher)
    assert len(kept(fetcher, catalog)) == 200
    before = len(server.log)
    fetcher.transform(catalog)
    assert len(server.log) == before


def test_a_flipped_byte_is_fetched_again(fetcher, catalog, server):
    catalog = catalog[:10]
    images = fetcher.transform(catalog)
    file = sorted((fetcher.cache / "objects").glob("*/*"))[3]
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    np.testing.assert_array_equal(fetcher.transform(catalog), images)
    assert len(server.log) == 11
    assert not damaged(fetcher)
    fetcher.transform(catalog)
    assert len(server.log) == 11
