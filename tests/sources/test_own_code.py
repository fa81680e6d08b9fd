"""Models that bring their own code: none of it runs unless the user says so; then the model is what the code makes."""

import json
import os
import subprocess
import sys

import pytest

import inspector
from inspector.architecture import build_skeleton
from inspector.architecture.own_code import KEY, CodeReference, is_trusted, with_own_code
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.resolve import resolve
from inspector.store.skeletons import skeleton_entry
from tests.sources.conftest import LLAMA

FLAG = "--trust-remote-code"
MARK = """
import os, pathlib
pathlib.Path(os.environ.get("MARKER", "/nonexistent/marker")).write_text(__name__)
"""
CONFIGURATION = f"""{MARK}
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "own_type"

    def __init__(self, width=32, depth=3, **kwargs):
        super().__init__(**kwargs)
        self.width, self.depth = width, depth
        self.hidden_size, self.num_hidden_layers, self.vocab_size = width, depth, 96
"""
MODELING = f"""{MARK}
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(96, config.width)
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.depth))
        self.post_init()

class OwnForCausalLM(OwnModel):
    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(config.width, 96, bias=False)
        self.post_init()
"""
OWN = {
    "model_type": "own_type", "architectures": ["OwnForCausalLM"], "width": 32, "depth": 3, "dtype": "float32",
    "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel",
                 "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
                 "AutoTokenizer": ["tokenization_own.OwnTokenizer", None]},
}  # fmt: skip
PARAMETERS = 96 * 32 + 3 * (32 * 32 + 32) + 96 * 32
ELSEWHERE = {
    "custom_generate/generate.py": MARK, "tokenization_own.py": MARK, "pipeline.py": MARK, "__init__.py": MARK,
    "conftest.py": MARK, "modeling_llama.py": MARK, "os.py": MARK, "torch.py": MARK, "transformers.py": MARK,
    "generation_config.json": '{"custom_generate": "./"}', "processor_config.json": '{"auto_map": {"AutoProcessor": '
    '"pipeline.P"}}', "tokenizer_config.json": '{"auto_map": {"AutoTokenizer": ["tokenization_own.T", null]}}',
}  # fmt: skip
"""Every other place where some library looks for code beside a model."""


def folder_of(path, config):
    path.mkdir()
    files = {"configuration_own.py": CONFIGURATION, "modeling_own.py": MODELING, **ELSEWHERE}
    for name, text in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.fixture
def marker(tmp_path, monkeypatch):
    path = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(path))
    # transformers does not run code again that it has run by the same name and hash (dynamic_module_utils.py,
    # `get_class_in_module`): what other tests have run is forgotten.
    for name in [name for name in sys.modules if name.startswith("transformers_modules.")]:
        monkeypatch.delitem(sys.modules, name)
    return path


@pytest.fixture
def own(tmp_path):
    return folder_of(tmp_path / "own", OWN)


def commands(model):
    return [
        ["layers", model], ["memory", model, "--bits", "4"], ["lora", model], ["checkpoint", model],
        ["compare", model], ["diff", model, "llama-3.1-8b"], ["chart", "sizes", model, "--format", "json", "-o", "-"],
        ["report", model, "-o", "-"], ["simulate", "finetune", model, "--gpu", "T4"],
        ["simulate", "generate", model], ["fit", model], ["fit", model, "--gpu", "T4"], ["measure", model],
        ["adapter", model], ["table", model],
    ]  # fmt: skip


def test_no_command_runs_it_unasked(own, marker, capsys):
    for command in commands(str(own)):
        assert run(command) == 2, command
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        if command[0] not in {"adapter", "table", "checkpoint"}:
            assert "the model brings its own code (OwnConfig, OwnModel, OwnForCausalLM), which was not run" in err
            assert FLAG in err
    assert not marker.exists()


def test_neither_does_a_fresh_process_started_beside_it(own, marker):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "inspector", "memory", ".", "--bits", "4"],
        capture_output=True, text=True, check=False, cwd=own, env={**os.environ, "MARKER": str(marker)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "which was not run" in done.stderr
    assert not marker.exists()


KNOWN = {**LLAMA, "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.X"}}


@pytest.mark.parametrize(
    "more",
    [
        {}, {"attn_implementation": "acme/kernel"}, {"_attn_implementation": "acme/kernel:Own"},
        {"_attn_implementation_internal": "modeling_own.Own", "experts_implementation": "modeling_own.Own"},
        {"quantization_config": {"quant_method": "own", "auto_map": OWN["auto_map"], "modules": "modeling_own"}},
        {"custom_pipelines": {"text-generation": {"impl": "pipeline.P", "pt": ["AutoModel"]}}},
        {"text_config": {"model_type": "own_type", "auto_map": OWN["auto_map"]}},
        {"custom_generate": "./custom_generate", "architectures": ["OwnForCausalLM"]},
        {KEY: {"AutoConfig": "::configuration_own.OwnConfig", "AutoModelForCausalLM": "::modeling_own.OwnForCausalLM"}},
        {"trust_remote_code": True, "_auto_class": "AutoModel", "kernel_config": {"a": "acme/kernel"}},
    ],
    ids=lambda more: next(iter(more), "auto_map"),
)  # fmt: skip
def test_no_field_of_a_known_type_runs_it(tmp_path, marker, more, monkeypatch, refused):
    folder = folder_of(tmp_path / "known", {**KNOWN, **more})
    monkeypatch.chdir(folder)
    if "text_config" in more:
        with pytest.raises(InspectorError, match="cannot be built"):
            resolve(str(folder))
    else:
        skeleton = resolve(str(folder))
        assert skeleton.architecture == "LlamaForCausalLM"
        assert any("its own code" in note and "not run" in note for note in skeleton.notes)
    assert not marker.exists()


@pytest.fixture
def refused(monkeypatch):
    """No name is looked up, so nothing is fetched."""
    import socket

    def lookup(host, *args, **kwargs):
        raise AssertionError(f"asked for {host}")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.mark.parametrize("model_type", ["mamba", "detr", "jamba", "timm_wrapper", "maskformer"])
def test_types_that_fetch_kernels_and_backbones_stay_here(model_type, refused, tmp_path):
    config = {"model_type": model_type, "num_hidden_layers": 2, "backbone": "acme/own", "use_pretrained_backbone": True,
              "use_timm_backbone": False, "architecture": "hf_hub:acme/own"}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(["layers", str(tmp_path)]) in {0, 2}


def test_a_kernel_named_in_a_config_is_left_out():
    """transformers itself would fetch and run it, or say that the package for that is missing."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    named = {"num_hidden_layers": 1, "attn_implementation": "acme/kernel"}
    with torch.device("meta"), pytest.raises((ImportError, ValueError, OSError)):
        LlamaModel._from_config(LlamaConfig(**named))
    assert build_skeleton({"model_type": "llama", **named}, model_id="x").num_parameters


def test_a_backbone_on_the_hub_is_not_fetched(refused):
    with pytest.raises(InspectorError, match="names a part on the hub, which building a skeleton does not fetch"):
        build_skeleton({"model_type": "maskformer", "backbone": "acme/own"}, model_id="x")


def test_with_the_flag_it_is_what_the_code_makes(own, marker, capsys):
    assert run(["layers", str(own), FLAG, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["architecture"] == "OwnForCausalLM"
    assert report["num_parameters"] == PARAMETERS
    assert any(
        "built by the model's own code, which was trusted: OwnForCausalLM" in said for said in report["assumptions"]
    )
    assert "modeling_own" in marker.read_text() or "configuration_own" in marker.read_text()


def test_every_lens_works_on_it(own, marker, capsys):
    for command in commands(str(own))[:8]:
        if command[0] != "checkpoint":
            assert run([*command, FLAG]) == 0, (command, capsys.readouterr().err)
    assert inspector.load(str(own), trust_remote_code=True).memory(scheme="bf16").tensor_bytes == 2 * PARAMETERS
    with pytest.raises(InspectorError, match="not run"):
        inspector.load(str(own))


RUNNABLE = f"""{MARK}
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own_llama"

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        import torch
        self.extra = torch.nn.Linear(config.hidden_size, 5, bias=False)
"""


@pytest.mark.slow
def test_it_is_simulated_and_measured(tmp_path, marker, capsys, measured_here):
    named = {"AutoConfig": "modeling_run.OwnConfig", "AutoModelForCausalLM": "modeling_run.OwnForCausalLM"}
    config = {**LLAMA, "model_type": "own_llama", "architectures": ["OwnForCausalLM"], "auto_map": named}
    config["num_hidden_layers"] = 3
    folder = folder_of(tmp_path / "run", config)
    (folder / "modeling_run.py").write_text(RUNNABLE)
    steps = [
        ["simulate", "finetune", str(folder), "--method", "lora", "--gpu", "T4", "--seq-len", "64"],
        ["simulate", "generate", str(folder), "--prompt-len", "64"],
        ["fit", str(folder), "--gpu", "T4", "--method", "lora", "--seq-len", "64"],
        ["measure", str(folder), "--bits", "16"], ["measure", str(folder), "--bits", "16", "--layers", "2"],
    ]  # fmt: skip
    for command in steps:
        assert run(command) == 2, command
    assert not marker.exists()
    for command in steps:
        capsys.readouterr()
        if "--layers" in command:  # the whole model was measured in a process of its own, into which the trust went
            measured_here()
        assert run([*command, FLAG]) == 0, (command, *capsys.readouterr())
    assert marker.exists()


def test_the_flag_ends_with_its_command(own, marker):
    assert run(["layers", str(own), FLAG]) == 0
    assert run(["layers", str(own)]) == 2


def test_other_code_is_another_skeleton(own, marker):
    first = inspector.load(str(own), trust_remote_code=True)
    (own / "modeling_own.py").write_text(
        MODELING.replace("self.head = nn.Linear(config.width, 96", "self.head = nn.Linear(config.width, 7")
    )
    second = inspector.load(str(own), trust_remote_code=True)
    assert first.num_parameters - second.num_parameters == (96 - 7) * 32


def test_a_known_type_with_the_flag_is_its_own_codes(tmp_path, marker):
    config = {**LLAMA, "architectures": ["OwnForCausalLM"], "auto_map": OWN["auto_map"]}
    folder = folder_of(tmp_path / "both", config)
    assert resolve(str(folder)).architecture == "LlamaForCausalLM"
    assert inspector.load(str(folder), trust_remote_code=True).skeleton.architecture == "OwnForCausalLM"


def test_trust_is_nothing_a_file_can_claim(own):
    config = with_own_code(OWN, {"": own})
    assert is_trusted(config)
    assert isinstance(config[KEY]["AutoModel"], CodeReference)
    claimed = json.loads(json.dumps(config))
    assert not is_trusted(claimed)
    assert skeleton_entry(claimed) != skeleton_entry(config)


@pytest.mark.parametrize(
    "reference",
    ["../evil.Own", "/etc/evil.Own", "a/b.Own", "modeling_own", "absent.Own", "modeling_own.Own.x", "::a.B"],
)
def test_a_reference_that_is_no_class_beside_the_config_is_refused(own, reference, marker):
    (own / "config.json").write_text(json.dumps({**OWN, "auto_map": {"AutoModel": reference}}))
    with pytest.raises(InspectorError, match="auto_map names"):
        inspector.load(str(own), trust_remote_code=True)
    assert not marker.exists()


def test_code_that_breaks_is_one_line(own, marker, capsys):
    (own / "modeling_own.py").write_text("import no_such_library\n")
    assert run(["layers", str(own), FLAG]) == 2
    err = capsys.readouterr().err
    assert "no_such_library" in err
    assert "Traceback" not in err


def test_a_bare_checkpoint_says_so_and_still_answers(own, marker, capsys):
    import torch
    from safetensors.torch import save_file

    save_file({"layers.0.weight": torch.zeros(4, 4)}, own / "model.safetensors")
    assert run(["layers", str(own)]) == 0
    err = capsys.readouterr().err
    assert "brings its own code" in err
    assert FLAG in err
    assert not marker.exists()
