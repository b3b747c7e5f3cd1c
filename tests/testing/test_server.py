"""The server of a sky: its log, its faults and its end."""

import socket
import threading
import time

import pytest
import requests

from galestim.testing import LoopbackSky

from ._here import HERE, get


def test_requests_are_logged(sky):
    with LoopbackSky(sky) as server:
        before = time.monotonic()
        requests.get(server.soda_url, {"ID": "a b"}, headers={"User-Agent": "tester/1"}, timeout=10)
        record = server.log[0]
    assert (record.path, record.query, record.status) == ("/soda/sync", {"ID": ["a b"]}, 404)
    assert record.user_agent == "tester/1"
    assert before <= record.start <= record.end <= time.monotonic()


def test_requests_in_flight_are_counted(sky):
    meet = threading.Barrier(3)

    class Slow(LoopbackSky):
        def intercept(self, handler):
            if "together" in handler.path:
                meet.wait(10)
            return False

    with Slow(sky) as server, requests.Session() as session:
        for _ in range(20):
            session.get(server.skyserver_url, params=HERE, timeout=10)
        assert server.max_in_flight == 1
        threads = [threading.Thread(target=get, args=(server.url + "/together",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.max_in_flight == 3
        assert len(server.log) == 23


def test_faults_can_be_scripted(sky):
    class Cut(LoopbackSky):
        def intercept(self, handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b"half")
            handler.close_connection = True
            return True

    with Cut(sky) as server, pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(server.skyserver_url, HERE)
    assert server.log[0].status == 200


def test_a_fault_of_ours_is_a_500(sky):
    with LoopbackSky(sky) as server:
        server.sky = None
        reply = get(server.skyserver_url, HERE)
    assert reply.status_code == 500
    assert "AttributeError" in reply.text


def test_close_ends_what_is_open(sky):
    class Stalled(LoopbackSky):
        def intercept(self, handler):
            return handler.path == "/stall" and not self.closing.wait(60)

    server = Stalled(sky).start()
    address = "127.0.0.1", int(server.url.rpartition(":")[2])
    threads = threading.active_count()
    with socket.create_connection(address) as idle, socket.create_connection(address) as stalled:
        stalled.sendall(b"GET /stall HTTP/1.1\r\nHost: here\r\n\r\n")
        while not server.log:
            time.sleep(0.001)
        start = time.monotonic()
        server.close()
        server.close()
        assert time.monotonic() - start < 5
        assert idle.recv(1) == b""
    while threading.active_count() >= threads and time.monotonic() < start + 5:
        time.sleep(0.001)
    assert threading.active_count() < threads
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address)
    with pytest.raises(RuntimeError, match="the server is not running; use `with LoopbackSky"):
        _ = server.url


def test_unknown_paths(server):
    assert get(server.url + "/somewhere").status_code == 404
