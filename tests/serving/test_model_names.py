"""Models as engines' users name them, where the files are another machine's."""

from dataclasses import replace

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.serving.answering import serve_line
from inspector.serving.named_models import Namesake, namesake

NAMES = (
    ("llama.cpp", "bartowski/Qwen2.5-14B-Instruct-GGUF:Q5_K_S", "Qwen/Qwen2.5-14B-Instruct", "q5_k_s", ""),
    ("llama.cpp", "/srv/Mistral-Nemo-Instruct-2407-IQ3_XS.gguf", "mistralai/Mistral-Nemo-Instruct-2407", "iq3_xs", ""),
    ("llama.cpp", "QwQ-32B-Q4_K_M-00001-of-00002.gguf", "Qwen/QwQ-32B", "q4_k_m", ""),
    ("llama.cpp", "unsloth/Qwen3-4B-GGUF:UD-Q6_K_XL", "Qwen/Qwen3-4B", "q6_k", ""),
    ("llama.cpp", "ggml-org/gpt-oss-120b-GGUF", "openai/gpt-oss-120b", "mxfp4_moe", ""),
    ("ollama", "gemma2:9b-instruct-q5_0", "google/gemma-2-9b", "q5_0", ""),
    ("ollama", "qwen2.5", "Qwen/Qwen2.5-7B", "", ""),
    ("ollama", "deepseek-r1:14b", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "", ""),
    ("ollama", "llama3.2:latest", "meta-llama/Llama-3.2-3B", "", ""),
    ("vllm", "RedHatAI/Qwen2.5-72B-Instruct-quantized.w8a8", "Qwen/Qwen2.5-72B-Instruct", "", "w8a8"),
    ("vllm", "/models/Meta-Llama-3.1-8B-Instruct-GPTQ-Int4", "meta-llama/Llama-3.1-8B-Instruct", "", "gptq"),
    ("vllm", "mlabonne/Qwen3-14B-abliterated", "Qwen/Qwen3-14B", "", ""),
    ("llama.cpp", "Hermes-3-Llama-3.1-8B.Q6_K.gguf", "meta-llama/Llama-3.1-8B", "q6_k", ""),
    ("vllm", "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", "Qwen/Qwen2.5-32B-Instruct", "", "awq"),
    ("sglang", "unsloth/gemma-3-12b-it-unsloth-bnb-4bit", "google/gemma-3-12b-it", "", "bitsandbytes"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "name", "model", "file_type", "quantization"), NAMES, ids=lambda value: str(value)[-30:]
)
def test_names(engine, name, model, file_type, quantization):
    assert replace(namesake(name, engine), unsaid=False) == Namesake(model, file_type, quantization)


def test_names_of_nothing_that_is_here():
    for engine, name in (("ollama", "nomic-embed-text"), ("vllm", "org/own-model"), ("llama.cpp", "model.gguf")):
        assert namesake(name, engine) is None


def test_a_line_of_another_machine_is_answered_and_says_so():
    report = serve_line("llama-server -m /data/qwen3-14b-Q8_0.gguf -c 8192 -ngl 99", gpu="RTX 4090")
    assert report.model == "Qwen/Qwen3-14B"
    assert report.assumed[0] == "Qwen/Qwen3-14B for /data/qwen3-14b-Q8_0.gguf, which is not at hand, q8_0 by its name"
    with pytest.raises(InspectorError, match="no such file"):  # but a file of one's own has to be there
        inspector.serve("/data/qwen3-14b-Q8_0.gguf", engine="llama.cpp", gpu="RTX 4090")
    with pytest.raises(InspectorError, match=r"/m/own\.gguf is another machine's"):
        serve_line("llama-server -m /m/own.gguf -c 8192", gpu="RTX 4090")
    typed = inspector.serve("gemma3:4b", engine="ollama", gpu="RTX 3060")
    assert typed.model == "google/gemma-3-4b-it"
    with pytest.raises(InspectorError, match="no bundled model"):
        inspector.serve("gemma3:4b", gpu="RTX 3060")


def test_what_a_dynamic_checkpoint_leaves_is_a_range():
    line = "vllm serve unsloth/Qwen2.5-1.5B-Instruct{}bnb-4bit --max-model-len 4096"
    dynamic, plain = (serve_line(line.format(infix), gpu="RTX 3060") for infix in ("-unsloth-", "-"))
    assert dynamic.weights_bytes.high > 1.3 * dynamic.weights_bytes.low
    assert plain.weights_bytes.high < 1.01 * plain.weights_bytes.low
    assert "config.json alone names" in dynamic.assumed[0]
