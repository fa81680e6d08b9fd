"""A hub of some models on this machine: their configs and the headers of their weights, by the hub's own addresses."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from inspector.sources.bundled import bundled_config, load_bundled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.skeleton import Skeleton


def _header(skeleton: Skeleton) -> bytes:
    """The first bytes of a safetensors file of the model: the header's length and the header."""
    entries, offset = {}, 0
    for tensor in skeleton.parameters:
        end = offset + 2 * tensor.numel
        entries[tensor.name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


def hub_files(skeleton: Skeleton, config: dict[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """A model's files, and what the hub says of it: parameters as they are counted in safetensors files."""
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": _header(skeleton)}
    counted = skeleton.num_parameters
    listing = {
        "sha": "0" * 40,
        "siblings": [{"rfilename": name} for name in files],
        "safetensors": {"parameters": {"BF16": counted}, "total": counted},
    }
    return files, listing


@contextlib.contextmanager
def serve(*models: str, extra: dict[str, tuple[Skeleton, dict[str, Any]]] | None = None) -> Iterator[str]:
    """Serve bundled models, and those of ``extra``, while the block runs; yields the address for ``HF_ENDPOINT``."""
    shelf = {model: hub_files(load_bundled(model), bundled_config(model)) for model in models}
    shelf |= {model: hub_files(*facts) for model, facts in (extra or {}).items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/api/models").strip("/").split("/")
            model, name = "/".join(path[:2]), path[-1]
            if model not in shelf:
                self._send(b"", 404)
                return
            files, listing = shelf[model]
            if self.path.startswith("/api/models/"):
                tree = [{"type": "file", "path": path, "size": len(body)} for path, body in files.items()]
                self._send(json.dumps(tree if "tree" in path else {"id": model, **listing}).encode())
            elif name in files:
                self._send(files[name])
            else:
                self._send(b"", 404)

        do_HEAD = do_GET  # noqa: N815 -- the name http.server calls

        def _send(self, body: bytes, status: int = 200) -> None:
            size = len(body)
            wanted = self.headers.get("Range", "")
            if wanted.startswith("bytes=") and status == 200:
                first, _, last = wanted[6:].partition("-")
                body, status = body[int(first) : int(last or size - 1) + 1], 206
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{size}"')
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{size}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
