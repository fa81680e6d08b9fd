"""Each mistake a user can make: one line, what to do, exit code 2; the golden files hold the words."""

import json
import pickle
import re
import shlex

import pytest

from inspector.cli.main import COMMANDS, run
from tests.cli.conftest import TINY

MISTAKES = {
    "": ["memry", "--nope", "layers --nope", "layers a b"],
    "adapter": ["adapter", "adapter nowhere", "adapter tiny", "adapter no-weights", "adapter pickled"],
    "chart": ["chart", "chart nope", "chart sizes nope-9b", "chart sizes --format gif", "chart sizes -o taken/x.html",
        "chart training tiny -o x.html"],
    "check": [
        "check", "check --file nowhere.toml", "check --file broken-runs.toml", "check --file runs.toml nope",
        "check --file bad-limit.toml", "check --file no-such-model.toml", "check --file tiny",
    ],
    "checkpoint": [
        "checkpoint", "checkpoint llama-3.2-1b", "checkpoint cut-short", "checkpoint index-names-nothing",
        "checkpoint tiny",
    ],
    "compare": ["compare nope-9b", "compare llama-3.2-1b --r 0", "compare llama-3.2-1b --scheme nope"],
    "config": [
        "config", "config nowhere", "config tiny", "config good.py", "config tiny/config.json", "config broken.yaml",
        "config sft.yaml axolotl.yml", "config sft.yaml --tool-version new", "config sft.yaml --gpus x",
    ],
    "diff": ["diff", "diff tiny", "diff tiny nope-9b", "diff llama-3.2-1b qwen2.5-0.5b --stored"],
    "diff-runs": [
        "diff-runs", "diff-runs before.json", "diff-runs before.json nowhere.json",
        "diff-runs before.json tiny/config.json", "diff-runs before.json not-json/config.json",
    ],
    "doctor": ["doctor nope", "doctor --report nope"],
    "explain": [
        "explain", "explain nowhere", "explain tiny", "explain good.py", "explain oom.txt nope-9b",
        "explain oom.txt --batch-size 2", "explain oom.txt tiny --prompt-len 8 --r 8",
        "explain oom.txt tiny --gpu nope",
        "explain oom.txt tiny --gpu T4 --vram 16GiB",
        "explain oom.txt tiny --gpus 2 --parallel nope", "explain oom.txt tiny --config nowhere.json",
        "explain oom.txt --json -o x.html",
    ],
    "fit": [
        "fit nope-9b", "fit tiny --gpu nope", "fit tiny --gpu A100 --gpu nope", "fit tiny --gpu T4 --vram 16GiB",
        "fit tiny --vram 10MiB", "fit tiny --vram lots", "fit tiny --gpu T4 --seq-len 0", "fit tiny --csv --json",
        "fit tiny --gpus 1", "fit tiny --gpus 2 --vram 16GiB", "fit tiny --gpus 2 --gpu nope",
        "fit tiny --users 3", "fit tiny --serving --users 0", "fit tiny --serving --context 9999999",
        "fit tiny --serving --method lora", "fit tiny --serving --gpu nope",
        "fit --config nowhere.yaml", "fit --config axolotl.yml --gpu L4",
        "fit tiny --config not-json/config.json",
        "fit tiny --gpus 2 --config nowhere.yaml",
    ],
    "completion": ["completion nope"],
    "completion install": ["completion install --shell tcsh"],
    "lab": ["lab nope"],
    "lab quantize": [
        "lab quantize nowhere", "lab quantize tiny", "lab quantize tiny/config.json", "lab quantize tiny --tokens 1",
        "lab quantize tiny --device tpu", "lab quantize --recorded -o chart.pdf",
        "lab quantize --recorded --json --csv", "lab quantize --recorded --json -o chart.html",
        "lab quantize --recorded -o taken/x.html",
    ],
    "lab lora": [
        "lab lora nowhere", "lab lora tiny", "lab lora tiny --runs 0", "lab lora tiny --steps 0",
        "lab lora tiny --seq-len 1", "lab lora tiny --learning-rate 1", "lab lora tiny --held-out 0",
    ],
    "layers": [
        "layers nope-9b", "layers 8b-instruct", "layers tiny --depth 0", "layers ./nothing", "layers no-config",
        "layers adapter", "layers not-json", "layers a-list", "layers no-type", "layers unknown-type",
        "layers negative", "layers refused", "layers own-code", "layers several-ggufs",
        "layers tiny --json --csv",
    ],
    "lora": [
        "lora tiny --r 0", "lora tiny --r x", "lora tiny --target-modules experts", "lora tiny --target-modules nope",
        "lora tiny --target-modules '*['", "lora tiny --alpha 0", "lora tiny --bias some",
        "lora tiny --rank-pattern nope", "lora tiny --target-parameters nope",
    ],
    "measure": [
        "measure tiny --bits 3", "measure tiny --bits 4 --scheme nf4", "measure tiny --scheme nope",
        "measure tiny --parallel fsdp2 --bits 16 --step", "measure tiny --parallel ddp --bits 16",
        "measure tiny --device tpu", "measure tiny --device cuda:99", "measure tiny --layers 0",
        "measure tiny --layers 3", "measure tiny --weights nowhere", "measure tiny --weights hub",
        "measure tiny --lora --r 0", "measure tiny --lora --dropout 1", "measure tiny --bits 4 --step",
        "measure tiny --lora --step --optimizer nope", "measure tiny --lora --step --attention nope",
        "measure tiny --lora --step --seq-len 0", "measure tiny --limit lots", "measure llama-3.1-405b --device cpu",
    ],
    "measurements": ["measurements nowhere", "measurements old-record", "measurements damaged"],
    "memory": [
        "memory nope-9b", "memory tiny --bits 3", "memory tiny --scheme nope", "memory tiny --bits 4 --scheme nf4",
        "memory tiny --block-size 64 --bits 8", "memory tiny --scheme nf4:7", "memory tiny --scheme nf4:x",
        "memory tiny --scheme int8:64", "memory tiny --scheme gguf:q9", "memory tiny --scheme gptq:3.5",
        "memory tiny --scheme gptq:5", "memory tiny --scheme torchao:nope", "memory tiny --scheme torchao:int4wo:7",
        "memory tiny --scheme stored", "memory tiny --by nope",
    ],
    "models": ["models nope"],
    "replay": [
        "replay", "replay nowhere", "replay tiny", "replay not-json/config.json", "replay a-list/config.json",
        "replay harmful.pickle", "replay cut-short.pickle", "replay no-segments.pickle",
        "replay snapshot.pickle --device 7", "replay snapshot.pickle --alloc-conf nope:1",
        "replay snapshot.pickle --alloc-conf max_split_size_mb:1",
        "replay snapshot.pickle --alloc-conf max_split_size_mb:x",
        "replay snapshot.pickle --alloc-conf backend:cudaMallocAsync",
        "replay snapshot.pickle --alloc-conf roundup_power2_divisions:3",
        "replay snapshot.pickle --alloc-conf garbage_collection_threshold:2",
    ],
    "report": [
        "report nope-9b", "report --deck nope", "report --format pdf",
        "report --format ipynb --deck sizes", "report gpt2 llama-3.2-1b --format ipynb",
        "report llama-3.2-1b -o taken/x.html", "report --config accelerate.yaml",
    ],
    "run": [
        "run", "run nowhere.py", "run --check nowhere.py", "run tiny/config.json", "run --gpu nope good.py",
        "run --gpu T4 --vram 16GiB good.py", "run --vram lots good.py", "run --steps 0 good.py",
        "run --assume nope=1 good.py", "run --lengths lots good.py", "run --data nope good.py",
        "run -m no.such.module", "run not-json/config.json", "run --nproc 2 -- torchrun good.py",
        "run -- accelerate launch --use_megatron_lm good.py", "run --nproc 0 good.py", "run --rank middle good.py",
    ],
    "serving": [
        "serving nope-9b", "serving tiny --engine nope", "serving tiny --gpu nope",
        "serving tiny --gpu T4 --vram 16GiB",
        "serving tiny --tensor-parallel-size 3", "serving tiny --max-model-len lots", "serving tiny --max-model-len",
        "serving tiny --max-model-len 9999999", "serving tiny --gpu T4 --quantization fp8",
        "serving tiny --quantization nope", "serving tiny --kv-cache-dtype nope", "serving tiny another",
        "serving tiny --gpu-memory-utilization 1.5", "serving tiny --engine-version newest",
        "serving tiny --gpu T4 --dtype bfloat16", "serving tiny --engine sglang --mem-fraction-static 1.5",
        "serving --gpu T4 -- python app.py", "serving --gpu T4 -- vllm serve --max-model-len 8192",
        "serving nowhere.yaml",
        "serving tiny --engine llama.cpp -ctk q9", "serving tiny --engine llama.cpp --scheme q9",
        "serving tiny --engine llama.cpp -c 0 -ub 0", "serving tiny --engine llama.cpp -ot '*[=CPU'",
    ],
    "simulate": ["simulate nope"],
    "simulate finetune": [
        "simulate finetune tiny --lengths nowhere.txt", "simulate finetune tiny --lengths lognormal:1,2",
        "simulate finetune tiny --seed 3", "simulate finetune tiny --lengths alpaca --packed",
        "simulate finetune tiny --lengths alpaca --solve", "simulate finetune tiny --lengths alpaca --pad-batches-to 0",
        "simulate finetune tiny --lengths alpaca --steps 0",
        "simulate finetune tiny --lengths alpaca --gpus 2 --parallel ddp",
        "simulate finetune nope-9b", "simulate finetune tiny --method nope", "simulate finetune tiny --recipe nope",
        "simulate finetune tiny --gpu nope", "simulate finetune tiny --gpu T4 --vram 16GiB",
        "simulate finetune tiny --gpu A100", "simulate finetune tiny --vram lots",
        "simulate finetune tiny --bits 4 --scheme int8", "simulate finetune tiny --bits 32 --dtype bfloat16",
        "simulate finetune tiny --bits 16 --dtype float32", "simulate finetune tiny --method full --bits 4",
        "simulate finetune tiny --method lora --double-quant", "simulate finetune tiny --target-modules ,",
        "simulate finetune tiny --target-modules nope", "simulate finetune tiny --modules-to-save nope",
        "simulate finetune tiny --r 0", "simulate finetune tiny --seq-len 0", "simulate finetune tiny --batch-size x",
        "simulate finetune tiny --dropout 1", "simulate finetune tiny --grad-clip -1",
        "simulate finetune tiny --optimizer nope", "simulate finetune tiny --dtype bf17",
        "simulate finetune tiny --peft-config {nope", "simulate finetune tiny --peft-config nowhere.json",
        "simulate finetune tiny --load-in-4bit --load-in-8bit",
        "simulate finetune tiny --attn flash_attention_2 --gpu T4", "simulate finetune short --seq-len 64",
        "simulate finetune tiny --json -o x.html", "simulate finetune tiny --snapshot taken/x.pickle",
        "simulate finetune tiny --gpus 4", "simulate finetune tiny --parallel fsdp2",
        "simulate finetune tiny --gpus 4 --parallel nope", "simulate finetune tiny --gpus 3 --parallel hsdp:2x2",
        "simulate finetune tiny --gpus 4 --parallel tp:2", "simulate finetune tiny --method lora --load-threads",
        "simulate finetune tiny --gpus 2 --parallel ddp --load-threads",
        "simulate finetune tiny --gpus 2 --parallel ddp --offload params",
        "simulate finetune tiny --gpus 4 --nodes 3 --parallel fsdp2",
        "simulate finetune tiny --gpus 2 --parallel fsdp2 --method full --optimizer paged_adamw_8bit",
        "simulate finetune tiny --rank first",
        "simulate finetune tiny --gpus 2 --parallel ddp --solve", "simulate finetune tiny --config nowhere",
        "simulate finetune tiny --config tiny/config.json",
        "simulate finetune --config axolotl.yml", "simulate finetune --config ppo.yaml",
        "simulate finetune tiny --gpus 2 --parallel ddp --parallel-option nope=1",
    ],
    "simulate generate": [
        "simulate generate nope-9b", "simulate generate tiny --gpu nope",
        "simulate generate tiny --gpu T4 --vram 16GiB", "simulate generate tiny --prompt-len 0",
        "simulate generate tiny --cache nope", "simulate generate tiny --double-quant",
        "simulate generate tiny --bits 4 --scheme int8",
        "simulate generate short --prompt-len 64", "simulate generate encoder",
        "simulate generate tiny --gpus 0", "simulate generate tiny --parallel tp:3",
        "simulate generate tiny --parallel ddp",
        "simulate generate tiny --parallel tp:2 --gpus 4", "simulate generate tiny --parallel tp:2 --device-map auto",
        "simulate generate tiny --parallel tp:2 --bits 4", "simulate generate tiny --parallel ep:2",
        "simulate generate tiny --gpus 2 --solve",
        "simulate generate tiny --device-map nope", "simulate generate tiny --gpus 2 --max-memory 2=1GiB",
        "simulate generate tiny --gpus 2 --max-memory lots", "simulate generate tiny --gpus 2 --cache offloaded",
    ],
    "table": ["table nope", "table smollm2 --scheme nope", "table smollm2 --json --csv"],
    "validate": ["validate nope", "validate serving_sglang -o x.html", "validate rtx4080_qlora --json --csv"],
}  # fmt: skip

CONFIGS = {
    "not-json": "{nope",
    "a-list": "[]",
    "no-type": "{}",
    "unknown-type": {"model_type": "lama"},
    "negative": {**TINY, "num_hidden_layers": -1},
    "refused": {**TINY, "hidden_act": "no-such-activation"},
    "own-code": {"model_type": "mine", "auto_map": {"AutoConfig": "configuration.Mine", "AutoModel": "modeling.Mine"}},
    "short": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_positions": 32, "n_embd": 64, "n_head": 4,
              "n_layer": 2, "vocab_size": 128},
    "encoder": {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 128},
    "cut-short": TINY,
    "index-names-nothing": TINY,
    "several-ggufs": None,
    "no-config": None,
    "no-weights": None,
    "pickled": None,
}  # fmt: skip


class Harm:
    """What a pickle would run if anybody let it."""

    def __reduce__(self):
        return exec, ("raise SystemExit('run!')",)


@pytest.fixture(scope="session")
def broken(once, made):
    """Beside the good inputs: files that somebody cut off, mixed up or meant ill with."""
    return once("broken", lambda _: write_broken(made))


def write_broken(made):
    """Each in its own way."""
    for name, config in CONFIGS.items():
        (made / name).mkdir()
        if config is not None:
            (made / name / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in ("a", "b"):
        (made / "several-ggufs" / f"{name}.gguf").write_bytes(b"GGUF")
    for name in ("no-weights", "pickled"):
        (made / name / "adapter_config.json").write_text((made / "adapter" / "adapter_config.json").read_text())
    (made / "pickled" / "adapter_model.bin").write_bytes(b"")
    (made / "cut-short" / "model.safetensors").write_bytes((made / "model" / "model.safetensors").read_bytes()[:100])
    index = {"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    (made / "index-names-nothing" / "model.safetensors.index.json").write_text(json.dumps(index))
    (made / "good.py").write_text("print('ran')")
    (made / "broken-runs.toml").write_text("[runs.train]\nmodel = 'tiny\n")
    (made / "bad-limit.toml").write_text("[runs.train]\nmodel = 'tiny'\nlimits = ['peek <= 1 GiB']\n")
    (made / "no-such-model.toml").write_text("[runs.train]\nmodel = 'nope-9b'\n")
    (made / "broken.yaml").write_text("base_model: a\nlora_r: [8\n")
    (made / "ppo.yaml").write_text("model_name_or_path: tiny\nstage: ppo\nfinetuning_type: lora\ncutoff_len: 64\n")
    (made / "taken").write_text("a file where a folder is needed")
    (made / "harmful.pickle").write_bytes(pickle.dumps({"segments": Harm()}))
    (made / "cut-short.pickle").write_bytes((made / "snapshot.pickle").read_bytes()[:100])
    (made / "no-segments.pickle").write_bytes(pickle.dumps({"device_traces": []}))
    record = json.loads((made / "records" / "tiny.json").read_text())
    (made / "old-record").write_text(json.dumps({**record, "version": 0}))
    (made / "damaged").write_text(json.dumps({**record, "result": None}))


VARIES = {
    r"transformers \d[\w.]+": "transformers VERSION",
    r"the machine has [\d,]+ available": "the machine has N available",
    r"(?<=no device cuda:99: ).*": "WHY",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_error_lines(name, inputs, broken, golden, capsys):
    pages = []
    for line in MISTAKES[name]:
        code = run(shlex.split(line))
        out, err = capsys.readouterr()
        assert (code, out) == (2, ""), (line, code, out, err)
        assert 0 < len(err.splitlines()) <= 2, (line, err)
        assert err.startswith("inspector: "), (line, err)
        for pattern, said in VARIES.items():
            err = re.sub(pattern, said, err)
        pages.append(f"$ inspector {line}\n{err}")
    golden(f"errors/{name.replace(' ', '-') or 'inspector'}.txt", "\n".join(pages))


def test_every_command_has_its_mistakes():
    assert {name.split()[0] for name in MISTAKES if name} == set(COMMANDS)
