"""Redirects are followed where that is safe, and secrets stay with the host that they are for."""

import base64
import logging
import re
import time

import pytest

from ._faulty import FaultyServer, redirect, reply
from ._quick import TOKEN, error_of, quick

pytestmark = pytest.mark.usefixtures("own_world")


def secret_headers(seen):
    return {name for name in seen.headers if name.lower() in ("authorization", "x-key", "cookie")}


def test_redirects_on_the_same_host_keep_secrets():
    with FaultyServer(redirect("/elsewhere?a=1"), reply()) as server:
        got = quick(headers={"Authorization": TOKEN}).get(server.url(), {"ra": 1})
    assert got.url == server.url("/elsewhere?a=1")
    assert [seen.path for seen in server.log] == ["/cutout?ra=1", "/elsewhere?a=1"]
    assert all(seen.headers["Authorization"] == TOKEN for seen in server.log)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_secrets_never_leave_their_host(status):
    with FaultyServer(reply()) as other:
        with FaultyServer(redirect(other.url(host="localhost"), status)) as server:
            quick(headers={"Authorization": TOKEN, "X-Key": "k"}).get(server.url())
        assert secret_headers(server.log[0]) == {"Authorization", "X-Key"}
        assert secret_headers(other.log[0]) == set()


def test_another_name_is_another_host_and_the_way_back_has_no_secrets():
    steps = []
    with FaultyServer(lambda handler: steps.pop(0)(handler)) as server:
        steps += [redirect(server.url(host="localhost")), redirect(server.url()), reply()]
        quick(headers={"Authorization": TOKEN}).get(server.url(login="me:pass@"))
    assert [secret_headers(seen) for seen in server.log] == [{"Authorization"}, set(), set()]


def test_the_new_host_has_its_own_politeness():
    with FaultyServer(reply()) as other, FaultyServer(redirect(other.url())) as server:
        transport = quick(requests_per_second=1)
        start = time.monotonic()
        transport.get(server.url())
        assert time.monotonic() - start < 0.9  # the two do not wait for each other
        transport.get(server.url())
    assert other.log[1].start - other.log[0].start > 0.7


def test_redirect_loop():
    with FaultyServer(redirect("/cutout")) as server:
        message = error_of(quick(), server.url())
    assert f"redirected more than 3 times, at last to {server.url()}; tried once" in message
    assert len(server.log) == 4


def test_https_never_becomes_http(tls, monkeypatch):
    context, certificate = tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with FaultyServer(reply()) as plain, FaultyServer(redirect(plain.url()), tls=context) as server:
        message = error_of(quick(headers={"X-Key": "k"}), server.url(host="localhost"))
    assert f"redirected from https to the unprotected {plain.url()}; tried once" in message
    assert not plain.log


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://[broken", "http://:80/"])
def test_redirects_to_nowhere(target):
    with FaultyServer(redirect(target)) as server:
        assert "tried once" in error_of(quick(), server.url())
    assert len(server.log) == 1


def test_login_in_the_url_is_a_secret_header():
    with FaultyServer(reply(), reply(b"", 403)) as server:
        url = server.url(login="me:p%40ss@")
        got = quick().get(url)
        message = error_of(quick(), url, params={"api_token": "5ecret", "ra": 1})
    assert server.log[0].headers["Authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"
    assert got.url == server.url()
    assert f"{server.url()}?api_token=***&ra=1" in message
    assert not re.search("p@ss|p%40ss|5ecret", message)


def test_secrets_are_not_logged_or_shown(caplog):
    caplog.set_level(logging.INFO)
    transport = quick(headers={"Authorization": TOKEN})
    with FaultyServer(reply(b"", 500), reply()) as server:
        transport.get(server.url(login="me:pass@"), {"password": "5ecret"})
    assert "the service answered 500" in caplog.text
    assert not re.search("5ecret|me:pass", caplog.text + repr(transport))
    assert "headers={'Authorization': '***'}" in repr(transport)


def test_cookies_and_netrc_are_not_used(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password pass\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with FaultyServer(reply(Set_Cookie="id=1; Path=/")) as server:
        transport = quick(headers={"X-Key": "k"})
        for _ in range(2):
            transport.get(server.url())
    assert [secret_headers(seen) for seen in server.log] == [{"X-Key"}] * 2
