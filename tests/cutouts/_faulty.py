"""A server that fails on purpose, below HTTP where needed: each request gets the next fault of a script."""

import gzip
import importlib.util
import io
import socket
import struct
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODY = bytes(range(256)) * 4

_LIGHT = """
import sys, types
package = types.ModuleType("galestim.cutouts")
package.__path__ = [sys.argv.pop(1)]
sys.modules["galestim.cutouts"] = package
"""


def script(code, *arguments):
    """The command line of a Python script that imports single files of `galestim.cutouts`, and not all of astropy."""
    folder = Path(importlib.util.find_spec("galestim").origin).parent / "cutouts"
    return [sys.executable, "-c", _LIGHT + code, str(folder), *map(str, arguments)]


@dataclass
class Seen:
    """One request, as the server saw it; `in_flight` counts those under way when it came, itself included."""

    path: str
    headers: dict
    client: tuple
    start: float
    in_flight: int
    end: float = field(default=float("nan"))


class FaultyServer:
    """With it as server: the n-th request gets the n-th of `faults`, and those after the last the last."""

    def __init__(self, *faults, tls=None):
        self.faults, self.log, self._lock, self._in_flight = faults, [], threading.Lock(), 0
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.scheme = "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path="/cutout", host="127.0.0.1", login=""):
        return f"{self.scheme}://{login}{host}:{self._server.server_port}{path}"

    def enter(self, handler):
        with self._lock:
            self._in_flight += 1
            seen = Seen(handler.path, dict(handler.headers), handler.client_address, time.time(), self._in_flight)
            self.log.append(seen)
            return seen, self.faults[min(len(self.log), len(self.faults)) - 1]

    def leave(self, seen):
        """Called before the last byte goes out, since a client may be back before the thread gets any further."""
        with self._lock:
            if seen.end != seen.end:
                self._in_flight -= 1
                seen.end = time.time()


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 64

    def handle_error(self, request, client_address):
        """Clients hang up on faults; that is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one piece, so that no delay of TCP is measured
    disable_nagle_algorithm = True

    def do_GET(self):
        self.owner = self.server.owner
        self.seen, fault = self.owner.enter(self)
        try:
            fault(self)
        finally:
            self.owner.leave(self.seen)

    def log_message(self, *args):
        pass

    def send(self, data):
        self.wfile.write(data)
        self.wfile.flush()

    def head(self, status=200, content_type="image/jpeg", **headers):
        self.send_response_only(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def hang_up(self):
        self.wfile.flush()
        self.close_connection = True


# --- faults -------------------------------------------------------------------------------------------------


def reply(body=BODY, status=200, content_type="image/jpeg", delay=0.0, **headers):
    """A sound reply, or one that is wrong in its words only."""

    def fault(handler):
        time.sleep(delay)
        handler.owner.leave(handler.seen)
        handler.head(status, content_type, Content_Length=len(body), **headers)
        handler.send(body)

    return fault


def half(framing):
    """The first half of the body, whose length was announced, is said by chunks, or is not said at all."""

    def fault(handler):
        part = BODY[: len(BODY) // 2]
        if framing == "length":
            handler.head(Content_Length=len(BODY))
            handler.send(part)
        elif framing == "chunked":
            handler.head(Transfer_Encoding="chunked")
            handler.send(b"%x\r\n%s\r\n%x\r\n%s" % (len(part) // 2, part[::2], len(BODY), part[1::2]))
        else:
            handler.head(Connection="close")
            handler.send(part)
        handler.hang_up()

    return fault


def half_gzip(handler):
    """Half a compressed body, of a length that fits."""
    part = gzip.compress(BODY)[:-20]
    handler.head(Content_Encoding="gzip", Content_Length=len(part))
    handler.send(part)


def nothing(handler):
    """The connection is closed without a word."""
    handler.hang_up()


def nonsense(handler):
    handler.send(b"\x00\x01 what?\r\n\r\n")
    handler.hang_up()


def reset(handler):
    """The connection is reset in the middle of the body."""
    handler.head(Content_Length=len(BODY))
    handler.send(BODY[:100])
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def silent(handler):
    """No answer."""
    handler.owner.closing.wait(20)
    handler.close_connection = True


def drip(where, every=0.05):
    """A byte now and then, of the body or of the headers, for ever."""

    def fault(handler):
        if where == "body":
            handler.head(Content_Length=len(BODY))
        while not handler.owner.closing.wait(every):
            handler.send(b"x")

    return fault


def endless(status=200, **headers):
    """A body that does not end."""

    def fault(handler):
        handler.head(status, Connection="close", **headers)
        with suppress(OSError):
            while not handler.owner.closing.is_set():
                handler.send(bytes(2**16))
        handler.close_connection = True

    return fault


def redirect(target, status=302):
    def fault(handler):
        handler.owner.leave(handler.seen)
        handler.head(status, "", Location=target, Content_Length=0)
        handler.send(b"")

    return fault


def bomb(n_bytes):
    """A small reply that becomes large when decompressed."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as stream:
        for _ in range(n_bytes // 2**20):
            stream.write(bytes(2**20))
    return reply(packed.getvalue(), Content_Encoding="gzip")


def raw(answer):
    """These bytes, whether or not they are HTTP."""

    def fault(handler):
        handler.send(answer)
        handler.hang_up()

    return fault


@contextmanager
def deaf(full):
    """The URL of a server that never accepts: a connection waits in its queue, or finds it `full`."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0 if full else 16)
        if full:
            for client in (first, second):
                client.setblocking(False)
                client.connect_ex(server.getsockname())
            time.sleep(0.05)
        yield f"http://127.0.0.1:{server.getsockname()[1]}/cutout"
