"""A hub on the loopback interface: its protocol spoken over real sockets, and its failures."""

import contextlib
import json
import re
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Files by repository, and what to do wrong. Every request is noted as (method, path, headers)."""

    def __init__(self):
        self.repos = {}
        self.gated, self.errors, self.behave, self.seen = set(), {}, {}, []
        self.redirect_to = None
        self.retry_after = None
        self.commit = COMMIT
        self.busy, self.most_busy = 0, 0

    def add(self, repo, files):
        self.repos[repo] = {name: data if isinstance(data, bytes) else data.encode() for name, data in files.items()}


@contextlib.contextmanager
def serving(hub):
    """The address of a server for a hub, for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.server = server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.hub.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.hub.busy += 1
        self.hub.most_busy = max(self.hub.most_busy, self.hub.busy)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.route()
        self.hub.busy -= 1

    def route(self):
        path = self.path.partition("?")[0]
        if listing := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            return self.listing(listing[1], listing[2])
        if file := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.file(file[1], file[3])
        if cdn := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            return self.send_file(self.hub.repos[cdn[1]][cdn[2]])
        return self.fail(404)

    def listing(self, repo, revision):
        if self.refused(repo, "listing"):
            return None
        if repo not in self.hub.repos:
            return self.fail(401 if "Authorization" not in self.headers else 404, "RepoNotFound")
        if revision not in {"main", self.hub.commit}:
            return self.fail(404, "RevisionNotFound")
        files = [{"rfilename": name} for name in self.hub.repos[repo]]
        return self.send(200, json.dumps({"id": repo, "sha": self.hub.commit, "siblings": files}).encode())

    def file(self, repo, name):
        if self.refused(repo, name):
            return None
        if repo in self.hub.gated:
            return self.fail(403, "GatedRepo")
        if name not in self.hub.repos.get(repo, {}):
            return self.fail(404, "EntryNotFound")
        if self.hub.behave.get("circle"):
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if self.hub.redirect_to and name.endswith(".safetensors"):
            self.send_response(302)
            self.send_header("Location", f"{self.hub.redirect_to}/cdn/{repo}/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return self.send_file(self.hub.repos[repo][name])

    def refused(self, repo, what):
        """Answer with the planned error for a repository or a file, if there is one left."""
        for key in (repo, what):
            planned = self.hub.errors.get(key)
            if planned:
                self.fail(planned.pop(0) if isinstance(planned, list) else planned)
                return True
        return False

    def send_file(self, data):
        behave, asked = self.hub.behave, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if behave.get("hang"):
            time.sleep(behave["hang"])
        if asked and not behave.get("no ranges"):
            part = data[int(asked[1]) : int(asked[2]) + 1]
            return self.send(
                206, part, {"Content-Range": f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}"}
            )
        return self.send(200, data)

    def send(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.hub.behave.get("reset") and len(body) > 1000:
            self.wfile.write(body[:500])
            self.wfile.flush()
            # Closing with nothing lingering sends a reset instead of an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        cut = self.hub.behave.get("cut")
        if cut and len(body) > 1000 and (cut is True or cut.pop(0)):
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        if drip := self.hub.behave.get("drip"):
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(drip)
            return
        self.wfile.write(body)

    def fail(self, status, code=""):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if self.hub.retry_after:
            self.send_header("Retry-After", self.hub.retry_after)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
