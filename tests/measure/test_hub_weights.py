"""Real weights from a hub on the loopback interface, by the hub's own client, end to end."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from inspector.architecture.quiet import quiet
from tests import warm
from tests.measuring_here import MEASURING_HERE
from tests.sources.hub_server import COMMIT, Handler, Hub

REPO = "acme/tiny"
CONFIG = LlamaConfig(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=320,
    architectures=["LlamaForCausalLM"],
)  # fmt: skip


class WholeFiles(Handler):
    """What the hub's client asks before it downloads: the tree, and what HEAD says of a file."""

    def do_HEAD(self):  # noqa: N802 -- the server's name for it
        self.hub.seen.append((self.path, {}))
        repo, name = REPO, self.path.partition("/resolve/")[2].partition("/")[2]
        if repo in self.hub.gated:
            return self.fail(403, "GatedRepo")
        data = self.hub.repos[repo].get(name)
        if data is None:
            return self.fail(404, "EntryNotFound")
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return None

    def route(self):
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{REPO}/tree/"):
            files = self.hub.repos[REPO].items()
            rows = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha256(data).hexdigest()[:40]}
                for name, data in files
            ]
            return self.send(200, json.dumps(rows).encode())
        if "/resolve/" in path and "Range" not in self.headers:  # a whole file, not its header
            time.sleep(self.hub.behave.get("hang whole", 0))
        return super().route()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    with quiet():
        AutoModelForCausalLM.from_config(CONFIG, dtype=torch.bfloat16).save_pretrained(folder, max_shard_size="60KB")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(files, tmp_path):
    made = Hub()
    made.add(REPO, files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (WholeFiles,), {"hub": made}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    made.env = {
        **{name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"},
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1", "INSPECTOR_CACHE": str(tmp_path / "cache"), "NO_PROXY": "*",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    yield made
    server.shutdown()
    server.server_close()


WORDS = ["measure", REPO, "--weights", "hub", "--device", "cpu", "--json"]


def begun(env):
    """A process that has imported torch, and nothing that reads where the hub is."""
    return warm.warm(("torch",), {**env, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_weights_of_the_hub_are_measured_and_kept_in_its_own_cache(hub, tmp_path):
    code = f"{MEASURING_HERE}from inspector.cli.main import main\nmain()"
    run = begun(hub.env).run(["-c", code, *WORDS, "--quality"], hub.env)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["predicted"] == found["measured"]
    assert found["result"]["quality"]["schemes"]["bf16"]["weight_error"] == 0  # the real weights are bfloat16
    kept = {path.name for path in (tmp_path / "home").rglob("*.safetensors")}
    assert kept == {name for name in hub.repos[REPO] if name.endswith(".safetensors")}


@pytest.mark.slow
def test_a_gated_model_is_one_line(hub):
    hub.gated.add(REPO)
    command = [sys.executable, "-m", "inspector", *WORDS]
    run = subprocess.run(command, capture_output=True, text=True, env=hub.env, check=False)
    assert run.returncode == 2
    assert "gated" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_an_interrupted_download_leaves_no_half_shard_and_no_process(hub, tmp_path):
    hub.behave["hang whole"] = 2  # the client ends no sooner than the requests that are under way
    child = warm.Forked(begun(hub.env), ["-m", "inspector", *WORDS], hub.env, [subprocess.PIPE] * 2)
    deadline = time.monotonic() + 60
    while not any("index.json" in path and "range" not in said for path, said in hub.seen):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    for path in (tmp_path / "home").rglob("*.safetensors"):
        assert path.read_bytes() == hub.repos[REPO][path.name]
    assert len(list((tmp_path / "home").rglob("*.safetensors"))) < 2
