"""One of each thing a command can be pointed at: a config, a checkpoint, an adapter, a snapshot, a record."""

import contextlib
import io
import json
from importlib.resources import files
from pathlib import Path

import pytest

from inspector.cli.main import run
from inspector.measure import runner
from tests.measuring_here import measured
from tests.simulate.tasks import T5, WHISPER, named
from tests.sources import gguf_files

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
    "max_position_embeddings": 4096, "dtype": "float16",
}  # fmt: skip
ADAPTER = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
MEASURED = [
    "measure",
    "tiny",
    "--device",
    "cpu",
    "--bits",
    "4",
    "--lora",
    "--step",
    "--seq-len",
    "16",
    "--quality",
]
"""What is measured once: saved as the record, and its page and its JSON kept as measured.txt and measured.json."""

INPUTS = {name: name for name in ("tiny", "model", "adapter", "records")} | {"snapshot": "snapshot.pickle"}
"""Names within the folder, so that pages say the same wherever the folder is."""


@pytest.fixture(scope="session")
def made(once, shared):
    """The folder with all inputs, made once for all workers."""

    def make(folder):
        write_models(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("COLUMNS", "80")
            patch.setenv("INSPECTOR_CACHE", str(shared / "cache"))
            patch.setenv("INSPECTOR_DATA", "data")
            run_commands()

    return once("files", make)


OOM = Path(__file__).parents[2] / "docs" / "examples" / "oom.txt"
LATER = "E0101 torch.distributed.elastic: failed (exitcode: -9) local_rank: 1\n"
SCRIPT = """
import torch
model = torch.nn.Linear(1024, 1024).cuda()
optimizer = torch.optim.AdamW(model.parameters())
for _ in range(2):
    loss = model(torch.randn(64, 1024, device="cuda")).mean()
    loss.backward()
    optimizer.step()
    print(loss.item())
torch.save(model.state_dict(), "weights.pt")
"""


SFT = """model_name_or_path: tiny
dtype: float16
fp16: true
use_peft: true
lora_r: 4
lora_target_modules: [q_proj, v_proj]
max_length: 64
per_device_train_batch_size: 2
report_to: none
activation_offloading: true
"""
AXOLOTL = """base_model: Qwen/Qwen2.5-7B-Instruct
load_in_4bit: true
adapter: qlora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
gradient_checkpointing: true
flash_attention: true
deepspeed: deepspeed_configs/zero2.json
tiled_mlp: true
seqence_len: 4096
learning_rate: 2e-4
wandb_project: mine
"""


RUNS = """gpu = "T4"
[runs.train]
model = "tiny"
seq-len = 64
limits = ["peak <= 1 GiB", "trainable <= 5 %", "allocated <= 10 MiB"]
fits = ["T4", "600MiB"]
today = { peak = "500.0 MiB" }
"""
BEFORE = {
    "format": "inspector.script", "script": "train.py", "model": "tiny", "gpu": {"name": "T4"}, "verdict": "fits",
    "peak_allocated_bytes": 3 * 2**20, "process_bytes": 2**28, "alive_at_peak": {"gradients": 3 * 2**20},
    "lines_at_peak": {"train.py:3": 2**20, "train.py:7": 2**21}, "modules_at_peak": {"layers.*": 3 * 2**20},
    "settings": {"seq_len": 512}, "versions": {"torch": "2.12.0"},
}  # fmt: skip
AFTER = BEFORE | {
    "peak_allocated_bytes": 5 * 2**20, "alive_at_peak": {"gradients": 4 * 2**20, "temporaries": 2**20},
    "lines_at_peak": {"train.py:5": 2**20, "train.py:9": 2**22}, "modules_at_peak": {"layers.*": 5 * 2**20},
    "settings": {"seq_len": 1024}, "versions": {"torch": "2.13.0"},
}  # fmt: skip


def write_models(folder):
    """Configs, weights and an adapter, and a script."""
    (folder / "runs.toml").write_text(RUNS)
    (folder / "before.json").write_text(json.dumps(BEFORE))
    (folder / "after.json").write_text(json.dumps(AFTER))
    (folder / "train.py").write_text(SCRIPT)
    (folder / "oom.txt").write_text(OOM.read_text())
    (folder / "startup.log").write_text(OOM.with_name("startup.log").read_text())
    (folder / "ranks.txt").write_text("".join(f"[rank1]: {line}" for line in OOM.read_text().splitlines(True)) + LATER)
    (folder / "sft.yaml").write_text(SFT)
    (folder / "accelerate.yaml").write_text("distributed_type: MULTI_GPU\nnum_processes: 2\nmixed_precision: fp16\n")
    (folder / "axolotl.yml").write_text(AXOLOTL)
    published = json.loads((files("inspector") / "data/truth/rtx4080_qlora.json").read_text())
    (folder / "published.json").write_text(json.dumps([published[0], published[-1]]))
    (folder / "parallel.py").write_text("from torch.nn import DataParallel\nmodel = DataParallel(None)\n")
    import torch
    from safetensors.torch import save_file

    from inspector.architecture import build_model

    for name in ("tiny", "model", "adapter", "records", "answering", "hearing"):
        (folder / name).mkdir()
    for name, config in (("answering", named("T5ForConditionalGeneration", T5)),
                         ("hearing", named("WhisperForConditionalGeneration", WHISPER))):  # fmt: skip
        (folder / name / "config.json").write_text(json.dumps(config))
    for name in ("tiny", "model"):
        (folder / name / "config.json").write_text(json.dumps(TINY))
    weights = {name: torch.zeros(tuple(each.shape)).half() for name, each in build_model(TINY).state_dict().items()}
    save_file(weights, folder / "model" / "model.safetensors")
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(ADAPTER))
    lora = {f"base_model.model.model.layers.0.self_attn.q_proj.lora_{letter}.weight": torch.zeros(shape)
            for letter, shape in (("A", (4, 64)), ("B", (64, 4)))}  # fmt: skip
    save_file(lora, folder / "adapter" / "adapter_model.safetensors")
    pairs = {"general__type": "adapter", "adapter__type": "lora", "adapter__lora__alpha": 8.0, "tokens": 0}
    for name, rows in (("adapter", 64), ("misfit", 96)):
        q_proj = {f"blk.0.attn_q.weight.lora_{letter}": shape for letter, shape in (("a", (4, 64)), ("b", (rows, 4)))}
        gguf_files.made(folder / f"{name}.gguf", "llama", q_proj, plain=True, **pairs)


def run_commands():
    """What commands leave: a snapshot, a record, and the page and the JSON that came with it."""
    assert run(["simulate", "finetune", "tiny", "--seq-len", "64", "--snapshot", "snapshot.pickle"]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "run_order", measured_once(measured))
        for name, more in (("measured.txt", ["--save"]), ("measured.json", ["--json"])):
            page = io.StringIO()
            with contextlib.redirect_stdout(page):
                assert run([*MEASURED, *more]) == 0
            Path(name).write_text(page.getvalue())
    (record,) = Path("data").rglob("*.json")
    content = json.loads(record.read_text())
    content["result"]["device"]["name"] = "a processor"  # its length would move a table's columns
    Path("records", "tiny.json").write_text(json.dumps(content))


def measured_once(run_order):
    """The same order again is answered with what was found."""
    found = {}

    def answered(order, progress=None):
        asked = json.dumps(order.to_dict())
        if asked not in found:
            found[asked] = run_order(order, progress)
        return found[asked]

    return answered


@pytest.fixture(autouse=True)
def _forked(forked):
    """Several commands run a script."""


@pytest.fixture
def inputs(made, kept_answers, monkeypatch):
    """The inputs by their names, in the folder they lie in; what one command kept on disk serves the next."""
    monkeypatch.chdir(made)
    monkeypatch.setenv("HOME", str(made))  # completion is installed there
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return INPUTS
