"""The page of a served model as a file, and what an engine beside a trainer holds."""

import pytest

import inspector
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.serving import colocated_bytes
from inspector.serving.vllm.json_options import text_only
from inspector.serving.vllm.settings import VllmSettings
from inspector.sources.bundled import load_bundled


def test_the_page_is_a_file_with_the_waterfall(tmp_path):
    place = tmp_path / "page.html"
    words = ["serving", "llama-3.2-1b", "--gpu", "L4", "--max-model-len", "4096", "--max-num-seqs", "16"]
    assert run([*words, "-o", str(place)]) == 0
    page = place.read_text(encoding="utf-8")
    assert "left for the KV cache" in page
    assert '"serving": {' in page or '"serving":{' in page  # the figure's own data
    assert " ".join(words) in page
    assert run([*words, "--json", "-o", str(place)]) == 2


def test_an_engine_beside_a_trainer():
    awake = colocated_bytes("llama-3.2-1b", gpu="A100-80GB", max_model_len=4096)
    assert awake.held == awake.weights + awake.kv.value
    share = awake.report.terms[0].span.value
    assert 0.9 * share < awake.held < share
    asleep = colocated_bytes("llama-3.2-1b", gpu="A100-80GB", max_model_len=4096, sleep_level=1)
    assert (asleep.held, asleep.host) == (0, awake.weights)
    assert colocated_bytes("llama-3.2-1b", gpu="A100-80GB", sleep_level=2).host == 0
    with pytest.raises(InspectorError, match="level 1 or 2"):
        colocated_bytes("llama-3.2-1b", sleep_level=3)


def test_options_that_are_json():
    plain = inspector.serve("gemma-3-1b-it", gpu="H100")
    drafts = inspector.serve("qwen3-next-80b-a3b-instruct", gpu="H100", tensor_parallel_size=4, words=(
        "--speculative-config", '{"method": "mtp", "num_speculative_tokens": 3}', "--no-async-scheduling",
    ))  # fmt: skip
    assert drafts == inspector.serve(
        "qwen3-next-80b-a3b-instruct", gpu="H100", tensor_parallel_size=4, async_scheduling=False,
        speculative_config='{"num_speculative_tokens": 3, "method": "mtp"}',
    )  # fmt: skip
    assert drafts.cache.state_bytes > 0
    assert not drafts.not_understood
    assert any("multi-token prediction" in line for line in drafts.notes)
    # One step at a time, and a connector that keeps windows whole.
    calm = inspector.serve("gemma-3-1b-it", gpu="H100", async_scheduling=False)
    assert calm.cache.request_bytes < plain.cache.request_bytes
    moved = inspector.serve("gemma-3-1b-it", gpu="H100", kv_transfer_config='{"kv_connector": "x"}')
    assert moved.cache.groups == 1
    shown = inspector.serve("gemma-3-12b-it", gpu="H100").kv_bytes
    blind = inspector.serve("gemma-3-12b-it", gpu="H100", limit_mm_per_prompt='{"image": 0}').kv_bytes
    assert blind.low > shown.low + 2**30
    bare = inspector.serve("gemma-3-1b-it", gpu="H100", compilation_config='{"cudagraph_mode": "NONE"}')
    assert not any("graphs" in term.name for term in bare.terms)
    with pytest.raises(InspectorError, match="no object of JSON"):
        inspector.serve("gemma-3-1b-it", speculative_config="[3")


def test_an_encoder_that_no_prompt_may_use_is_not_loaded():
    """Its weights and the projector's stay away since the release whose class asks; before, only its dummy run does."""

    def asked(model, version, *words):
        return inspector.serve(model, gpu="H100", engine_version=version, max_model_len=8192, words=words)

    def beside(model):
        tensors = load_bundled(model).tensors
        return 2 * sum(one.numel for one in tensors if "vision_tower" in one.name or "projector" in one.name)

    gemma, mistral = "google/gemma-3-4b-it", "mistralai/Mistral-Small-3.1-24B-Instruct-2503"
    for model, version, gone in (
        (gemma, "0.28.0", 1),
        (gemma, "0.11.0", 0),
        (mistral, "0.11.0", 1),
        (mistral, "0.9.2", 0),
    ):
        shown, blind = asked(model, version), asked(model, version, "--limit-mm-per-prompt", '{"image": {"count": 0}}')
        assert not blind.not_understood
        less = shown.weights_bytes.value - blind.weights_bytes.value
        assert less == pytest.approx(gone * beside(model), rel=0.02)
        assert blind.kv_bytes.value >= shown.kv_bytes.value + less
    told = asked(gemma, "0.28.0", "--language-model-only")
    assert told.kv_bytes == asked(gemma, "0.28.0", "--limit-mm-per-prompt.image", "0").kv_bytes
    videos = VllmSettings(limit_mm_per_prompt="image=0")
    assert text_only({}, videos)
    assert not text_only({"video_token_id": 9}, videos)  # what is not named has no limit
    assert text_only({"video_token_id": 9}, VllmSettings(limit_mm_per_prompt="image=0,video=0"))


def test_one_key_of_json_is_written_with_a_dot():
    def asked(*words):
        return inspector.serve("gemma-3-4b-it", gpu="H100", max_model_len=8192, words=words)

    whole = asked("--limit-mm-per-prompt", '{"image": 0}')
    assert asked("--limit-mm-per-prompt.image", "0").kv_bytes == whole.kv_bytes
    assert asked("--limit_mm_per_prompt.image=0").kv_bytes == whole.kv_bytes
    assert asked("--limit-mm-per-prompt", "image=0,video=0").kv_bytes == whole.kv_bytes
    assert asked().kv_bytes != whole.kv_bytes
    eager = asked("--enforce-eager")
    assert eager == asked("-O0") == asked("--compilation-config.cudagraph_mode", "NONE", "-O3")
    assert eager.kv_bytes == asked("--compilation-config", "0").kv_bytes
    drafts = ("--speculative-config.method", "ngram", "--speculative-config.num_speculative_tokens", "3")
    assert any("ngram looks its drafts up" in line for line in asked(*drafts).notes)
