"""A service that is down is found out after a short time, said at once, left alone, and asked again later."""

import logging
import pickle
import socket
import time

import numpy as np
import pytest

from galestim.cutouts import (
    CutoutFetcher,
    CutoutFetchError,
    CutoutRequest,
    SkyServer,
    TransientCutoutError,
    Transport,
)
from galestim.cutouts.http import _breaker
from galestim.cutouts.http._breaker import Breaker
from galestim.cutouts.http._politeness import HostClosed
from galestim.testing import GaussianSky, LoopbackSky

from ._faulty import BODY, FaultyServer, half, nothing, reply, silent

DOWN = "seems to be down"
PATIENCE = 0.2  # [s] of `impatient`: a sixth of all the time that it has

pytestmark = pytest.mark.usefixtures("own_world")


def impatient(**options):
    limits = {"requests_per_second": 1000, "timeouts": (0.1, 0.1, 6 * PATIENCE), "backoff": 0.02}
    return Transport(**{**limits, **options})


def requests_along_ra(n):
    return [CutoutRequest(150 + 0.001 * i, 2.0, 0.4, 64, str(i)) for i in range(n)]


def open_breaker(service):
    for request in range(3):
        _breaker.breaker_of(service).failed(request, "no answer", patience=0.05, n_requests=3)
        time.sleep(0.03)


def reasons(source, n=400):
    return [
        str(answer) for answer in source.cutouts(requests_along_ra(n)) if isinstance(answer, TransientCutoutError)
    ]


HTML = reply(b"<html>we will be back</html>", content_type="text/html")
SICK = {"503": reply(b"", 503), "502 page": reply(b"<html/>", 502, "text/html"), "429": reply(b"", 429), "page": HTML,
        "empty": reply(b""), "hangs up": nothing, "cut off": half("length"), "silent": silent}  # fmt: skip


@pytest.mark.parametrize("fault", SICK.values(), ids=SICK)
def test_a_service_that_only_fails_is_left_alone(fault, caplog):
    with FaultyServer(fault) as server:
        start = time.monotonic()
        said = reasons(SkyServer(url=server.url(), transport=impatient()))
        assert time.monotonic() - start < 30  # to ask for all takes two minutes
    assert len(said) == 400
    unsent = [reason for reason in said if "not sent" in reason]
    assert len(unsent) > 150
    assert all(DOWN in reason and "the service is asked again from" in reason for reason in unsent)
    assert [record.levelname for record in caplog.records if DOWN in record.getMessage()] == ["WARNING"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x", "http://no-such-host.invalid/x"])
def test_an_address_without_a_service(url):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = url.format(port=unused.getsockname()[1])
        fetcher = CutoutFetcher(SkyServer(url=url, transport=impatient()), npix=64, cache=None)
        with pytest.raises(CutoutFetchError, match=r"×.*seems to be down: .* requests have failed .*not sent"):
            fetcher.transform({"ra": np.linspace(10, 20, 300), "dec": np.linspace(0, 1, 300)})
    assert (fetcher.report_["status"] == "failed").all()


def test_it_is_said_while_the_run_goes_on(caplog):
    with FaultyServer(reply(b"", 503)) as server:
        for answer in SkyServer(url=server.url(), transport=impatient()).cutouts(requests_along_ra(400)):
            if DOWN in str(answer):
                break
        assert DOWN in caplog.text


def test_all_transports_know_and_other_services_are_asked():
    with FaultyServer(HTML) as sick:
        source = SkyServer(url=sick.url(), transport=impatient())
        reasons(source, 100)
        n_asked = len(sick.log)
        for other in (pickle.loads(pickle.dumps(source)), SkyServer(url=sick.url("/another"), transport=impatient())):
            assert all("not sent" in reason for reason in reasons(other, 50))
        assert len(sick.log) == n_asked
    with LoopbackSky(GaussianSky([150.0], [2.0], [100.0], sigma=2.0)) as well:
        assert not reasons(SkyServer(url=well.skyserver_url, transport=impatient(timeouts=(5, 5, 30))), 5)


def test_it_is_asked_again_after_a_rest(monkeypatch):
    monkeypatch.setattr(_breaker, "REST", 0.5)
    with FaultyServer(*[reply(b"", 503)] * 3, reply()) as server:
        transport = impatient(max_retries=0, max_in_flight=1, timeouts=(5, 5, 30))
        open_breaker(server.url(""))
        with pytest.raises(TransientCutoutError, match=DOWN):
            transport.get(server.url())
        assert not server.log
        time.sleep(0.6)
        for _ in range(3):
            with pytest.raises(TransientCutoutError, match="answered 503"):
                transport.get(server.url())
        assert transport.get(server.url()).status == 200


def test_the_cache_still_answers(tmp_path):
    sky = GaussianSky([150.0], [2.0], [100.0], sigma=2.0, footprint=(149, 151, 1, 3), background=0.1)
    rows = {"ra": np.linspace(150, 150.1, 5), "dec": np.full(5, 2.0)}
    with LoopbackSky(sky) as server:
        source = SkyServer(url=server.skyserver_url, transport=Transport(requests_per_second=1000))
        fetcher = CutoutFetcher(source, npix=64, cache=tmp_path)
        images = fetcher.transform(rows)
        open_breaker(server.url)
        np.testing.assert_array_equal(fetcher.transform(rows), images)
        with pytest.raises(CutoutFetchError, match=DOWN):
            fetcher.transform({"ra": [150.5], "dec": [2.0]})


# --- what does not open it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_refusals_are_answers(status):
    with FaultyServer(reply(b"no", status)) as server:
        transport = impatient(timeouts=(5, 5, 6 * PATIENCE))
        start = time.monotonic()
        while time.monotonic() - start < 3 * PATIENCE:
            with pytest.raises(TransientCutoutError, match=f"answered {status}"):
                transport.get(server.url())


def test_missing_cutouts_are_answers():
    sky = GaussianSky([150.0], [2.0], [100.0], sigma=2.0, footprint=(10, 11, 50, 51))
    with LoopbackSky(sky) as server:
        source = SkyServer(url=server.skyserver_url, transport=impatient(timeouts=(1, 1, 1)))
        assert not reasons(source, 200)
        assert len(server.log) == 200


def test_a_request_that_fails_alone_is_not_the_service():
    with FaultyServer(reply(b"", 503)) as server:
        for _ in range(2):
            with pytest.raises(TransientCutoutError) as caught:
                impatient(max_retries=100).get(server.url())
            assert DOWN not in str(caught.value)


@pytest.mark.parametrize("every", [2, 7])
def test_a_service_that_sometimes_answers_is_there(every):
    counted = iter(range(10**6))
    with FaultyServer(lambda handler: reply(BODY, 503 if next(counted) % every else 200)(handler)) as server:
        transport = impatient(max_retries=0, timeouts=(4, 4, 4))  # its patience is 0.67 s
        start, said = time.monotonic(), []
        while time.monotonic() - start < 1 or len(said) < 20:
            try:
                transport.get(server.url())
            except TransientCutoutError as error:
                said.append(str(error))
    assert not [each for each in said if DOWN in each]


def test_failures_of_long_ago_do_not_count(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(_breaker.time, "monotonic", lambda: now[0])
    breaker = Breaker("http://a:80")
    for request in range(5):
        breaker.failed(request, "no answer", patience=20.0, n_requests=3)
    now[0] += 3600
    breaker.failed(99, "no answer", patience=20.0, n_requests=3)
    breaker.check()
    now[0] += 21
    for request in range(3):
        breaker.failed(request, "no answer", patience=20.0, n_requests=3)
    with pytest.raises(HostClosed, match="3 requests have failed in 21 s"):
        breaker.check()
    breaker.answered()  # one that was under way
    breaker.check()


def test_what_waits_to_try_again_is_woken(caplog):
    caplog.set_level(logging.WARNING)
    with FaultyServer(reply(b"", 503)) as server:
        start = time.monotonic()
        reasons(SkyServer(url=server.url(), transport=impatient(backoff=1000.0, timeouts=(2, 2, 1.2))), 100)
        assert time.monotonic() - start < 20
