"""Servers' command lines as people paste them."""

import json

import pytest

from inspector.errors import InspectorError
from inspector.serving.answering import serve_line
from inspector.serving.pasted import read_pasted

COMPOSE = """
services:
  llm:
    image: vllm/vllm-openai:v0.10.2
    ports: ["8000:8000"]
    command: >
      --model Qwen/Qwen3-8B
      --max-model-len 16384
      --gpu-memory-utilization 0.85
    environment:
      - HF_TOKEN=x
"""
KUBERNETES = """
      containers:
        - name: server
          image: lmsysorg/sglang:latest
          command: ["python3", "-m", "sglang.launch_server"]
          args:
            - --model-path
            - Qwen/Qwen3-8B
            - "--tp=2"
            - --mem-fraction-static
            - "0.8"
          resources:
            limits:
              nvidia.com/gpu: 2
"""
LINES = {
    "vllm serve Qwen/Qwen3-8B --max-model-len 16384 -tp 2": (
        "vllm", "Qwen/Qwen3-8B", ("--max-model-len", "16384", "-tp", "2"),
    ),
    "CUDA_VISIBLE_DEVICES=0 python -m vllm.entrypoints.openai.api_server --model=Qwen/Qwen3-8B --dtype half": (
        "vllm", "Qwen/Qwen3-8B", ("--dtype", "half"),
    ),
    "docker run --runtime nvidia --gpus all -v ~/.cache:/root -p 8000:8000 --ipc=host vllm/vllm-openai:latest "
    "--model Qwen/Qwen3-8B --enforce-eager": ("vllm", "Qwen/Qwen3-8B", ("--enforce-eager",)),
    "podman run -e A=b lmsysorg/sglang:latest python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B --tp 2": (
        "sglang", "Qwen/Qwen3-8B", ("--tp", "2"),
    ),
    "./llama-server -m qwen.gguf -c 8192 -ngl 99 -fa": ("llama.cpp", "qwen.gguf", ("-c", "8192", "-ngl", "99", "-fa")),
    "vllm serve Qwen/Qwen3-8B \\\n  --kv-cache-dtype fp8": ("vllm", "Qwen/Qwen3-8B", ("--kv-cache-dtype", "fp8")),
    COMPOSE: (
        "vllm", "Qwen/Qwen3-8B", ("--max-model-len", "16384", "--gpu-memory-utilization", "0.85"),
    ),
    KUBERNETES: ("sglang", "Qwen/Qwen3-8B", ("--tp=2", "--mem-fraction-static", "0.8")),
    '["--model", "Qwen/Qwen3-8B", "--max-model-len", "4096"]': ("vllm", "Qwen/Qwen3-8B", ("--max-model-len", "4096")),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_read(line):
    found = read_pasted(line)
    assert (found.engine, found.model, found.words) == LINES[line]


def test_a_line_is_answered():
    report = serve_line("vllm serve Qwen/Qwen3-8B --max-model-len 16384 --port 8000 --nonsense 3", gpu="L40S")
    assert (report.starts, report.max_model_len) == ("yes", 16384)
    assert report.not_understood == ("--nonsense 3",)
    assert serve_line(COMPOSE, gpu="L40S").max_model_len == 16384


@pytest.mark.parametrize("line", ["python app.py", "vllm serve --max-model-len 3", "vllm serve 'x", ""])
def test_what_is_no_servers_line(line):
    with pytest.raises(InspectorError):
        read_pasted(line)


WRAPPED = """
      - name: server
        image: vllm/vllm-openai:v0.8.5
        command: ["/bin/sh", "-c"]
        args: ["vllm serve Qwen/Qwen3-8B --max_model_len 4096"]
"""


@pytest.mark.parametrize(
    ("line", "words", "version"),
    [
        (WRAPPED, ("--max_model_len", "4096"), "0.8.5"),
        ("bash -c 'pip install vllm && vllm serve Qwen/Qwen3-8B -tp 2 2>&1 | tee out'", ("-tp", "2"), ""),
        ("docker run -e VLLM_USE_V1=0 vllm/vllm-openai:v0.8.4 --model Qwen/Qwen3-8B", (), "0.8.4 V0"),
        ("VLLM_USE_V1=0 vllm serve Qwen/Qwen3-8B --seed 1", ("--seed", "1"), "0.10.0 V0"),
        ("docker run lmsysorg/sglang:v0.5.3-cu126 sglang serve Qwen/Qwen3-8B --tp 4", ("--tp", "4"), "0.5.3"),
        ("docker run ghcr.io/ggml-org/llama.cpp:server-cuda-b4719 -m Qwen/Qwen3-8B -c 99", ("-c", "99"), "b4719"),
    ],
)
def test_shells_and_images_around_it(line, words, version):
    found = read_pasted(line)
    assert (found.model, found.words, found.version) == ("Qwen/Qwen3-8B", words, version)


TWO = """
services:
  ui: {image: some/ui, command: [serve, --port, "1"]}
  llm:
    image: lmsysorg/sglang:v0.4.6.post5-cu124
    command:
      - python3
      - -m
      - sglang.launch_server
      - --model
      - Qwen/Qwen3-8B
      - --mem-fraction-static
      - "0.82"   # leaves room
"""
INLINE = """
containers:
  - image: vllm/vllm-openai:v0.10.1
    args: ["--model=Qwen/Qwen3-8B", "--tensor-parallel-size=4",
           "--max-model-len=32768"]
    env: [{name: VLLM_ALLOW_LONG_MAX_MODEL_LEN, value: "1"}]
"""
TEMPLATE = """
    image: vllm/vllm-openai:{{ .Values.tag }}
    args:
      - --model
      - Qwen/Qwen3-8B
      {{- range .Values.more }}
"""


@pytest.mark.parametrize(
    ("text", "words", "version"),
    [
        (TWO, ("--mem-fraction-static", "0.82"), "0.4.6"),
        (
            INLINE, ("--tensor-parallel-size=4", "--max-model-len=32768", "--allow-long-max-model-len", "1"), "0.10.1",
        ),
        (TEMPLATE, (), ""),
        ("OLLAMA_CONTEXT_LENGTH=8192 OLLAMA_KV_CACHE_TYPE=q8_0 ollama run Qwen/Qwen3-8B",
         ("--num-ctx", "8192", "--kv-cache-type", "q8_0"), ""),
    ],
)  # fmt: skip
def test_files_of_several_services_and_the_environment(text, words, version):
    found = read_pasted(text)
    assert (found.model, found.version) == ("Qwen/Qwen3-8B", version)
    assert (
        tuple(word for word in found.words if "{{" not in word and word not in {"range", ".Values.more", "}}"}) == words
    )


def test_a_file_that_grows_without_end_is_read_in_time():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{letter}: &{letter} [{', '.join(['*' + before] * 9)}]\n"
        for before, letter in zip("abcdefg", "bcdefgh", strict=True)
    )
    with pytest.raises(InspectorError):
        read_pasted(f"{bomb}\nimage: nothing\n")


def test_positions_that_options_scale():
    scaled = json.dumps({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768})
    line = f"vllm serve Qwen/Qwen3-32B -tp 4 --max-model-len 131072 --rope-scaling '{scaled}'"
    assert serve_line(line, gpu="H100").max_model_len == 131_072
    overrides = json.dumps({"rope_scaling": json.loads(scaled)})
    other = f"vllm serve Qwen/Qwen3-32B -tp 4 --max-model-len 131072 --hf-overrides '{overrides}'"
    assert serve_line(other, gpu="H100").kv_bytes == serve_line(line, gpu="H100").kv_bytes
    with pytest.raises(InspectorError, match="greater than the derived"):
        serve_line("vllm serve Qwen/Qwen3-32B --max-model-len 131072", gpu="H100")
    with pytest.raises(InspectorError, match="is a variable"):
        serve_line('vllm serve "$MODEL" --max-model-len 4096', gpu="H100")


SCRIPT = """
model_name="Qwen/Qwen3-8B"
max_model_len=$((8 * 1024))

CUDA_VISIBLE_DEVICES=1 uv run vllm serve \\
    $model_name --port $port -O3 \\
    --max-model-len ${max_model_len} --max-num-seqs ${SEQS:-64} >> "$LOG_FILE" 2>&1 &
"""
BEFORE = """docker stop llm  ; docker rm llm
docker pull vllm/vllm-openai:v0.9.1
docker run -d --gpus '"device=0,1"' -u `id -u`:`id -g` -p 80:80 vllm/vllm-openai:v0.9.1 \\
    --model=Qwen/Qwen3-8B --max_num_seqs=32 &>> log.txt
curl localhost:80/health"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SCRIPT, ("--port", "$port", "-O3", "--max-model-len", "8192", "--max-num-seqs", "64")),
        (BEFORE, ("--max_num_seqs=32",)),
        ("MODEL=Qwen/Qwen3-8B; export TP=4\nvllm serve $MODEL -tp 2", ("-tp", "2")),
        (
            "A=$((2**99))\nB=$((__import__('os')))\nM='Qwen/Qwen3-8B'\nvllm serve ${M} --seed $A",
            ("--seed", "$((2**99))"),
        ),
    ],
)
def test_a_script_around_it(text, words):
    found = read_pasted([text])
    assert (found.model, found.words) == ("Qwen/Qwen3-8B", words)


def test_the_beginning_of_an_option_is_taken_for_it():
    report = serve_line(
        "python -m sglang.launch_server --model-path Qwen/Qwen3-8B --mem-frac 0.83 --max-prefill 8192 --context 4096",
        gpu="L4",
    )
    assert not report.not_understood
    assert any("1 - 0.83" in term.name for term in report.terms)
    report = serve_line("vllm serve Qwen/Qwen3-8B --max-model 4096 --max-num 9", gpu="L4")
    assert (report.max_model_len, report.not_understood[0].split(" (")[0]) == (4096, "--max-num 9")


def test_heads_that_draft_are_no_model_of_their_name():
    line = (
        "vllm serve Qwen/Qwen3-8B --spec-model RedHatAI/Qwen3-8B-speculator.dflash --spec-method dflash --spec-tokens 7"
    )
    report = serve_line(line, gpu="H100")
    assert not report.not_understood
    assert any("is not at hand" in said for said in report.notes)
    assert "draft model" not in {part.name for part in report.weights}


UNIT = """[Service]
Environment="CUDA_VISIBLE_DEVICES=0"
ExecStart=/opt/venv/bin/vllm serve Qwen/Qwen3-8B --max-model-len 16384
Restart=always
"""
QUADLET = """[Container]
Image=ghcr.io/ggml-org/llama.cpp:server-cuda
Exec=-hf Qwen/Qwen3-8B -c 65536 -fa on
"""
POD = """
containers:
  - image: vllm/vllm-openai:v0.8.5
    command: ["/bin/sh", "-c"]
    args: ["vllm serve $(MODEL_NAME) --tensor-parallel-size $(TP)"]
    env: [{name: MODEL_NAME, value: Qwen/Qwen3-8B}, {name: TP, value: "4"}]
"""
COMPOSE_LATER = """
services:
  vllm:
    image: vllm/vllm-openai:${TAG:-v0.10.2}
    entrypoint: python3
    command: -m vllm.entrypoints.openai.api_server --model ${MODEL:-Qwen/Qwen3-8B} --max-model-len ${LEN:-4096}
"""
RAY = """
llm_configs:
  - model_loading_config: {model_id: q, model_source: Qwen/Qwen3-8B}
    engine_kwargs: {tensor_parallel_size: 2, enforce_eager: true}
"""
LLAMA_SWAP = """
models:
  q:
    cmd: |
      llama-server --port ${PORT} -m Qwen/Qwen3-8B
      -c 32768 --n-cpu-moe 20
    ttl: 300
"""
PYTHON = """
import os
from vllm import LLM
MODEL = "Qwen/Qwen3-8B"
llm = LLM(MODEL, tensor_parallel_size=2, enforce_eager=True, max_model_len=os.environ["LEN"])
"""
SBATCH = """#!/bin/bash
#SBATCH --gres=gpu:h100:4
module load cuda
srun apptainer exec --nv vllm.sif vllm serve Qwen/Qwen3-8B -tp 4 &
sleep 300
"""


@pytest.mark.parametrize(
    ("text", "engine", "words"),
    [
        (UNIT, "vllm", ("--max-model-len", "16384")),
        (QUADLET, "llama.cpp", ("-c", "65536", "-fa", "on")),
        ('FROM vllm/vllm-openai:v0.9.1\nCMD ["--model", "Qwen/Qwen3-8B", "-tp", "2"]', "vllm", ("-tp", "2")),
        ("FROM Qwen/Qwen3-8B\nPARAMETER num_ctx 8192\nPARAMETER temperature 1", "ollama", ("--num-ctx", "8192")),
        (POD, "vllm", ("--tensor-parallel-size", "4")),
        (COMPOSE_LATER, "vllm", ("--max-model-len", "4096")),
        (RAY, "vllm", ("--tensor-parallel-size", "2", "--enforce-eager")),
        ("model: Qwen/Qwen3-8B\nmax-model-len: 4096\n", "vllm", ("--max-model-len", "4096")),
        ("args:\n  - --model_id=Qwen/Qwen3-8B\n  - --max-model-len=9\n", "vllm", ("--max-model-len=9",)),
        (LLAMA_SWAP, "llama.cpp", ("--port", "${PORT}", "-c", "32768", "--n-cpu-moe", "20")),
        (PYTHON, "vllm", ("--tensor-parallel-size", "2", "--enforce-eager",
                          "--variable", "max_model_len=os.environ['LEN']")),
        ("import sglang as sgl\nllm = sgl.Engine(model_path='Qwen/Qwen3-8B', tp_size=2)", "sglang", ("--tp-size", "2")),
        ("from llama_cpp import Llama\nm = Llama(model_path='Qwen/Qwen3-8B', n_ctx=512, seed=1)", "llama.cpp",
         ("--ctx-size", "512")),
        (SBATCH, "vllm", ("-tp", "4")),
    ],
    ids=range(14),
)  # fmt: skip
def test_whatever_a_server_is_written_in(text, engine, words):
    found = read_pasted(text)
    assert (found.model, found.engine, found.words) == ("Qwen/Qwen3-8B", engine, words)
