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
FP8_ON_TURING = {("deepseek-ai/DeepSeek-R1", "T4"), ("moonshotai/Kimi-K2-Instruct", "T4")}
"""What 0.33 would run by Marlin and is refused here, as releases before it do."""


MORE = {
    "": {}, "lora": {"enable_lora": True, "max_loras": 2, "max_lora_rank": 32},
    "experts": {"enable_expert_parallel": True}, "stages": {"pipeline_parallel_size": 3},
    "contexts": {"decode_context_parallel_size": 2},
}  # fmt: skip
"""What an answer's ``more`` says, as scripts/serving_vllm/ask.py asks it."""


def _asked(answer):
    return inspector.serve(
        answer["model"], gpu=answer["card"], tensor_parallel_size=answer["ranks"], kv_cache_dtype=answer["kept"],
        kv_cache_memory_bytes=40 * GiB, engine_version=VERSION, **MORE[answer.get("more", "")],
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
    words = [
        (answer["refused"], said) for answer, said in refused
        if "refused" in answer and re.search("must be divisible|Decode context", said)
    ]  # fmt: skip
    assert len(words) > 30
    assert all(said[:100] in theirs for theirs, said in words)


def test_blocks_and_requests_are_its_own(compared):
    pairs, _ = compared
    wrong = []
    for answer, report in pairs:
        if "blocks" not in answer:
            longest = re.search(r"estimated maximum model length is (\d+)", answer["refusal"])
            assert longest, answer
            assert (report.starts, report.largest_max_model_len.value) == ("no", int(longest[1])), answer["model"]
            continue
        ours = 40 * GiB // report.cache.block_bytes, report.cache.groups, report.max_concurrency.value
        theirs = answer["blocks"], answer["groups"], round(100 * answer["concurrency"])
        if ours[:2] != theirs[:2] or abs(ours[2] - theirs[2]) > max(1, theirs[2] // 10_000):
            wrong.append((answer["model"], answer["card"], answer.get("more"), answer["kept"], ours, theirs))
    assert len(pairs) > 300
    assert {answer.get("more", "") for answer, _ in pairs} == set(MORE)
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
        ours = sum(part.nbytes for part in report.weights if part.name not in {ROUNDED, "LoRA slots"})
        if answer.get("more") == "stages":  # what is made of a latent after loading was not asked of stages
            ours -= sum(part.nbytes for part in report.weights if part.name == "absorbed latent projections")
        if abs(ours / theirs - 1) > 0.001:
            wrong.append((answer["model"], answer["card"], answer["ranks"], ours, theirs))
    assert wrong == []


def test_the_room_for_adapters_is_its_own(compared):
    pairs, _ = compared
    found = [
        (answer["slots"], next(part.nbytes for part in report.weights if part.name == "LoRA slots"))
        for answer, report in pairs if "slots" in answer
    ]  # fmt: skip
    assert len(found) > 20
    assert all(theirs == ours for theirs, ours in found)


PEAKS = (
    ("llama-3.1-8b", "H100", 1, "0.33", 0.9063), ("llama-3.1-8b", "A100-80GB", 1, "0.33", 0.2530),
    ("qwen3-30b-a3b", "H100", 1, "0.33", 0.9811), ("deepseek-v2-lite", "H100", 1, "0.33", 0.6726),
    ("qwen3-next-80b-a3b-instruct", "H100", 4, "0.33", 0.9810), ("llama-3.1-8b", "H100", 1, "0.18", 1.8536),
    ("qwen2.5-14b", "H100", 1, "0.18", 2.2027), ("gemma-3-1b-it", "H100", 1, "0.18", 3.6509),
    ("deepseek-v2-lite", "H100", 1, "0.18", 1.4566),
)  # fmt: skip
"""GiB above the loaded model that vLLM's own profile run took on shapes, by its second and its first runner."""


@pytest.mark.parametrize("case", PEAKS, ids=str)
def test_the_profile_runs_peak_is_its_own(case):
    model, card, ranks, version, peak = case
    report = inspector.serve(
        model, gpu=card, tensor_parallel_size=ranks, engine_version=version, max_model_len=8192,
        flashinfer_sampler=False,  # which has no kernels on shapes
    )  # fmt: skip
    found = next(term.span for term in report.terms if term.name == "activation peak")
    assert found.value / GiB == pytest.approx(peak, rel=0.01)
    assert found.low <= peak * GiB <= found.high
