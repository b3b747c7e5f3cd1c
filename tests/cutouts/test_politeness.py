"""A service is never asked more than it was promised, as it sees it, whoever asks."""

import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from galestim.cutouts._errors import TransientCutoutError
from galestim.cutouts.http import _politeness
from galestim.cutouts.http._politeness import Deadline, HostGate
from galestim.cutouts.http._transport import Transport

from ._faulty import BODY, FaultyServer, reply, script, silent

needs_flock = pytest.mark.skipif(_politeness.fcntl is None, reason="processes share politeness by flock")

pytestmark = pytest.mark.usefixtures("own_world")


def spacing(log):
    starts = np.sort([seen.start for seen in log])
    return (starts[-1] - starts[0]) / (len(starts) - 1)


def most_in_flight(log):
    return max(seen.in_flight for seen in log)


# Processes are forked, as the import takes longer than the rest.
CROWD = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from galestim.cutouts.http._transport import Transport
url, n_processes, n_threads, n_requests, rate = sys.argv[1], *map(int, sys.argv[2:])
transport = Transport(requests_per_second=rate, timeouts=(10, 30, 60), max_retries=0)
transport.get(url)
children = []
for _ in range(n_processes):
    child = os.fork()
    if not child:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(transport.get, [url] * n_requests))
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@needs_flock
def test_three_processes_of_eight_threads():
    slow, fast = reply(delay=0.2), reply()
    with FaultyServer(*[slow] * 24, fast) as server:
        subprocess.run(script(CROWD, server.url(), 3, 8, 25, 50), check=True)
    assert len(server.log) == 76
    assert most_in_flight(server.log) == 4  # while it is slow, this keeps us back
    assert spacing(server.log[30:]) >= 1 / 50  # and then this
    # A forked process that used its parent's connection would get the parent's images.
    assert server.log[0].client not in {seen.client for seen in server.log[1:]}


def test_defaults_are_four_in_flight_and_ten_per_second():
    slow, fast = reply(delay=0.5), reply()
    two = Transport(), Transport()  # which know of each other
    with FaultyServer(*[slow] * 8, fast) as server, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: two[i % 2].get(server.url()), range(35)))
    assert most_in_flight(server.log) == 4
    # Without the first ones, which open connections: on their way, they are late by as much.
    assert 0.1 <= spacing(server.log[10:]) < 0.15


def test_hosts_do_not_wait_for_each_other():
    with FaultyServer(silent) as slow, FaultyServer(reply()) as server, ThreadPoolExecutor(4) as pool:
        transport = Transport(timeouts=(1, 0.5, 5), max_retries=0)
        stuck = [pool.submit(transport.get, slow.url()) for _ in range(4)]
        assert transport.get(server.url()).body == BODY
        assert not any(each.done() for each in stuck)
        for each in stuck:
            assert "nothing came" in str(each.exception())


def test_time_in_the_queue_is_not_taken_from_the_deadline():
    with FaultyServer(reply(delay=0.2)) as server, ThreadPoolExecutor(8) as pool:
        transport = Transport(requests_per_second=1000, max_in_flight=1, timeouts=(1, 1, 0.5), max_retries=0)
        assert all(reply.body == BODY for reply in pool.map(transport.get, [server.url()] * 6))  # 1.2 s


@needs_flock
def test_places_of_suspended_and_killed_processes():
    with FaultyServer(reply(), *[silent] * 4, reply()) as server:
        others = subprocess.Popen(script(CROWD, server.url(), 1, 4, 4, 100), start_new_session=True)
        try:
            while len(server.log) < 5:
                time.sleep(0.01)
            os.killpg(others.pid, signal.SIGSTOP)
            transport = Transport(timeouts=(1, 1, 0.3))
            stuck = r"all 4 places .* are taken by your own processes, .*for 0\.3 s; not sent .*suspended process"
            with pytest.raises(TransientCutoutError, match=stuck):
                transport.get(server.url())
        finally:
            os.killpg(others.pid, signal.SIGKILL)
            others.wait()
        assert transport.get(server.url()).body == BODY


def test_threads_know_of_each_other_where_there_are_no_locks_of_files(monkeypatch):
    monkeypatch.setattr(_politeness, "fcntl", None)
    with FaultyServer(reply(delay=0.1)) as server, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Transport(requests_per_second=50).get(server.url()), range(24)))
    assert most_in_flight(server.log) == 4
    assert spacing(server.log) >= 1 / 50


@needs_flock
def test_runtime_folder_that_cannot_be_used(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GALESTIM_RUNTIME_DIR", str(tmp_path / "file" / "folder"))
    with FaultyServer(reply()) as server:
        assert Transport().get(server.url()).body == BODY


@needs_flock
def test_runtime_folder_that_is_swept_away(tmp_path):
    gate = HostGate("https://example.org:443", 1e4, 4)
    with gate.turn(Deadline(1)):
        shutil.rmtree(tmp_path)
        with gate.turn(Deadline(1)):
            pass
    assert list(tmp_path.iterdir())


def test_clock_that_was_set_back():
    gate = HostGate("https://example.org:443", 10, 4)
    for last, until in [(time.time() + 3600, 0), (0, time.time() + 10**6)]:
        gate._ledger.write(last, until)
        start = time.monotonic()
        with gate.turn(Deadline(1)):
            assert time.monotonic() - start < 0.09


def test_who_waits_for_the_next_start_keeps_nobody_from_the_clock():
    gate = HostGate("https://example.org:443", 1, 4)
    with gate.turn(Deadline(1)):
        pass
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(gate._start)
        time.sleep(0.1)
        start = time.monotonic()
        gate.pause(0.1)
        assert time.monotonic() - start < 0.7
        assert waiting.result() == 0


def test_longer_pause_stays():
    gate = HostGate("https://example.org:443", 1000, 4)
    gate.pause(0.3)
    gate.pause(0.1)
    start = time.monotonic()
    with gate.turn(Deadline(1)):
        assert 0.28 < time.monotonic() - start < 0.6


def test_gate_costs_less_than_a_millisecond():
    gate = HostGate("https://example.org:443", 1e6, 4)
    costs = []
    for _ in range(300):
        start = time.perf_counter()
        with gate.turn(Deadline(1)):
            pass
        costs.append(time.perf_counter() - start)
    assert np.median(costs) < 1e-3


def test_place_comes_back_after_an_error():
    gate = HostGate("https://example.org:443", 1e4, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.turn(Deadline(0.2)):
            raise ZeroDivisionError
