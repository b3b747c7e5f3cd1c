"""Secrets are sent, and shown nowhere: in no repr, error, report, log or cache, whoever repeats them."""

import base64
import logging
import pickle
import re

import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from galestim.cutouts import (
    CutoutFetcher,
    CutoutFetchError,
    CutoutRequest,
    Hips2Fits,
    LegacySurvey,
    RemoteSource,
    SkyServer,
    Soda,
    Transport,
)
from galestim.cutouts.http._secrets import Secrets, shown

from ._faulty import FaultyServer, raw, redirect, reply

SECRET = "5ecret/T0ken+42"
USER = "someone"

pytestmark = pytest.mark.usefixtures("own_world")


# --- what is shown of a source ------------------------------------------------------------------------------


class Keyed(RemoteSource):
    """A service that wants a key, which is a parameter of the source."""

    def __init__(self, url=None, *, api_key=None, access_token=None, transport=None):
        self.url, self.api_key, self.access_token, self.transport = url, api_key, access_token, transport

    def query(self, request):
        return {"ra": request.ra, "api_key": self.api_key}

    def decode(self, reply, request):
        raise NotImplementedError


LOGIN = f"https://{USER}:hunter2@archive.example/sync"
SHOWN = {
    "soda": (Soda(LOGIN), "https://***@archive.example/sync"),
    "skyserver": (SkyServer(url=LOGIN), "https://***@archive.example/sync"),
    "legacy": (LegacySurvey(url="http://hunter2@a.example:8000"), "http://***@a.example:8000"),
    "hips": (
        Hips2Fits("CDS/P/a", url="https://a.example/?maq=1&token=hunter2"),
        "https://a.example/?maq=1&token=***",
    ),
    "slash": (Soda("https://me:hunter2/@archive.example/sync"), "***@archive.example"),
    "no scheme": (Soda("me:hunter2@archive.example/sync"), "***@archive.example"),
    "broken": (Soda("https://me:hunter2@[archive.example"), "***@[archive.example"),
    "parameter": (Keyed("https://a.example", api_key="hunter2"), "api_key='***'"),
    "another": (Keyed("https://a.example", access_token="hunter2"), "access_token='***'"),
    "headers": (Soda("https://a.example", transport=Transport(headers={"X-Key": "hunter2"})), "{'X-Key': '***'}"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_source_shows_no_secrets(name):
    source, expected = SHOWN[name]
    fetcher = CutoutFetcher(source, npix=64)
    pipeline = make_pipeline(fetcher)
    for it in (source, clone(source), fetcher, pipeline, clone(pipeline), pickle.loads(pickle.dumps(clone(fetcher)))):
        for text in (repr(it), str(it), it._repr_html_(), estimator_html_repr(it), repr(it.get_params())):
            assert "hunter2" not in text
        assert "".join(expected.split()) in "".join(repr(it).split())


@pytest.mark.parametrize("name", SHOWN)
def test_a_source_keeps_its_secrets(name):
    source, _ = SHOWN[name]
    for copy in (clone(source), clone(clone(source)), pickle.loads(pickle.dumps(clone(source)))):
        given, kept = source.get_params(), copy.get_params()
        assert {key: value for key, value in kept.items() if key != "transport"} == {
            key: value for key, value in given.items() if key != "transport"
        }
        assert repr(copy) == repr(source)
    assert type(Soda("https://a.example/sync?collection=a").get_params()["url"]) is str


def test_a_cloned_source_logs_in():
    with FaultyServer(reply(b"", 404)) as server:
        source = clone(Soda(server.url(login=f"{USER}:hunter2@")))
        with pytest.raises(CutoutFetchError):
            CutoutFetcher(source, npix=64, pixel_scale=0.4, cache=None).transform({"ra": [1.0], "dec": [1.0]})
    assert base64.b64decode(server.log[0].headers["Authorization"].split()[1]) == f"{USER}:hunter2".encode()


# --- what services repeat -----------------------------------------------------------------------------------


def answer(text, status=b"200 OK", header=b""):
    body = text.encode()
    return raw(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), header) + body)


def echoes(text):
    """The ways in which a reply can repeat `text`."""
    line = text.encode()
    return {
        "reason": answer("", b"500 bad key " + line),
        "refusal": answer("", b"403 " + line),
        "body": answer(f"<p>{text}</p>", b"400 Bad", b"Content-Type: text/html\r\n"),
        "good status": answer(f'{{"error": "{text} has expired"}}'),
        "cut off": answer("x" * (80 - len(text) + 3) + text + " is wrong"),
        "encoding": answer("", header=b"Content-Encoding: " + line + b"\r\n"),
        "redirect": redirect(f"/login?for={text}"),
        "another scheme": redirect(f"ftp://a.example/{text}"),
        "no HTTP": raw(line + b" is no HTTP\r\n\r\n"),
        "odd header": raw(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 3\r\n\r\nabc"),
        "header": raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + line + b"\r\n\r\n"),
    }


@pytest.mark.parametrize("how", echoes(""))
@pytest.mark.parametrize("where", ["header", "word of a header", "login", "token as login", "basic", "query", "name"])
def test_what_a_service_repeats_is_masked(where, how, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    headers, login, query = {}, "", ""
    if where == "header":
        headers = {"X-Key": SECRET}
    elif where == "word of a header":
        headers = {"Authorization": f"Bearer {SECRET}"}
    elif where == "login":
        login = f"{USER}:{SECRET.replace('/', '%2F')}@"
    elif where == "token as login":
        login = f"{SECRET.replace('/', '%2F')}@"
    elif where == "basic":
        headers = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()}
    else:
        query = f"?{'access_token' if where == 'query' else 'key'}={SECRET.replace('+', '%2B')}"
    with FaultyServer(echoes(SECRET)[how]) as server:
        transport = Transport(requests_per_second=1000, max_retries=1, backoff=0.01, headers=headers)
        source = SkyServer(url=server.url("/cutout" + query, login=login), transport=transport)
        fetcher = CutoutFetcher(source, npix=64, cache=tmp_path / "cache")
        with pytest.raises(CutoutFetchError) as caught:
            fetcher.transform({"ra": [10.0], "dec": [1.0]})
    kept = "".join(file.read_text() for file in (tmp_path / "cache").rglob("*.json"))
    for text in (str(caught.value), str(fetcher.report_["reason"][0]), caplog.text, kept):
        assert not re.search("5ecret|T0ken|NWVjcmV0", text), text


@pytest.mark.parametrize(
    "secret", ["pässword", 'quo"ted', "back\\slash", "a b c d", "<tag>", "per%cent", "100%", "it's", "x" * 2000]
)
def test_every_way_to_write_a_secret_is_masked(secret):
    secrets = Secrets("https://a.example", {"X-Key": secret})
    ways = [secret, repr(secret), ascii(secret), f"{secret!r}", str({"key": secret}), f"({secret})"]
    for text in ways:
        masked = secrets.mask(f"said {text} and more")
        assert "***" in masked, (text, masked)
        assert secret not in masked


def test_short_secrets_are_masked_as_words():
    secrets = Secrets("https://me:abc@a.example/?token=7", None)
    assert secrets.mask("the password abc of me; abcdef 17 7") == "the password *** of ***; abcdef 17 ***"


def test_schemes_and_other_words_stay():
    secrets = Secrets("https://a.example/?passband=green&author=list", {"Authorization": "Bearer abcdefgh"})
    assert secrets.mask("Bearer token abcdefgh for green") == "Bearer token *** for green"


def test_nobody_shows_the_secrets_of_another():
    """A service that is down for one transport is so for all; what it said to the first is told to the second."""
    with FaultyServer(answer(f"no: {SECRET}", b"503 busy", b"Content-Type: text/plain\r\n")) as server:
        limits = {"requests_per_second": 1000, "timeouts": (1, 1, 0.6), "backoff": 0.01, "max_in_flight": 1}
        rows = {"ra": range(50), "dec": range(50)}
        for headers in ({"X-Key": SECRET}, None):
            source = SkyServer(url=server.url(), transport=Transport(**limits, headers=headers))
            with pytest.raises(CutoutFetchError, match="seems to be down") as caught:
                CutoutFetcher(source, npix=64, cache=None).transform(rows)
            assert SECRET not in str(caught.value)


def test_secrets_of_the_query_are_digests_in_the_cache():
    asked = CutoutRequest(1.0, 2.0, 0.4, 64, "a")
    one, two = (Keyed("https://a.example", api_key=key).identity(asked) for key in ("hunter2", "hunter3"))
    assert "hunter" not in str(one)
    assert one != two


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/x?ra=1", "https://a.example/x?ra=1"),
        ("https://me:pass@a.example/x#f", "https://a.example/x"),
        ("https://a.example/x?API-Key=1&sig=2&ra=3", "https://a.example/x?API-Key=***&sig=***&ra=3"),
        ("https://a.example/?passband=g", "https://a.example/?passband=g"),
        ("me:pass@a.example", "a.example"),
    ],
)
def test_addresses_for_people(url, expected):
    assert shown(url) == expected
