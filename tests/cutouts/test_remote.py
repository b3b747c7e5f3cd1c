"""Remote sources ask once, keep what is good and nothing else, and make many at a time without holding them all."""

import json
import pickle
import threading
import time

import numpy as np
import pytest
from sklearn.base import clone

from galestim.cutouts import (
    BadReplyError,
    CutoutRequest,
    CutoutStore,
    Hips2Fits,
    LegacySurvey,
    MissingCutoutError,
    RemoteSource,
    SkyServer,
    Soda,
    TransientCutoutError,
    Transport,
    decode_jpeg,
)
from galestim.cutouts._store import request_key
from galestim.testing import GaussianSky, LoopbackSky

from ._services import fast

SKY = GaussianSky([150.0], [2.0], [100.0], sigma=2.0, background=0.02, footprint=(149, 151, 1, 3))


class Scripted(LoopbackSky):
    """Answers through `script` (handler → bool), and remembers the connections."""

    def __init__(self, script=None):
        super().__init__(SKY)
        self.script = script
        self.connections = set()

    def intercept(self, handler):
        self.connections.add(handler.client_address)
        return self.script is not None and self.script(handler)


@pytest.fixture
def server():
    with Scripted() as server:
        yield server


@pytest.fixture
def store(tmp_path):
    return CutoutStore(tmp_path)


def source_of(server, **options):
    return SkyServer(url=server.skyserver_url, transport=fast(**options))


def request(ra=150.0, dec=2.0, object_id="a", **changes):
    return CutoutRequest(ra, dec, 0.4, 64, object_id)._replace(**changes)


def requests_along_ra(n):
    return [request(150 + 0.001 * i, object_id=str(i)) for i in range(n)]


def html(handler):
    handler.reply(200, "text/html", b"<html><body>down for maintenance</body></html>")
    return True


def fail(handler):
    handler.reply(503, "text/plain", b"busy")
    return True


def join_threads():
    """Wait for those of a fetch that was ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("galestim-cutouts"):
            thread.join(20)
            assert not thread.is_alive()


# --- the store ----------------------------------------------------------------------------------------------


def test_what_is_in_the_store_is_not_asked_for(server, store):
    first = source_of(server).cutout(request(), store)
    second = source_of(server).cutout(request(), store)
    np.testing.assert_array_equal(first, second)
    assert len(server.log) == 1


def test_without_a_store_every_cutout_is_asked_for(server):
    source = source_of(server)
    source.cutout(request())
    source.cutout(request())
    assert len(server.log) == 2


def test_the_bytes_of_the_service_are_kept_as_they_were(server, store):
    source = source_of(server)
    image = source.cutout(request(), store)
    body = store.get(request_key(source.identity(request())))
    np.testing.assert_array_equal(decode_jpeg(body, 64), image)


@pytest.mark.parametrize(
    "other", [{"ra": 150.1}, {"dec": 2.1}, {"pixel_scale": 0.5}, {"npix": 65}], ids=lambda change: next(iter(change))
)
def test_other_cutouts_are_others(server, store, other):
    source = source_of(server)
    source.cutout(request(), store)
    source.cutout(request(**other), store)
    assert len(server.log) == 2


@pytest.mark.parametrize("same", [{"object_id": "b"}, {"ra": 510.0}, {"ra": -210.0}, {"dec": 2.0 + 4e-8}])
def test_one_cutout_under_another_name_or_position_is_the_same(server, store, same):
    source = source_of(server)
    source.cutout(request(), store)
    source.cutout(request(**same), store)
    assert len(server.log) == 1


def test_releases_layers_and_services_are_kept_apart():
    sources = [
        SkyServer(),
        SkyServer(release="dr18"),
        SkyServer(url="https://mirror.org/getjpeg"),
        LegacySurvey(),
        LegacySurvey(layer="ls-dr9"),
        LegacySurvey(bands="zrg"),
        LegacySurvey(format="jpeg"),
        LegacySurvey(zero_is_missing=False),
        Hips2Fits("a"),
        Hips2Fits("b"),
        Hips2Fits("a", format="jpg"),
        Hips2Fits("a", projection="SIN"),
        Soda("https://archive.org/sync"),
        Soda("https://archive.org/sync", id="a"),
        Soda("https://archive.org/sync", id=["a", "b"]),
        Soda("https://archive.org/sync?collection=a"),
    ]
    assert len({request_key(source.identity(request())) for source in sources}) == len(sources)


def test_credentials_are_not_written_but_tell_apart():
    plain, secret = (Soda(f"https://{who}archive.org/sync") for who in ("", "me:hunter2@"))
    keyed = Soda("https://archive.org/sync?key=hunter2", transport=Transport(headers={"Authorization": "hunter2"}))
    identities = [source.identity(request()) for source in (plain, secret, keyed)]
    assert "hunter2" not in json.dumps(identities)
    assert len({request_key(identity) for identity in identities}) == 3
    assert identities[1]["url"] == "https://archive.org/sync"


def test_kept_bytes_that_are_no_image_are_fetched_again(server, store):
    source = source_of(server)
    image = source.cutout(request(), store)
    identity = source.identity(request())
    store.put(request_key(identity), b"<html>an older version kept this</html>", identity)
    np.testing.assert_array_equal(source.cutout(request(), store), image)
    assert len(server.log) == 2
    source.cutout(request(), store)
    assert len(server.log) == 2


def test_what_is_missing_is_remembered(server, store):
    outside = request(dec=-40.0)
    for _ in range(2):
        with pytest.raises(MissingCutoutError, match="SDSS has no image at ra=150, dec=-40: outside its footprint"):
            source_of(server).cutout(outside, store)
    assert len(server.log) == 1


@pytest.mark.parametrize(("script", "error"), [(html, BadReplyError), (fail, TransientCutoutError)])
def test_nothing_bad_is_kept(server, store, script, error):
    server.script = script
    with pytest.raises(error):
        source_of(server).cutout(request(), store)
    assert not [file for file in store.folder.rglob("*") if file.is_file()]
    server.script = None
    assert source_of(server).cutout(request(), store).shape == (64, 64, 3)


def test_a_bad_reply_is_asked_for_again(server):
    server.script = lambda handler: len(server.log) == 1 and html(handler)
    assert source_of(server).cutout(request()).shape == (64, 64, 3)
    assert len(server.log) == 2


# --- many ---------------------------------------------------------------------------------------------------


def test_many_come_in_their_order(server, store):
    asked = requests_along_ra(20)

    def later_is_faster(handler):
        time.sleep(0.02 * (len(server.log) % 3))
        return False

    server.script = later_is_faster
    source = source_of(server)
    many = list(source.cutouts(asked, store))
    for image, one in zip(many, asked, strict=True):
        np.testing.assert_array_equal(image, source.cutout(one, store))
    assert len(server.log) == 20
    assert 2 <= server.max_in_flight <= 4


def test_what_fails_comes_as_its_error_and_the_others_go_on(server, store):
    asked = requests_along_ra(5)
    asked[1] = request(dec=-40.0)
    asked[3] = request(npix=32)
    answers = list(source_of(server).cutouts(asked, store))
    assert [type(answer) for answer in answers] == [np.ndarray, MissingCutoutError] * 2 + [np.ndarray]


def test_nothing_to_do(server):
    assert list(source_of(server).cutouts([])) == []


@pytest.mark.parametrize("kept", [True, False])
def test_duplicates_are_asked_for_once_however_far_apart(server, store, kept):
    asked = [*requests_along_ra(30), request(150.0, object_id="again"), request(150.0), request(150.001)]
    images = list(source_of(server).cutouts(asked, store if kept else None))
    assert len(server.log) == 30
    np.testing.assert_array_equal(images[30], images[0])
    np.testing.assert_array_equal(images[32], images[1])
    images[0][:] = 0  # whoever gets one may write on it
    assert images[30].any()


def test_memory_is_bounded_by_what_has_been_taken(server):
    answers = source_of(server).cutouts(requests_along_ra(60))
    for taken in range(1, 4):
        next(answers)
        time.sleep(0.3)
        assert len(server.log) <= taken + 15
    answers.close()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit])
def test_an_interruption_sends_nothing_more_and_waits_for_nothing(server, stop):
    answers = source_of(server).cutouts(requests_along_ra(60))
    next(answers)
    go_on = threading.Event()
    server.script = lambda handler: not go_on.wait(20)
    start = time.monotonic()
    with pytest.raises(stop):
        answers.throw(stop)
    assert time.monotonic() - start < 10
    go_on.set()
    join_threads()
    assert len(server.log) <= 16


def test_requests_in_flight_are_cut_short_and_not_tried_again(server):
    answers = source_of(server).cutouts(requests_along_ra(30))
    next(answers)
    go_on = threading.Event()
    server.script = lambda handler: not go_on.wait(20)
    time.sleep(0.3)
    asked = len(server.log)
    answers.close()
    start = time.monotonic()
    join_threads()
    assert time.monotonic() - start < 5
    assert len(server.log) <= asked + 4
    go_on.set()


def test_a_wrong_setting_ends_it_at_once(server):
    source = LegacySurvey(layer="ls-dr99", url=server.legacy_url, transport=fast())
    with pytest.raises(ValueError, match="no layer='ls-dr99'"):
        list(source.cutouts(requests_along_ra(60)))
    assert len(server.log) < 20


def test_connections_are_reused(server):
    source = source_of(server)
    list(source.cutouts(requests_along_ra(20)))
    list(source.cutouts(requests_along_ra(20)))
    assert len(server.log) == 40
    assert len(server.connections) <= 5


# --- estimators ---------------------------------------------------------------------------------------------

SOURCES = [
    SkyServer(release="dr17", transport=Transport(requests_per_second=2, headers={"Authorization": "hunter2"})),
    LegacySurvey(layer="sdss", bands="ri", native_pixel_scale=0.396, zero_is_missing=False),
    Hips2Fits("CDS/P/PanSTARRS/DR1/g", native_pixel_scale=0.25),
    Soda("https://archive.org/sync", id=["a", "b"]),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_sources_are_cloned_pickled_and_shown(source):
    for copy in (clone(source), pickle.loads(pickle.dumps(source))):
        assert repr(copy) == repr(source)
        assert request_key(copy.identity(request())) == request_key(source.identity(request()))
    assert "hunter2" not in repr(source)
    assert source.get_params().keys() >= {"url", "transport"}


def test_a_pickled_source_fetches(server):
    source = source_of(server)
    source.cutout(request())
    assert pickle.loads(pickle.dumps(source)).cutout(request()).shape == (64, 64, 3)


def test_sources_without_a_transport_share_a_polite_one():
    first, second = SkyServer()._transport(), LegacySurvey()._transport()
    assert first is second
    assert (first.requests_per_second, first.max_in_flight) == (10, 4)
    assert SkyServer().get_params()["transport"] is None


def test_a_source_of_ones_own_needs_to_say_what_to_ask_for():
    class Silent(RemoteSource):
        pass

    with pytest.raises(TypeError, match=r"abstract methods? .*decode"):
        Silent()
