"""The small parts: live storages, cutting configs, the doctor, the commands."""

import json
import types

import pytest
import torch

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.measure import doctor as doctors
from inspector.measure import machine
from inspector.measure.doctor import doctor
from inspector.measure.live import LiveStorages
from inspector.measure.options import spec_from
from inspector.measure.spec import MeasuredLora, MeasureSpec, StepSetup, cut_config
from inspector.sources.bundled import bundled_config


def test_live_storages_follow_what_lives():
    held = torch.nn.Linear(10, 10, bias=False)
    with LiveStorages(held) as live:
        assert live.nbytes == 400
        first = torch.empty(1000)
        view = first[:10]
        assert live.nbytes == 4400
        del first
        assert live.nbytes == 4400  # the view keeps it
        del view
        assert live.nbytes == 400
        first = torch.ones(250)
        second = first * 2 + 1
        assert second.numel() == 250
        assert (live.nbytes, live.peak) == (2400, 4400)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("meta-llama/Llama-3.1-8B", ()),
        ("openai-community/gpt2", ()),
        ("google/gemma-3-4b-it", ("text_config",)),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", ()),
    ],
)
def test_cut_configs_build(model, path):
    from inspector.architecture import build_skeleton

    config = bundled_config(model)
    cut = cut_config(config, 2)
    assert build_skeleton(cut, model_id="cut").facts.num_layers == 2
    assert config == bundled_config(model)  # the original is not touched


def test_a_spec_survives_json():
    lora = MeasuredLora(r=4, target_modules=("a", "b"), rank_pattern=(("a", 2),), layers_to_transform=(0, 1))
    spec = MeasureSpec("x", lora=lora, step=StepSetup(seq_len=8), limit_bytes=5)
    assert MeasureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_fields_of_lora_are_said_as_to_a_dry_run():
    options = {"lora": True, "target_modules": "q_proj,v_proj", "layers_to_transform": "0-2"}
    options |= {"rank_pattern": {"q_proj": 4}, "exclude_modules": ".*mlp.*", "use_rslora": True}
    lora = spec_from("smollm2-135m", options).lora
    assert (lora.layers_to_transform, lora.rank_pattern) == ((0, 1, 2), (("q_proj", 4),))
    assert (lora.exclude_modules, lora.use_rslora) == (".*mlp.*", True)
    with pytest.raises(InspectorError, match=r"experts\.down_proj are not measured"):
        spec_from("qwen3-30b-a3b", {"lora": True, "target_modules": "experts"})
    with pytest.raises(InspectorError, match="is no rank pattern"):
        spec_from("smollm2-135m", {"lora": True, "rank_pattern": "q_proj"})


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"seq_len": 1}, {"optimizer": "magic"}, {"steps": 1}])
def test_impossible_steps_are_refused(wrong):
    with pytest.raises(InspectorError):
        StepSetup(**wrong)


class TestDoctor:
    def states(self):
        return {check.name: check for check in doctor().checks}

    def test_this_machine(self):
        found = doctor()
        assert "cpu" in found.can_measure
        assert found.to_dict()["can_measure"] == list(found.can_measure)
        for check in found.checks:
            assert check.found

    def test_a_stale_kernel(self, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "peft", types.SimpleNamespace(__version__="0.0.1"))
        fresh = self.states()["this process is fresh"]
        assert (fresh.state, fresh.fix) == ("no", "restart the kernel")
        assert "peft 0.0.1 is loaded" in fresh.found

    def test_a_broken_bitsandbytes(self, monkeypatch):
        import bitsandbytes.functional as bnb

        def broken(*args, **kwargs):
            raise RuntimeError("libbitsandbytes_cuda999.so: cannot open\nshared object")

        monkeypatch.setattr(bnb, "quantize_4bit", broken)
        found = self.states()["quantize on cpu"]
        assert found.state == "no"
        assert "no working backend: libbitsandbytes_cuda999.so: cannot open shared object" in found.found
        assert "cpu" not in doctor().can_measure

    def test_a_missing_package(self, monkeypatch):
        real = machine.versions
        monkeypatch.setattr(machine, "versions", lambda: real() | {"bitsandbytes": None})
        states = self.states()
        assert states["bitsandbytes"].fix == "pip install bitsandbytes"
        assert "quantize on cpu" not in states

    def test_without_peft_a_model_is_built_all_the_same(self, monkeypatch):
        real = machine.versions
        monkeypatch.setattr(machine, "versions", lambda: real() | {"peft": None})
        assert self.states()["peft"].state == "no"
        assert "cpu" in doctor().can_measure

    def test_the_hub(self, monkeypatch):
        import huggingface_hub

        monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
        assert self.states()["weights from the hub"].found == "HF_HUB_OFFLINE is set"
        monkeypatch.delenv("HF_HUB_OFFLINE")
        assert "gated" in doctors._hub().found
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: "x")
        assert doctors._hub().state == "yes"

    @pytest.mark.parametrize(
        ("built", "driver", "visible", "why", "fix"),
        [
            (False, False, None, "this is a CPU build of torch", "CUDA index"),
            (True, False, None, "no NVIDIA driver on this machine", "measure on the CPU"),
            (True, True, "", "CUDA_VISIBLE_DEVICES hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
            (True, True, "-1", "CUDA_VISIBLE_DEVICES hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
            (True, True, None, "torch finds no usable GPU", "nvidia-smi"),
        ],
    )
    def test_each_reason_for_no_gpu_has_its_fix(self, monkeypatch, built, driver, visible, why, fix):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
        monkeypatch.setattr(machine.sys, "platform", "linux")
        exists = machine.Path.exists
        monkeypatch.setattr(
            machine.Path, "exists", lambda path: driver if str(path).startswith("/dev/nvidia") else exists(path)
        )
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        found = doctors._gpu()
        assert (found.state, found.found) == ("no", why)
        assert fix in found.fix

    def test_what_is_said_where_there_is_a_gpu(self, monkeypatch):
        """Only what is asked of torch and how it is told: no GPU is measured here."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"card {index}")
        assert doctors._gpu().found.startswith("card 0, card 1 (CUDA ")
        monkeypatch.setattr(machine, "_nvml_process_bytes", lambda _device: None)
        assert doctors._nvml().state == "maybe"
        monkeypatch.setattr(machine, "_nvml_process_bytes", lambda _device: 5)
        assert doctors._nvml().state == "yes"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_why_there_is_no_gpu(self):
        gpu = self.states()["GPU"]
        assert gpu.state == "no"
        assert gpu.found == machine.why_no_cuda()
        assert gpu.fix


def test_what_is_asked_of_a_card(monkeypatch):
    """The arguments and the names, with a stand-in for the driver: no GPU is measured here."""
    device = torch.device("cuda", 1)
    stats = {"requested_bytes.all.current": 7, "allocation.all.allocated": 3, "segment.all.allocated": 1}
    answers = {
        "synchronize": None, "memory_stats": stats, "mem_get_info": (60, 100), "memory_reserved": 20,
        "memory_allocated": 8, "max_memory_allocated": 9, "max_memory_reserved": 30,
    }  # fmt: skip
    asked = []

    def stand_in(name):
        def answer(which):
            asked.append((name, which))
            return answers[name]

        return answer

    for name in answers:
        monkeypatch.setattr(torch.cuda, name, stand_in(name))
    monkeypatch.setattr(machine, "_nvml_process_bytes", lambda which: 50 if which == device else None)
    found = machine.cuda_memory(device)
    assert {which for _, which in asked} == {device}
    assert asked[0][0] == "synchronize"
    assert (found["allocated_bytes"], found["reserved_bytes"], found["context_bytes"]) == (8, 20, 30)
    assert (found["driver_free_bytes"], found["driver_total_bytes"], found["allocations"]) == (60, 100, 3)
    assert found["reserved_peak_bytes"] == 30


class TestCommands:
    @pytest.mark.slow
    def test_measure_and_measurements(self, tmp_path, monkeypatch, capsys):
        from transformers import LlamaConfig

        config = LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4, vocab_size=320
        )
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
        monkeypatch.setenv("INSPECTOR_DATA", str(tmp_path / "data"))
        assert run(["measure", str(tmp_path), "--bits", "8", "--device", "cpu", "--save", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["format"] == "inspector.measure"
        assert found["predicted"] == found["measured"]
        assert set(found["predicted"]) == {"tensor_bytes", "footprint_bytes"}
        assert run(["measurements"]) == 0
        assert "equal to the byte" in capsys.readouterr().out
        record = next((tmp_path / "data" / "measurements").glob("*.json"))
        changed = json.loads(record.read_text())
        changed["result"]["model"]["tensor_bytes"] += 1
        record.write_text(json.dumps(changed))
        assert run(["measurements", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["agree"] is False

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--bits", "4", "--scheme", "nf4"), "exclude each other"),
            (("--scheme", "nf5"), "did you mean nf4"),
            (("--step",), "quantized weights cannot be trained"),
            (("--limit", "12"), "not a size"),
            (("--layers", "0"), "layers must be at least 1"),
        ],
    )
    def test_bad_use(self, words, said, capsys):
        assert run(["measure", *words]) == 2
        out, err = capsys.readouterr()
        assert said in err, out
        assert "Traceback" not in err

    def test_no_records_is_an_answer_of_one_line(self, tmp_path, capsys):
        assert run(["measurements", str(tmp_path)]) == 0
        assert capsys.readouterr() == ("No measurements here: `inspector measure --save` keeps one\n", "")

    def test_records_in_no_folder_are_refused(self, tmp_path, capsys):
        assert run(["measurements", str(tmp_path / "nowhere")]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert f"no such file: {tmp_path / 'nowhere'}" in err
