"""vLLM itself asked, where there is one; what is said where there is none, or what is no answer."""

import json

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.serving.vllm.asked import VARIABLE, read_answer, where
from inspector.serving.weights import ROUNDED
from inspector.units import GiB

ANSWER = {
    "version": "0.33.0", "weights": 2 * GiB, "blocks": 1000, "groups": 2, "concurrency": 3.25, "backend": "FLASH_ATTN",
}  # fmt: skip


@pytest.fixture
def stands_in(tmp_path, monkeypatch):
    """A program in vLLM's place that keeps its question and says what it is told to."""

    def make(said, status=0):
        place = tmp_path / "python"
        (tmp_path / "said").write_text(said)
        place.write_text(f'#!/bin/sh\nprintf "%s" "$2" > {tmp_path}/question\ncat {tmp_path}/said\nexit {status}\n')
        place.chmod(0o755)
        monkeypatch.setenv(VARIABLE, str(place))
        return tmp_path / "question"

    return make


def test_it_is_asked_what_was_typed_for_the_bytes_that_are_left(stands_in):
    question = stands_in(f"noise\n{json.dumps(ANSWER)}\n")
    report = inspector.serve(
        "llama-3.2-1b", gpu="RTX 4090", words=("--max-model-len", "4096", "--kv-cache-dtype", "fp8", "--ask-engine")
    )
    asked = json.loads(question.read_text())
    assert asked["options"] == {"max_model_len": 4096, "kv_cache_dtype": "fp8"}
    assert asked["available"] == report.kv_bytes.value
    assert asked["card"][1:3] == [report.card_bytes, [8, 9]]
    assert any(
        "(0.33.0) answers: weights 2.00 GiB, 1,000 blocks in 2 groups, 3.25 requests" in line for line in report.notes
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (json.dumps({"version": "0.33.0", "refused": "Head size 999 is not supported"}), "refuses: Head size 999"),
        ("Traceback", "does not answer"), ("[1]", "does not answer"), ("{", "does not answer"), ("", "it says nothing"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_line(stands_in, said, why):
    stands_in(said, status=1)
    with pytest.raises(InspectorError, match=why):
        inspector.serve("llama-3.2-1b", ask_engine=True)


def test_another_version_is_said():
    assert (
        "0.99.1, not a version it was tried with (0.33)"
        in read_answer(json.dumps({**ANSWER, "version": "0.99.1"})).said()
    )
    cut = {"version": "0.33.0", "weights": GiB, "refusal": "To serve at least one request"}
    assert read_answer(json.dumps(cut)).said().endswith("weights 1.00 GiB, To serve at least one request")


@pytest.mark.skipif(where() is not None, reason="vLLM is installed")
def test_without_it_its_place_is_asked_for():
    with pytest.raises(InspectorError, match="vLLM is not installed here") as caught:
        inspector.serve("llama-3.2-1b", ask_engine=True)
    assert VARIABLE in caught.value.hint


@pytest.mark.skipif(where() is None, reason="vLLM is not installed, and INSPECTOR_VLLM names none")
def test_the_engine_answers_as_the_rule_does():
    for words in (("-tp", "2", "--max-model-len", "8192"), ("-pp", "3", "--max-model-len", "8192")):
        report = inspector.serve("gemma-3-1b-it", gpu="H100", words=(*words, "--ask-engine"))
        line = next(line for line in report.notes if line.startswith("vLLM itself"))
        weights = sum(part.nbytes for part in report.weights if part.name != ROUNDED) / GiB
        assert f"weights {weights:.2f} GiB" in line
        blocks = report.kv_bytes.value // report.cache.block_bytes
        assert f"{blocks:,} blocks in {report.cache.groups} groups" in line
        assert f"{report.max_concurrency.value / 100:.2f} requests" in line
