"""A receiver of webhooks, for the tests of those who send them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_DEADLINE_S = 30


class Receiver:
    """An HTTP server that keeps what it was sent, and answers as it is told."""

    def __init__(self, tls=None):
        self.requests, self.status, self.headers = [], 204, {}
        self.silent = threading.Event()
        self.stop_silence = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers.items()), body))
                if receiver.silent.is_set():
                    receiver._drip(self.wfile)
                    return
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def _drip(self, stream):
        """Send headers without end, a byte now and then: every single read succeeds in time."""
        try:
            while not self.stop_silence.wait(0.05):
                stream.write(b"H")
                stream.flush()
        except OSError:
            pass  # the sender has had enough

    def close(self):
        self.stop_silence.set()
        self.server.shutdown()
        self.thread.join(_DEADLINE_S)
        self.server.server_close()
