"""The small parts: live storages, cutting configs, the doctor, the commands."""

import json
import types

import pytest
import torch

from inspector.errors import InspectorError
from inspector.measure import doctor as doctors
from inspector.measure import machine
from inspector.measure.doctor import doctor
from inspector.measure.spec import LoraSetup, MeasureSpec, StepSetup, cut_config
from inspector.measure.train import LiveStorages
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
    from inspector.build import build_skeleton

    config = bundled_config(model)
    cut = cut_config(config, 2)
    assert build_skeleton(cut, model_id="cut").facts.num_layers == 2
    assert config == bundled_config(model)  # the original is not touched


def test_a_spec_survives_json():
    spec = MeasureSpec("x", lora=LoraSetup(r=4, target_modules=("a", "b")), step=StepSetup(seq_len=8), limit_bytes=5)
    assert MeasureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


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

    def test_the_hub(self, monkeypatch):
        import huggingface_hub

        monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
        assert self.states()["weights from the hub"].found == "HF_HUB_OFFLINE is set"
        monkeypatch.delenv("HF_HUB_OFFLINE")
        assert "gated" in doctors._hub().found
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: "x")
        assert doctors._hub().state == "yes"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_why_there_is_no_gpu(self):
        gpu = self.states()["GPU"]
        assert gpu.state == "no"
        assert gpu.found == machine.why_no_cuda()
        assert gpu.fix


class TestCommands:
    @pytest.mark.slow
    def test_measure_and_measurements(self, inspector, tmp_path):
        from transformers import LlamaConfig

        config = LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4, vocab_size=320
        )
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
        env = {"INSPECTOR_DATA": str(tmp_path / "data")}
        run = inspector("measure", str(tmp_path), "--bits", "8", "--device", "cpu", "--save", "--json", env=env)
        assert run.returncode == 0, run.stderr
        found = json.loads(run.stdout)
        assert found["format"] == "inspector.measure"
        assert found["predicted"] == found["measured"]
        assert set(found["predicted"]) == {"tensor_bytes", "footprint_bytes"}
        listed = inspector("measurements", env=env)
        assert listed.returncode == 0, listed.stderr
        assert "equal to the byte" in listed.stdout
        record = next((tmp_path / "data" / "measurements").glob("*.json"))
        changed = json.loads(record.read_text())
        changed["result"]["model"]["tensor_bytes"] += 1
        record.write_text(json.dumps(changed))
        listed = inspector("measurements", "--json", env=env)
        assert listed.returncode == 1
        assert json.loads(listed.stdout)["agree"] is False

    def test_bad_use(self, inspector, tmp_path):
        for words, said in (
            (("--bits", "4", "--scheme", "nf4"), "exclude each other"),
            (("--scheme", "nf5"), "did you mean nf4"),
            (("--step",), "quantized weights cannot be trained"),
            (("--limit", "12"), "not a size"),
            (("--layers", "0"), "layers must be at least 1"),
        ):
            run = inspector("measure", *words)
            assert run.returncode == 2, run.stdout
            assert said in run.stderr
            assert "Traceback" not in run.stderr

    def test_no_records_is_an_answer(self, inspector, tmp_path):
        run = inspector("measurements", str(tmp_path))
        assert run.returncode == 0
        assert "No measurements yet" in run.stdout
