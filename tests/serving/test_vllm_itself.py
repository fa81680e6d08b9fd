"""vLLM's own answers: what it was asked on shapes is kept, and our rules are held to it, model by model."""

import json
import re
from importlib.resources import files

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.serving.weights import ROUNDED
from inspector.units import GiB

KEPT = json.loads((files("inspector") / "data" / "serving" / "vllm_asked.json").read_text(encoding="utf-8"))
VERSION = KEPT["about"].split()[1]
REPACKED_LATER = ("absorbed latent projections",)
"""What is made when weights are loaded, which a model that was only built has not."""
FP8_ON_TURING = {("deepseek-ai/DeepSeek-R1", "T4"), ("moonshotai/Kimi-K2-Instruct", "T4")}
"""What 0.33 would run by Marlin and is refused here, as releases before it do."""


def _asked(answer):
    return inspector.serve(
        answer["model"], gpu=answer["card"], tensor_parallel_size=answer["ranks"], kv_cache_dtype=answer["kept"],
        kv_cache_memory_bytes=40 * GiB, engine_version=VERSION,
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared():
    pairs, refused = [], []
    for answer in KEPT["answers"]:
        try:
            pairs.append((answer, _asked(answer)))
        except InspectorError as error:
            refused.append((answer, error.message))
    return pairs, refused


def test_what_it_refuses_is_refused(compared):
    pairs, refused = compared
    assert [answer["model"] for answer, _ in pairs if "refused" in answer] == []
    ours = [(answer["model"], answer["card"], said) for answer, said in refused if "refused" not in answer]
    assert all((model, card) in FP8_ON_TURING for model, card, _ in ours), ours
    words = [(answer["refused"], said) for answer, said in refused if "must be divisible" in said]
    assert words
    assert all(theirs == said for theirs, said in words)


def test_blocks_and_requests_are_its_own(compared):
    pairs, _ = compared
    wrong = []
    for answer, report in pairs:
        if "blocks" not in answer:
            longest = re.search(r"estimated maximum model length is (\d+)", answer["refusal"])
            assert longest
            assert (report.starts, report.largest_max_model_len.value) == ("no", int(longest[1])), answer["model"]
            continue
        ours = 40 * GiB // report.cache.block_bytes, report.cache.groups, report.max_concurrency.value
        theirs = answer["blocks"], answer["groups"], round(100 * answer["concurrency"])
        if ours[:2] != theirs[:2] or abs(ours[2] - theirs[2]) > max(1, theirs[2] // 10_000):
            wrong.append((answer["model"], answer["card"], answer["ranks"], answer["kept"], ours, theirs))
    assert len(pairs) > 80
    assert wrong == []


def test_defaults_are_its_own(compared):
    pairs, _ = compared
    for answer, report in pairs:
        said = " ".join(report.assumed)
        assert report.max_model_len == answer["length"], answer["model"]
        assert f"--max-num-batched-tokens {answer['batched']:,} " in said, answer["card"]
        assert f"--max-num-seqs {answer['seqs']:,} " in said, answer["card"]


def test_weights_are_its_own(compared):
    pairs, _ = compared
    wrong = []
    for answer, report in pairs:
        if answer["quantization"] and "mxfp4" in answer["quantization"]:
            continue  # padded for a kernel after it was built: held to logs
        theirs = answer.get("processed") or answer["weights"]
        left_out = (ROUNDED,) if answer.get("processed") else (ROUNDED, *REPACKED_LATER)
        ours = sum(part.nbytes for part in report.weights if part.name not in left_out)
        if abs(ours / theirs - 1) > 0.001:
            wrong.append((answer["model"], answer["card"], answer["ranks"], ours, theirs))
    assert wrong == []
