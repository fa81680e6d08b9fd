"""What in a script cannot be simulated is named with its line, by whatever name it goes; nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from inspector.errors import InspectorError
from inspector.reporting import renderer
from inspector.simulate.script.check import check_script
from inspector.simulate.script.invocation import parse_invocation


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder of its own, no cache of the hub, and every package that these scripts import is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("inspector.simulate.script.check.is_here", lambda package, **_: package != "absent")


def found(text, *words, name="train.py", **options):
    """Each finding as one line: its grade, ``?`` where it may not be reached, its line, and what it is."""
    Path(name).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    report = check_script(parse_invocation([name, *words]), **options)
    return [f"{each.grade}{'' if each.certain else '?'} {each.place.line} {each.what}" for each in report.findings]


CASES = {
    # The same class under every name that people give it.
    "import torch\nm = torch.nn.DataParallel(m)": ["refused 2 nn.DataParallel"],
    "import torch as t\nm = t.nn.DataParallel(m)": ["refused 2 nn.DataParallel"],
    "from torch import nn\nm = nn.DataParallel(m, device_ids=[0, 1])": ["refused 2 nn.DataParallel"],
    "import torch.nn as nn\nm = nn.DataParallel(m)": ["refused 2 nn.DataParallel"],
    "from torch.nn import DataParallel as DP\nm = DP(m)": ["refused 2 nn.DataParallel"],
    "from torch.nn.parallel.data_parallel import DataParallel\nm = DataParallel(m)": ["refused 2 nn.DataParallel"],
    "import torch\nDP = torch.nn.DataParallel\nm = DP(m)": ["refused 3 nn.DataParallel"],
    "import torch\nm = getattr(torch.nn, 'DataParallel')(m)": ["refused 2 nn.DataParallel"],
    "import importlib\nnn = importlib.import_module('torch.nn')\nm = nn.DataParallel(m)": ["refused 3 nn.DataParallel"],
    "from torch.nn import *\nm = DataParallel(m)\nprint(m)": ["refused 2 nn.DataParallel"],
    "import torch\nclass P(torch.nn.DataParallel):\n    pass": ["refused 2 nn.DataParallel"],
    "from torch.nn import DataParallel\nok = isinstance(m, DataParallel)": [],
    # What is not reached is not said; what may be is said with a doubt.
    "import torch\nif torch.cuda.device_count() > 1:\n    m = torch.nn.DataParallel(m)": [],
    "import torch\nn_gpu = torch.cuda.device_count()\nif n_gpu > 1:\n    m = torch.nn.DataParallel(m)": [],
    "import torch\nif torch.cuda.device_count() <= 1:\n    pass\nelse:\n    torch.nn.DataParallel(m)": [],
    "import torch\nm = torch.nn.DataParallel(m) if torch.cuda.device_count() > 1 else m": [],
    "import torch\nif not torch.cuda.is_available():\n    torch.distributed.init_process_group('gloo')": [],
    "import torch\nif len(x) > 1:\n    m = torch.nn.DataParallel(m)": ["refused? 3 nn.DataParallel"],
    "import torch\nMULTI = False\nif MULTI:\n    m = torch.nn.DataParallel(m)": [],
    "import torch\nMULTI = False\nMULTI = f()\nif MULTI:\n    torch.nn.DataParallel(m)": ["refused? 5 nn.DataParallel"],
    "import torch\ndef never():\n    torch.nn.DataParallel(m)": [],
    "import torch\ndef main():\n    torch.nn.DataParallel(m)\nif __name__ == '__main__':\n    main()": [
        "refused 3 nn.DataParallel"
    ],
    "import torch\ndef a():\n    b()\ndef b():\n    torch.nn.DataParallel(m)\na()": ["refused 5 nn.DataParallel"],
    "import torch\nclass T:\n    def __init__(self):\n        torch.nn.DataParallel(m)\nT()": [
        "refused 4 nn.DataParallel"
    ],
    "import torch\nclass T:\n  def wrap(self):\n    torch.nn.DataParallel(m)\nT()": ["refused? 4 nn.DataParallel"],
    "import torch\nclass T:\n    def wrap(self):\n        torch.nn.DataParallel(m)\nT().wrap()": [
        "refused 4 nn.DataParallel"
    ],
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import vllm": [],
    "try:\n    import unsloth\nexcept ImportError:\n    unsloth = None": ["refused? 2 unsloth"],
    "try:\n    import absent\nexcept ImportError:\n    import torch": ["refused? 2 absent is not installed here"],
    # Conditions that are not simple.
    "import torch\nr = int(f())\nif r != -1:\n    torch.nn.DataParallel(m)": ["refused? 4 nn.DataParallel"],
    "import torch\nR = -1\nif R != -1:\n    torch.nn.DataParallel(m)": [],
    "import torch\nif 0 < len(x) < 3 or ~x:\n    torch.nn.DataParallel(m)": ["refused? 3 nn.DataParallel"],
    "import os, torch\nif int(os.environ.get('RANK', -1)) != -1:\n    torch.nn.DataParallel(m)": [],
    "x = y\ny = x\nif x:\n    import vllm": ["refused? 4 vLLM"],
    # Packages.
    "import absent\nimport absent.part\nfrom absent import x": ["refused 1 absent is not installed here"],
    "import unsloth\nimport torch": ["refused 1 unsloth"],
    "from unsloth import FastLanguageModel as F\nm = F.from_pretrained('x/y')": [
        "refused 1 unsloth", "refused 2 the model x/y is neither bundled nor on this disk",
    ],
    "from vllm import LLM, SamplingParams": ["refused 1 vLLM"],
    "def main():\n    import vllm.engine\nmain()": ["refused 2 vLLM"],
    "import torch_xla.core.xla_model as xm": ["refused 1 a TPU"],
    "import absent.part": ["refused 1 absent is not installed here"],
    "import wandb\nimport torch\nwandb.init()": ["skipped 1 logging to a service"],
    "import tensorflow as tf\nprint(tf)": ["refused 1 TensorFlow, and nothing of PyTorch", "assumed 1 TensorFlow"],
    "import torch\nimport tensorflow as tf": ["assumed 2 TensorFlow"],
    "import jax.numpy as jnp": ["refused 1 JAX, and nothing of PyTorch", "assumed 1 JAX"],
    # Own kernels, graphs, compiled code.
    "import triton\nimport triton.language as tl\n@triton.jit\ndef k(x):\n    pass\nk[(1,)](x)": [
        "assumed 4 an own Triton kernel"
    ],
    "from torch.nn.attention.flex_attention import flex_attention\nflex_attention(q, k, v)": [
        "refused 2 flex_attention"
    ],
    "from torch.utils.cpp_extension import load\next = load('x', ['x.cu'])": ["refused 2 an own CUDA extension"],
    "import torch.utils.cpp_extension as c\nc.load_inline('x', '')": ["refused 2 an own CUDA extension"],
    "import torch\ng = torch.cuda.CUDAGraph()\nwith torch.cuda.graph(g):\n    f()": [
        "refused 2 CUDA graphs", "refused 3 CUDA graphs",
    ],
    "import torch\nm = torch.compile(m)": ["assumed 2 torch.compile"],
    "import torch\n@torch.compile\ndef f(x): return x\nf(x)": ["assumed 3 torch.compile"],
    "import torch\n@torch.compile(mode='reduce-overhead')\ndef f(x): return x": [
        "assumed 2 torch.compile", "assumed 2 torch.compile with CUDA graphs",
    ],
    "m.compile()\nimport re\nre.compile('x')\ncompile('x', 'y', 'exec')": ["assumed 1 torch.compile"],
    # Several cards.
    "import torch\nx.to('cuda:1')\ny.to('cuda:0')": ["refused 2 a second card: cuda:1"],
    "import torch\nd = torch.device('cuda:3')\nx.cuda(1)\ntorch.cuda.set_device(0)": [
        "refused 2 a second card: cuda:3", "refused 3 a second card: cuda:1",
    ],
    "import torch\nx = torch.ones(2, device='cuda:1')": ["refused 2 a second card: cuda:1"],
    "import torch.distributed as dist\ndist.init_process_group('nccl')": ["refused 2 a process group"],
    "from torch.nn.parallel import DistributedDataParallel as DDP\nm = DDP(m)": ["refused 2 DistributedDataParallel"],
    "from torch.distributed.fsdp import fully_shard\nfully_shard(m)": ["refused 2 FSDP"],
    "import deepspeed\nm = deepspeed.initialize(model=m)": ["refused 1 DeepSpeed", "refused 2 DeepSpeed"],
    "from transformers import TrainingArguments as A\nA('o', deepspeed='ds.json', fsdp='')": ["refused 2 DeepSpeed"],
    "import lightning as L\nL.Trainer(devices=2, strategy='ddp', accelerator='gpu')": [
        "refused 2 several cards", "refused 2 a model shared among cards",
    ],
    "import lightning as L\nL.Trainer(devices=1, strategy='auto')": [],
    "import torch.multiprocessing as mp\nmp.spawn(f, nprocs=2)": ["refused 2 processes that each take a card"],
    "from accelerate import notebook_launcher\nnotebook_launcher(f, num_processes=2)": [
        "refused 2 processes that each take a card"
    ],
    # Trainers' options.
    "from trl import GRPOConfig\nGRPOConfig(use_vllm=True)\nGRPOConfig(use_vllm=False)": ["refused 2 vLLM"],
    "from trl import SFTConfig\nSFTConfig(\n  'o',\n  report_to='wandb',\n  push_to_hub=True,\n  torch_compile=True)": [
        "assumed 2 torch.compile", "skipped 2 logging to a service", "skipped 2 an upload",
    ],
    "from trl import SFTConfig\nSFTConfig('o', report_to='none', push_to_hub=False)": [],
    "from trl import SFTConfig as C\nC('o', report_to=['tensorboard', 'wandb'])": ["skipped 2 logging to a service"],
    "from trl import SFTConfig as C\nC('o', report_to=['tensorboard'])\nC('o', report_to=[])": [],
    "m.push_to_hub('x')\nfrom huggingface_hub import login\nlogin('t')": [
        "skipped 1 an upload", "skipped 3 a login or an upload",
    ],
    # What is outside of it.
    "import requests\nrequests.get('http://x')": ["skipped 2 a request over the network"],
    "import subprocess as s\ns.run(['ls'])": ["assumed 2 a program of its own"],
    "import torch\nx = x.pin_memory()\nDataLoader(d, pin_memory=True)\ntorch.ones(2, pin_memory=True)": [
        "assumed 2 pinned memory", "assumed 4 pinned memory",
    ],
    # Models and data sets by their names.
    "from datasets import load_dataset as l\nl('org/some')\nl('json', data_files='x')": [
        "refused 2 the data set org/some is not on this disk"
    ],
    "import datasets\nNAME = 'org/some'\ndatasets.load_dataset(path=NAME, split='train')": [
        "refused 3 the data set org/some is not on this disk"
    ],
    "from transformers import AutoModelForCausalLM as M\nM.from_pretrained('Qwen/Qwen2.5-0.5B')": [],
    "from transformers import AutoModelForCausalLM as M\nname = 'nobody/nothing-9b'\nM.from_pretrained(name)": [
        "refused 3 the model nobody/nothing-9b is neither bundled nor on this disk"
    ],
    "from transformers import AutoTokenizer as T\nT.from_pretrained('Qwen/Qwen2.5-0.5B')": [
        "assumed 2 a tokenizer for Qwen/Qwen2.5-0.5B"
    ],
    "from transformers import pipeline\npipeline('text-generation', model='no/thing')": [
        "refused 2 the model no/thing is neither bundled nor on this disk"
    ],
    "import evaluate as e\nm = e.load('rouge')\ne.load('.')": ["assumed 2 the metric rouge is not on this disk"],
    "from trl import SFTTrainer\nSFTTrainer('no/thing', train_dataset=d)": [
        "refused 2 the model no/thing is neither bundled nor on this disk"
    ],
    "from peft import PeftModel\nPeftModel.from_pretrained(m, 'no/adapter')": [
        "refused 2 the adapter no/adapter is not on this disk"
    ],
    "from peft import PeftModel\nm.save_pretrained('out')\nPeftModel.from_pretrained(m, 'out')": [],
    "from transformers import AutoModel, TrainingArguments\nO = './o'\nTrainingArguments(output_dir=O)\n"
    "AutoModel.from_pretrained(f'{O}/checkpoint-3')\nAutoModel.from_pretrained('./other')": [
        "refused 5 there is no folder ./other"
    ],
    # The script's own mistakes, in Python's words.
    "import torch\nx = (1,\n": ["error 2 SyntaxError: '(' was never closed"],
    "if x:\nreturn 1\n": ["error 2 IndentationError: expected an indented block after 'if' statement on line 1"],
    "print 'hello'\n": ["error 1 SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?"],
    "await f()\n": [],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_what_is_found(text):
    assert found(text) == CASES[text]


def test_arguments_of_the_script_are_known():
    text = """
    import argparse
    from datasets import load_dataset
    from torch.nn import DataParallel
    from transformers import AutoModel
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", "-m", default="Qwen/Qwen2.5-0.5B")
    parser.add_argument("--data-set", default="org/some")
    parser.add_argument("--parallel", action="store_true")
    args = parser.parse_args()
    model = AutoModel.from_pretrained(args.model)
    rows = load_dataset(f"{args.data_set}")
    if args.parallel:
        model = DataParallel(model)
    """
    assert found(text) == ["refused 11 the data set org/some is not on this disk"]
    assert found(text, "--data-set=json") == []
    assert found(text, "--parallel", "--data-set", "json") == ["refused 13 nn.DataParallel"]
    assert found(text, "-m", "no/thing", "--data-set=csv") == [
        "refused 10 the model no/thing is neither bundled nor on this disk"
    ]


def test_variables_of_the_environment_are_known(monkeypatch):
    text = (
        "import os\nfrom transformers import AutoModel\nAutoModel.from_pretrained(os.environ.get('MODEL', 'no/thing'))"
    )
    assert len(found(text)) == 1
    monkeypatch.setenv("MODEL", "Qwen/Qwen2.5-0.5B")
    assert found(text) == []


def test_options_of_a_config_s_fields_count_from_the_command_line_and_from_a_file(tmp_path):
    text = """
    from trl import SFTConfig, TrlParser
    (config,) = TrlParser(SFTConfig).parse_args_and_config()
    """
    (tmp_path / "x.yaml").write_text("fsdp: full_shard\ndataset_name: org/some\nreport_to: none\npush_to_hub: false\n")
    assert found(text, "--deepspeed", "ds.json", "--push_to_hub", "--model_name_or_path=no/thing") == [
        "refused 0 DeepSpeed",
        "refused 0 the model no/thing is neither bundled nor on this disk",
        "skipped 0 an upload",
    ]
    report = found(text, "--config", "x.yaml")
    assert report == ["refused 0 FSDP", "refused 0 the data set org/some is not on this disk"]


def test_what_is_given_or_on_disk_is_not_asked_for(tmp_path):
    text = "from datasets import load_dataset\nload_dataset('org/some')"
    assert found(text, data={"org/some"}) == []
    assert found(text, lengths=True) == []
    assert found(text, network=True) == []
    snapshot = tmp_path / "home" / "hub" / "datasets--org--some" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    assert found(text) == []
    (tmp_path / "local").mkdir()
    assert found("from transformers import AutoModel\nAutoModel.from_pretrained('./local')") == []


def test_the_user_s_own_modules_are_read_from_their_folder(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("from .wrap import wrap\n")
    (tmp_path / "lib" / "wrap.py").write_text(
        "from torch.nn import DataParallel as Both\nfrom . import helper\n\ndef wrap(m):\n    return Both(m)\n\n"
        "def unused(m):\n    import vllm\n\nif __name__ == '__main__':\n    import unsloth\n"
    )
    (tmp_path / "lib" / "helper.py").write_text("import wandb\n")
    (tmp_path / "other.py").write_text("import unsloth\n")
    (tmp_path / "train.py").write_text("from lib import wrap\nfrom lib.wrap import Both\nm = wrap(m)\nn = Both(m)\n")
    report = check_script("train.py")
    assert report.files == ("train.py", "lib/__init__.py", "lib/wrap.py", "lib/helper.py")
    assert [(str(each.place), each.what) for each in report.findings] == [
        ("train.py:4", "nn.DataParallel"),
        ("lib/wrap.py:5", "nn.DataParallel"),
        ("lib/helper.py:1", "logging to a service"),
    ]
    assert not report.can_run


def test_a_broken_module_beside_the_script_is_its_author_s(tmp_path):
    (tmp_path / "helper.py").write_text("x = [1\n")
    (tmp_path / "train.py").write_text("import helper\n")
    (only,) = check_script("train.py").findings
    assert (str(only.place), only.grade, only.what) == ("helper.py:1", "error", "SyntaxError: '[' was never closed")


def test_a_notebook_names_its_cells(tmp_path):
    cells = ["!pip install trl\nfrom torch.nn import DataParallel", "# text", "%%time\n\nm = DataParallel(m)", "x = ("]
    content = {"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4}
    (tmp_path / "x.ipynb").write_text(json.dumps(content))
    report = check_script("x.ipynb")
    assert [(each.grade, str(each.place), each.what) for each in report.findings] == [
        ("error", "x.ipynb, cell 4, line 1", "SyntaxError: '(' was never closed"),
        ("refused", "x.ipynb, cell 3, line 3", "nn.DataParallel"),
        ("skipped", "x.ipynb, cell 1, line 1", "a command of the shell: !pip install trl"),
    ]


def test_scripts_in_other_encodings_are_read(tmp_path):
    (tmp_path / "train.py").write_bytes(b"# -*- coding: latin-1 -*-\nname = '\xe9'\nimport vllm\n")
    assert [each.what for each in check_script("train.py").findings] == ["vLLM"]
    (tmp_path / "train.py").write_bytes(b"\xef\xbb\xbfimport vllm\n")
    assert [each.what for each in check_script("train.py").findings] == ["vLLM"]
    (tmp_path / "train.py").write_bytes(b"x = '\xe9'\n")
    (only,) = check_script("train.py").findings
    assert only.grade == "error"
    (tmp_path / "train.py").write_bytes(b"\x00\x01")
    (only,) = check_script("train.py").findings
    assert only.grade == "error"


def test_what_is_too_deep_or_missing_is_one_line(tmp_path):
    (tmp_path / "train.py").write_text("x = " + "(" * 250 + ")" * 250)
    assert check_script("train.py").findings[0].grade == "error"
    (tmp_path / "train.py").write_text("x = " + "-" * 100_000 + "1")
    with pytest.raises(InspectorError, match="nested too deeply"):
        check_script("train.py")
    with pytest.raises(InspectorError, match="no such file"):
        check_script("nowhere.py")


def test_the_page_at_80_columns_and_the_document(golden, tmp_path):
    from inspector.render.terminal import console

    text = """
    import unsloth
    from datasets import load_dataset
    from torch.nn import DataParallel
    from transformers import AutoModel
    model = AutoModel.from_pretrained("Qwen/Qwen2.5-7B-nonesuch")
    if len(model) > 2:
        model = DataParallel(model)
    model.compile()
    model.push_to_hub("me/mine")
    x = load_dataset("org/some")
    """
    found(text)
    report = check_script("train.py")
    with (tmp_path / "page.txt").open("w", encoding="utf-8") as stream:
        console(stream, width=80).print(renderer("script_check").text(report))
    page = (tmp_path / "page.txt").read_text()
    assert max(map(len, page.splitlines())) <= 80
    golden("pages/run-check-many.txt", "\n".join(line.rstrip() for line in page.splitlines()) + "\n")
    content = json.loads(json.dumps(report.to_dict()))
    assert content["can_run"] is False
    assert content["findings"][0] == {
        "grade": "refused", "what": "unsloth", "certain": True, "file": "train.py", "line": 1, "cell": 0,
        "instead": "it needs a card when it is imported: use transformers and PEFT in its place",
    }  # fmt: skip


def test_nothing_heavy_is_imported_for_it(tmp_path):
    (tmp_path / "train.py").write_text("import torch\nimport transformers\nm = torch.nn.DataParallel(m)\n")
    code = (
        "import sys; from inspector.simulate.script.check import check_script; "
        "assert not check_script('train.py').can_run; assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
