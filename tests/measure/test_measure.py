"""Measuring end to end, in its own process: what it finds, how it fails, and that it leaves nothing behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from inspector.architecture.quiet import quiet
from inspector.cli.main import run
from inspector.errors import OUR_FAULT, InspectorError
from inspector.measure import (
    MeasuredLora,
    MeasureSpec,
    StepSetup,
    child,
    failures,
    find_records,
    load_record,
    measure,
    runner,
    save_record,
)
from inspector.measure.records import SHIPPED
from inspector.measure.report import judged, make_order
from inspector.measure.spec import Order

pytestmark = pytest.mark.slow

CONFIG = LlamaConfig(
    hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=320, architectures=["LlamaForCausalLM"],
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(once):
    def make(folder):
        torch.manual_seed(0)
        with quiet():
            AutoModelForCausalLM.from_config(CONFIG, dtype=torch.bfloat16).save_pretrained(folder)

    return str(once("measured-model", make))


@pytest.fixture(scope="module")
def everything(folder, once):
    """One run with all there is, which many tests look at."""

    def make(records):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_OFFLINE", "1")
            spec = MeasureSpec(
                folder, scheme="nf4-dq", device="cpu", weights=folder, lora=MeasuredLora(r=4),
                step=StepSetup(seq_len=16, steps=2), quality=True,
            )  # fmt: skip
            found = measure(spec)
        assert load_record(save_record(found, records)) == found

    return load_record(next(once("measured", make).glob("*.json")))


def test_predicted_and_measured_are_equal(everything):
    assert everything.agrees
    assert everything.predicted == everything.measured
    steps = {f"step_{name}_bytes" for name in ("load", "forward", "backward", "optimizer")}
    assert everything.predicted.keys() == {"tensor_bytes", "footprint_bytes", "lora_bytes"} | steps
    assert not any(each.difference for each in (*everything.comparisons, *everything.kinds))


def test_what_is_said_of_the_machine(everything):
    result = everything.result
    assert result["device"]["type"] == "cpu"
    assert result["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert result["build_seconds"] > 0
    steady, before = result["steady"], result["before"]
    assert steady["resident_bytes"] > before["resident_bytes"] > 0
    assert result["after_build"]["resident_peak_bytes"] >= steady["resident_bytes"] - result["model"]["tensor_bytes"]


def test_the_steps_have_the_form_of_the_published_measurements(everything):
    from inspector.sources.bundled import DATA

    published = json.loads((DATA / "truth" / "t4_transformers_peft_loop.json").read_text(encoding="utf-8"))
    step = everything.result["step"]
    assert {key for key in step if key.startswith(("peak_f", "peak_b", "peak_o"))} == {
        key for key in published[0] if key.startswith(("peak_f", "peak_b", "peak_o"))
    }
    assert step["weight_breakdown_mib"].keys() == published[0]["weight_breakdown_mib"].keys()
    buffers = everything.result["model"]["buffer_bytes"] / 2**20
    tokens = 16 * 8 / 2**20
    held = sum(step["weight_breakdown_mib"].values()) + buffers + tokens
    assert held == pytest.approx(step["after_load_allocated_mib"])
    trained = step["trainable_params"]
    assert trained == everything.predicted["lora_bytes"] // 4
    assert step["gradient_mib"] == trained * 4 / 2**20
    assert step["optimizer_state_mib"] == pytest.approx(2 * step["gradient_mib"], rel=0.01)
    assert step["peak_backward_mib"] > step["after_load_allocated_mib"]
    assert step["peak"] == max(step[f"peak_{stage}_mib"] for stage in ("forward", "backward", "optimizer"))
    assert step["losses"][1] < step["losses"][0]


def test_quality_orders_the_schemes(everything):
    errors = {name: each["weight_error"] for name, each in everything.result["quality"]["schemes"].items()}
    assert errors["bf16"] == 0  # these weights are bfloat16
    assert errors["fp16"] < 1e-3
    assert 0 < errors["int8"] < errors["fp8"] < errors["nf4"] <= errors["nf4-dq"] < errors["fp4"]
    # Normal weights in nf4 with blocks of 64: QLoRA's authors report the type as near optimal for them.
    assert 0.08 < errors["nf4"] < 0.10
    codes = everything.result["quality"]["codes"]
    assert all(len(values) == 16 and values == sorted(values) for values in codes.values())
    steps = {round(high - low, 6) for low, high in zip(codes["int4"], codes["int4"][1:], strict=False)}
    assert len(steps) == 1


def test_a_record_keeps_everything(everything, tmp_path):
    path = save_record(everything, tmp_path)
    assert path.stat().st_size < 50_000
    assert load_record(path) == everything
    found = find_records([tmp_path])
    assert found.agree
    assert found.names == (path.stem,)


def test_damaged_records_are_named(everything, tmp_path):
    save_record(everything, tmp_path)
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"format": "inspector.measurement", "version": 1, "spec": {}, "result": 3}')
    (tmp_path / "c.json").write_text('{"format": "inspector.measurement", "version": 99}')
    found = find_records([tmp_path])
    assert len(found.damaged) == 3
    assert len(found.measurements) == 1
    with pytest.raises(InspectorError, match="not JSON"):
        find_records([tmp_path / "a.json"])


def test_a_record_that_no_longer_equals_its_prediction_is_found(everything):
    result = json.loads(json.dumps(everything.result))
    result["model"]["tensor_bytes"] += 4
    result["model"]["kinds"]["attention"] += 4
    again = judged(everything.spec, result)
    assert not again.agrees
    row = next(each for each in again.comparisons if each.name == "tensor_bytes")
    assert (row.difference, row.cause) == (4, "attention +4 B")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_records_equal_their_prediction(path):
    found = load_record(path)
    assert found.status != "measured" or found.agrees, [each for each in found.comparisons if each.difference]


def big(tmp_path):
    """One embedding of 512 MiB and a head of the same: large enough to run out of memory, quick to fill."""
    config = {**CONFIG.to_dict(), "vocab_size": 2**21, "num_hidden_layers": 1, "layer_types": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return MeasureSpec(str(tmp_path), scheme="bf16", device="cpu", limit_bytes=900 * 2**20)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts private memory on Linux only")
def test_out_of_memory_is_a_result(tmp_path):
    found = measure(big(tmp_path))
    assert found.status == "out of memory"
    assert found.result["reached"]["stage"] == "build"
    assert 0 < found.result["reached"]["done"] < found.result["reached"]["total"]
    assert found.missing_bytes == found.predicted["tensor_bytes"] - 900 * 2**20
    assert not found.agrees


@pytest.fixture
def started(monkeypatch):
    """The measuring processes that were started."""
    found = []
    real = runner._start

    def start(errors):
        found.append(real(errors))
        return found[-1]

    monkeypatch.setattr(runner, "_start", start)
    return found


def test_a_killed_child_is_a_result(folder, started):
    order = make_order(MeasureSpec(folder, scheme="bf16", device="cpu"))
    result = runner.run_order(order, lambda _at: started[0].kill())
    assert result["status"] == "out of memory"
    assert "the system ended the process" in result["said"]
    assert started[0].poll() is not None


def test_an_interrupt_ends_the_child(folder, started):
    def interrupt(at):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(MeasureSpec(folder, scheme="bf16", device="cpu"), progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)


def in_this_process(spec, **broken):
    """What the measuring process says of a spec, without its interpreter; ``broken`` takes the place of the order's."""
    said = []
    child.answer(json.dumps({**make_order(spec).to_dict(), **broken}), lambda **message: said.append(message))
    return said[-1]


class TestWhoseFailure:
    """A library's, the model's or the device's is a result; ours is a traceback, and no answer."""

    def test_a_crash_of_the_models_code_is_left_to_be_a_result(self, tmp_path):
        """Longer than its positions: the embedding refuses, called by transformers, under our count of live tensors."""
        config = GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=64, n_positions=8)
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
        spec = MeasureSpec(str(tmp_path), scheme="bf16", device="cpu", step=StepSetup(seq_len=16))
        with pytest.raises(IndexError, match="index out of range") as caught:
            in_this_process(spec)
        assert failures.is_anothers(caught.value)

    def test_a_crash_is_a_result_with_its_last_line(self, folder, monkeypatch):
        at = json.dumps({"progress": {"stage": "step", "done": 0, "total": 0, "name": ""}})
        monkeypatch.setattr(runner, "CHILD", ("-c", f"print({at!r}, flush=True); raise IndexError('of a library')"))
        result = runner.run_order(make_order(MeasureSpec(folder, scheme="bf16", device="cpu")))
        assert result["status"] == "failed"
        assert result["said"] == "IndexError: of a library"
        assert result["reached"]["stage"] == "step"

    def test_our_own_crash_is_told_with_its_traceback(self, folder):
        message = in_this_process(MeasureSpec(folder, scheme="bf16", device="cpu"), parts="no mapping")
        assert message.keys() == {"fault"}
        assert message["fault"].startswith("Traceback (most recent call last)")
        assert "in _part" in message["fault"]
        assert message["fault"].endswith("AttributeError: 'str' object has no attribute 'get'\n")

    def test_it_is_a_traceback_and_no_record(self, folder, monkeypatch, tmp_path, capsys):
        real = Order.to_dict
        monkeypatch.setattr(Order, "to_dict", lambda order: real(order) | {"surprise": 1})
        monkeypatch.setenv("INSPECTOR_DATA", str(tmp_path / "data"))
        assert run(["measure", folder, "--scheme", "bf16", "--device", "cpu", "--save"]) == OUR_FAULT
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("Traceback (most recent call last)")
        assert "Order.__init__() got an unexpected keyword argument 'surprise'" in err
        assert not (tmp_path / "data").exists()

    def test_a_child_that_dies_of_our_imports_is_our_fault(self, folder, monkeypatch):
        monkeypatch.setattr(runner, "CHILD", ("-c", "import inspector.measure.no_such_module"))
        with pytest.raises(RuntimeError, match="a fault of Inspector's own") as caught:
            runner.run_order(make_order(MeasureSpec(folder, scheme="bf16", device="cpu")))
        assert "No module named 'inspector.measure.no_such_module'" in caught.value.__notes__[0]

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
            (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
            (OSError(5, "Input/output error"), True),
            (RuntimeError("shape '[2]' is invalid for input of size 3"), False),
            (KeyError("a name of ours"), False),
        ],
    )
    def test_where_no_frame_of_a_library_tells(self, error, said):
        names = {"__name__": "inspector.measure.ours", "error": error}
        with pytest.raises(type(error)) as caught:
            exec("raise error", names)  # noqa: S102 -- a frame of a module of ours
        assert failures.is_anothers(caught.value) is said


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_child_does_not_outlive_a_killed_parent():
    """Its standard input closes with the parent, and it leaves, whatever it was at."""
    code = (
        "import threading, time\n"
        "from inspector.measure import child\n"
        "threading.Thread(target=child._end_with_parent, daemon=True).start()\n"
        "print('on', flush=True)\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with contextlib.closing(process.stdout) as out:
        assert out.readline() == b"on\n"
        begun = time.monotonic()
        process.stdin.close()
        assert process.wait(timeout=20) == 130
        assert time.monotonic() - begun < 20


class TestBadInput:
    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_no_such_device(self, folder):
        with pytest.raises(InspectorError, match="no device cuda: "):
            measure(MeasureSpec(folder, device="cuda"))

    def test_no_such_device_name(self):
        with pytest.raises(InspectorError, match="no device is named 'tpu'"):
            MeasureSpec(device="tpu")

    def test_too_little_memory_is_said_before_building(self, monkeypatch):
        from inspector.measure import machine

        monkeypatch.setattr(machine, "available_host_bytes", lambda: 10**9)
        with pytest.raises(InspectorError, match="but the machine has 1,000,000,000 available"):
            measure(MeasureSpec(device="cpu"))

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"weights": "/no/such/folder"}, "no such folder of weights"),
            ({"weights": "hub"}, "switched off by HF_HUB_OFFLINE"),
            ({"layers": 99}, "has 2 layers, not 99"),
            ({"lora": MeasuredLora(target_modules=("nothing",))}, "nothing"),
        ],
    )
    def test_before_building(self, folder, options, said):
        with pytest.raises(InspectorError, match=said):
            measure(MeasureSpec(folder, device="cpu", **options))

    def test_weights_of_another_model(self, folder, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({**CONFIG.to_dict(), "intermediate_size": 512}))
        said = in_this_process(MeasureSpec(str(tmp_path), device="cpu", weights=folder))
        assert "but the config says" in said["error"]["message"]

    @pytest.mark.parametrize("data", [{"model": 1, "unknown": 2}, {"lora": 3}, {"step": {"seq": 1}}])
    def test_specs_of_damaged_records(self, data):
        with pytest.raises(InspectorError):
            MeasureSpec.from_dict(data)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("scheme", ["bf16", "int8", "nf4-dq", "fp4"])
def test_on_a_gpu_tensor_bytes_are_equal(folder, scheme):
    found = measure(
        MeasureSpec(folder, scheme=scheme, device="cuda", lora=MeasuredLora(r=4), step=StepSetup(seq_len=16))
    )
    assert found.agrees
    assert found.result["steady"]["requested_bytes"] >= found.measured["tensor_bytes"]
