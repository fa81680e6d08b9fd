"""Models on the hub, read from a server that speaks its protocol on the loopback interface, the only address used."""

import json
import os
import shutil
import time
from pathlib import Path

import huggingface_hub
import pytest

import inspector.sources.http as fetching
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.hub_id import hub_model
from inspector.sources.resolve import locate, resolve
from tests.sources.conftest import REPO
from tests.sources.hub_server import COMMIT, Hub, serving


def read_all(reference):
    source = hub_model(reference)
    return source.config, source.checkpoint


def refusal(reference=REPO):
    with pytest.raises(InspectorError) as caught:
        read_all(reference)
    assert "\n" not in caught.value.message
    return str(caught.value)


def test_a_hub_model_is_the_folder_it_was_uploaded_from(hub, saved_llama):
    remote, here = locate(REPO), locate(str(saved_llama))
    assert remote.skeleton.num_parameters == here.skeleton.num_parameters > 0
    assert remote.checkpoint.by_name == here.checkpoint.by_name
    assert remote.checkpoint.file_bytes == here.checkpoint.file_bytes


def test_weights_are_never_downloaded(hub):
    """Of a file with 40 MB of weights, only the first bytes are asked for and sent."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [10_000_000], "data_offsets": [0, 40_000_000]}}).encode()
    hub.add("acme/big", {"model.safetensors": len(header).to_bytes(8, "little") + header + bytes(40_000_000)})
    assert hub_model("acme/big").checkpoint.tensor_bytes == 40_000_000
    ranges = [headers["range"] for path, headers in hub.seen if path.endswith("model.safetensors")]
    assert ranges == ["bytes=0-262143"]


def test_a_header_over_the_first_range_takes_one_more(hub):
    entries = {f"layer.{i}.{'x' * 100}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(3000)}
    header = json.dumps(entries).encode()
    hub.add("acme/long", {"model.safetensors": len(header).to_bytes(8, "little") + header + bytes(3000)})
    assert len(hub_model("acme/long").checkpoint.tensors) == 3000
    assert len([path for path, _ in hub.seen if path.endswith("model.safetensors")]) == 2


def test_a_server_without_ranges_is_read_no_further_than_needed(hub):
    hub.behave["no ranges"] = True
    assert hub_model(REPO).checkpoint.tensors


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(hub):
    elsewhere = Hub()
    elsewhere.repos = hub.repos
    with serving(elsewhere) as address:
        hub.redirect_to = address
        assert hub_model(REPO).checkpoint.tensors
    assert all(headers["authorization"] == "Bearer hf_secret" for _, headers in hub.seen)
    assert elsewhere.seen
    assert not any("authorization" in headers for _, headers in elsewhere.seen)


def test_the_second_time_only_the_list_of_files_is_asked_for(hub):
    hub_model(REPO).checkpoint  # noqa: B018 -- reading it is the point
    hub.seen.clear()
    hub_model(REPO).checkpoint  # noqa: B018
    assert [path for path, _ in hub.seen] == [f"/api/models/{REPO}/revision/main"]


def test_a_damaged_cache_entry_is_fetched_again_and_said_so(hub, caplog):
    first = hub_model(REPO).checkpoint
    for entry in (Path(os.environ["INSPECTOR_CACHE"]) / "hub").iterdir():
        entry.write_bytes(entry.read_bytes()[:-3] + b"xyz")
    assert hub_model(REPO).checkpoint.by_name == first.by_name
    assert "was damaged" in caplog.text


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(hub, status):
    hub.errors[REPO] = [status, status]
    assert hub_model(REPO).config["model_type"] == "llama"


def test_the_second_pause_is_twice_the_first(hub, monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE", 0.1)
    hub.errors[REPO] = [503, 503]
    started = time.monotonic()
    assert hub_model(REPO).config
    assert 0.3 <= time.monotonic() - started < 2


def test_a_connection_that_breaks_is_tried_again(hub):
    hub.behave["cut"] = [True, False, False, False, False, False, False, False, False]
    assert hub_model(REPO).checkpoint.tensors


REFUSALS = {
    "gated": (lambda hub: hub.gated.add(REPO), "is gated", "hf auth login"),
    "missing": (lambda hub: hub.repos.clear(), "no model acme/tiny-llama", "private"),
    "bad token": (lambda hub: hub.errors.update({REPO: 401}), "token", "hf auth login"),
    "forbidden": (lambda hub: hub.errors.update({REPO: 403}), "forbids", "read access"),
    "rate-limited": (lambda hub: hub.errors.update({REPO: 429}), "too many requests", "wait"),
    "down": (lambda hub: hub.errors.update({REPO: 503}), "status 503", "try again"),
    "broken": (lambda hub: hub.behave.update(cut=True), "cannot reach", "connection"),
    "reset": (lambda hub: hub.behave.update(reset=True), "cannot reach", "connection"),
    "redirects without end": (lambda hub: hub.behave.update(circle=True), "cannot reach", "HF_ENDPOINT"),
    "slow": (lambda hub: hub.behave.update(hang=2), "did not answer", "try again"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_has_its_own_line_and_what_to_do(hub, name, capsys, monkeypatch):
    arrange, message, hint = REFUSALS[name]
    if name == "slow":
        monkeypatch.setattr(fetching, "TIMEOUT", 0.1)
    arrange(hub)
    started = time.monotonic()
    said = refusal()
    assert message in said
    assert hint in said
    assert time.monotonic() - started < 10
    assert run(["checkpoint", REPO]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert message in first
    assert hint in second


def test_a_missing_revision(hub):
    assert "no such revision" in refusal(f"{REPO}@v9")


def test_a_server_that_drips_is_left(hub, monkeypatch):
    monkeypatch.setattr(fetching, "DEADLINE", 0.3)
    hub.behave["drip"] = 0.05
    assert "took over" in refusal()


def test_a_server_that_asks_to_wait_an_hour_is_not_waited_for(hub):
    hub.retry_after = "3600"
    hub.errors[REPO] = 429
    started = time.monotonic()
    assert "too many requests" in refusal()
    assert time.monotonic() - started < 1


def test_offline_is_its_own_line_and_sends_nothing(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal()
    assert hub.seen == []


def test_offline_finds_what_the_hubs_own_cache_has(hub, monkeypatch, tmp_path, saved_llama):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    cache = tmp_path / "models--acme--tiny-llama"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    snapshot = cache / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for path in saved_llama.iterdir():
        (snapshot / path.name).symlink_to(path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert hub_model(REPO).checkpoint.by_name == locate(str(saved_llama)).checkpoint.by_name


def test_out_of_reach_the_bundled_model_is_used_and_said_so(hub, caplog):
    skeleton = resolve("hf:meta-llama/Llama-3.1-8B")
    assert skeleton.num_parameters == 8_030_261_248
    assert "using the bundled one" in caplog.text


def test_a_bundled_name_asks_nobody(hub):
    resolve("meta-llama/Llama-3.1-8B")
    assert hub.seen == []


def test_remote_code_is_ignored(hub, llama_config, tmp_path):
    """A repository that brings its own classes: its Python files are not asked for, let alone run."""
    target = tmp_path / "ran"
    code = f"open({str(target)!r}, 'w').write('x')\n"
    mapped = {"auto_map": {"AutoConfig": "modeling_evil.C", "AutoModelForCausalLM": "modeling_evil.M"}}
    hub.add("acme/evil", {"config.json": json.dumps({**llama_config, **mapped}), "modeling_evil.py": code})
    assert resolve("acme/evil").num_parameters > 0
    assert not target.exists()
    assert not any("modeling_evil" in path for path, _ in hub.seen)


def test_a_listing_that_is_no_listing(hub, monkeypatch):
    monkeypatch.setattr(
        huggingface_hub.constants, "ENDPOINT", f"{huggingface_hub.constants.ENDPOINT}/{REPO}/resolve/main"
    )
    hub.repos[REPO]["api/models/acme/tiny-llama/revision/main"] = b"[1]"
    assert "JSON list" in refusal()


def test_from_the_command_line_by_the_environment_alone(hub, inspector, capsys):
    address = huggingface_hub.constants.ENDPOINT
    assert run(["layers", REPO, "--json"]) == 0
    here = capsys.readouterr().out
    # Its skeleton is kept and need not be built by a process that has yet to import the libraries; its files are not.
    shutil.rmtree(Path(os.environ["INSPECTOR_CACHE"]) / "hub")
    hub.seen.clear()
    done = inspector("layers", REPO, "--json", env={"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == here
    assert [path.rpartition("/")[2] for path, _ in hub.seen] == ["main", "config.json"]
    assert run(["layers", "acme/nothing-here"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
