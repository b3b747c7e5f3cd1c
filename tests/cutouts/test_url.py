"""Addresses, and which of them are reached through a proxy."""

import pytest

from galestim.cutouts import Transport
from galestim.cutouts.http._url import is_loopback

from ._faulty import BODY, FaultyServer, reply

VARIABLES = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]


def quick():
    return Transport(requests_per_second=1000, max_retries=0, timeouts=(2, 2, 5))


@pytest.fixture(autouse=True)
def _own_world(monkeypatch, tmp_path):
    monkeypatch.setenv("GALESTIM_RUNTIME_DIR", str(tmp_path))
    for name in (*VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.1", "localhost", "LocalHost", "localhost.", "a.localhost", "127.1", "2130706433", "[::1]",
     "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]"],
)  # fmt: skip
def test_this_machine(host):
    assert is_loopback(f"http://{host}:8000/x?a=b")
    assert is_loopback(f"https://me:pass@{host}/")


@pytest.mark.parametrize(
    "host", ["128.0.0.1", "1.1", "example.org", "localhost.example.org", "127.0.0.1.example.org", "[::2]", "10.0.0.1"]
)
def test_other_machines(host):
    assert not is_loopback(f"http://{host}/127.0.0.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", VARIABLES)
def test_this_machine_is_never_asked_through_a_proxy(variable, host, monkeypatch):
    with FaultyServer(reply(b"of the proxy")) as proxy, FaultyServer(reply()) as server:
        monkeypatch.setenv(variable, proxy.url(""))
        assert quick().get(server.url(host=host)).body == BODY
    assert not proxy.log


def test_others_are(monkeypatch):
    with FaultyServer(reply(b"of the proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        assert quick().get("http://archive.example/cutout").body == b"of the proxy"
    assert proxy.log[0].path == "http://archive.example/cutout"
