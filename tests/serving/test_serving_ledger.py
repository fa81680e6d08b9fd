"""The rules beside what engines printed: the bounds that are kept, and the rows that are not met, by name."""

import json

import pytest

from inspector.errors import InspectorError
from inspector.validation import serving_records
from inspector.validation.serving_ledger import lines_of, validate_serving


@pytest.fixture(scope="module")
def vllm():
    return validate_serving("serving_vllm")


def _of(ledger, figure):
    return [line for line in ledger.lines if line.figure == figure]


def _errors(ledger, figure):
    return sorted(abs(line.error) for line in _of(ledger, figure))


def test_bytes_a_token_and_blocks_are_exact(vllm):
    for figure in ("kv_bytes_per_token", "blocks", "concurrency"):
        lines = _of(vllm, figure)
        assert len(lines) >= 10
        assert all(line.verdict == "exact" for line in lines), figure
    tokens = _of(vllm, "tokens")
    assert len(tokens) >= 12
    # One log of a hybrid does not say its longest request, which decides what is put together into blocks.
    assert [line.error < -0.02 for line in tokens if line.verdict != "exact"] == [True]


def test_weights_of_a_rank(vllm):
    found = _errors(vllm, "weights")
    assert len(found) >= 22
    assert found[len(found) // 2] < 0.001
    assert found[-1] < 0.011
    assert all(line.verdict != "outside" for line in vllm.lines if line.figure.startswith("weights"))


def test_no_range_needs_what_stands_beside_a_log(monkeypatch):
    beside = serving_records._beside()
    monkeypatch.setattr(serving_records, "_beside", dict)
    alone = [log for log in serving_records.logs("serving_vllm") if log.id in beside]
    lines = [line for log in alone for line in lines_of(log)]
    assert len(lines) >= 30
    # One says a length that is not its own.
    assert {line.log for line in lines if line.verdict == "outside"} <= {"vllm-qwen3next-w4a16-0.92"}
    pools = [abs(line.error) for line in lines if line.figure == "pool with adapters"]
    assert len(pools) == 4  # Unsloth's: its own rule has the rows
    assert max(pools) < 0.01


def test_the_pool_from_the_command_line_alone(vllm):
    assert all(line.verdict != "outside" for line in _of(vllm, "pool"))
    found = _errors(vllm, "pool")
    assert len(found) >= 6
    assert sum(found) / len(found) < 0.01
    assert found[len(found) // 2] < 0.006
    widest = next(found.widest for found in vllm.summaries if found.figure == "pool")
    assert 0 < widest < 0.06
    # Adapters whose rank no log says have vLLM's own default.
    assert _errors(vllm, "weights with adapters")[-1] < 0.03
    assert _errors(vllm, "pool with adapters")[-1] < 0.03


def test_the_profile_runs_peak(vllm):
    assert all(line.verdict != "outside" for line in _of(vllm, "activation peak"))
    found = _errors(vllm, "activation peak")
    assert len(found) >= 9
    assert found[-1] < 0.03
    assert found[len(found) // 2] < 0.01


def test_what_a_log_does_not_say_stands_apart(vllm):
    apart = {line.figure for line in vllm.lines if " of " in line.figure}
    assert apart == {
        "pool of one rank", "activation peak of one rank", "weights of layers unsaid", "pool of layers unsaid",
    }  # fmt: skip
    assert all(line.verdict != "outside" for line in vllm.lines if " of " in line.figure)


def test_it_never_says_confidently_what_is_wrong(vllm):
    lines = _of(vllm, "starts")
    assert len(lines) >= 10
    assert all(line.verdict != "outside" for line in lines)


def test_sglang_and_llamacpp():
    sglang = validate_serving("serving_sglang")
    for figure in ("kv_bytes_per_token", "kv"):
        assert all(line.verdict == "exact" for line in _of(sglang, figure))
    assert _errors(sglang, "tokens")[-1] < 0.0005
    llama = validate_serving("serving_llamacpp")
    for figure in ("kv_total", "kv_k", "kv_v", "graph", "compute", "model", "on the card"):
        assert _of(llama, figure)
        assert all(line.verdict == "exact" for line in _of(llama, figure)), figure


def test_a_file_of_ones_own(tmp_path):
    log = {
        "id": "mine", "engine": "vllm", "version": "0.10.1", "model": "Qwen/Qwen3-14B", "card": "A100 40GB",
        "tensor_parallel": 1, "pipeline_parallel": 1, "max_model_len": 40960, "gpu_memory_utilization": 0.9,
        "outcome": "started",
        "figures": {
            "weights": {"bytes": 29547764384, "half_ulp_bytes": 53687},
            "kv": {"bytes": 11811160064, "half_ulp_bytes": 5368709}, "tokens": {"value": 72064},
        },
    }  # fmt: skip
    (tmp_path / "mine.json").write_text(json.dumps([log]))
    ledger = validate_serving(str(tmp_path / "mine.json"))
    assert {line.figure for line in ledger.lines} >= {"weights", "tokens", "pool"}
    (tmp_path / "none.json").write_text("[1]")
    with pytest.raises(InspectorError, match="no list of an engine's logs"):
        validate_serving(str(tmp_path / "none.json"))
