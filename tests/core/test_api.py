"""The Python API has the words of the command line, shows itself in notebooks and turns into frames."""

import json

import inspector
from inspector.cli.main import run

PUBLIC = ["InspectorError", "LoraSpec", "Model", "Skeleton", "load", "model_ids"]


def test_the_public_names_are_frozen():
    assert set(PUBLIC) <= set(inspector.__all__)
    assert all(getattr(inspector, name) is not None for name in inspector.__all__)


def test_every_report_says_what_its_command_prints(capsys):
    model = inspector.load("llama-3.2-1b")
    for name, report in {"layers": model.layers(), "memory": model.memory(), "lora": model.lora()}.items():
        assert run([name, "llama-3.2-1b", "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert report.to_dict().items() <= printed.items()


def test_reports_turn_into_frames():
    model = inspector.load("llama-3.1-8b")
    assert next(iter(model.memory(bits=4).to_frame()["footprint_bytes"])) == 5_591_540_224
    frame = model.lora(r=[8, 32], target_modules="attention").to_frame()
    assert list(frame["trainable_parameters"]) == [6_815_744, 27_262_976]
    assert model.layers().to_frame()["parameters"].max() == 7_504_924_672


def test_reports_show_themselves_in_a_notebook_with_names_escaped(tmp_path):
    folder = tmp_path / "<script>x"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    html = inspector.load(str(folder)).memory(bits=8).focus, inspector.load(str(folder))._repr_html_()
    assert "<script>" not in html[1]
    assert "&lt;script&gt;x" in html[1]


def test_a_model_can_be_simulated_and_measured_by_its_reference(measured_here):
    measured_here()
    model = inspector.load("smollm2-135m")
    step = model.finetune(method="lora", batch_size=1, seq_len=64, gpu="T4")
    assert step.peak_allocated_bytes > 0
    built = model.measure(scheme="nf4", device="cpu", layers=1)
    assert built.to_dict()["predicted"]["tensor_bytes"] == built.to_dict()["measured"]["tensor_bytes"]
    written = model.generate(gpu="T4", prompt_len=32, max_new_tokens=8)
    assert "peak_allocated_bytes" in str(written.to_dict())
