"""`inspector adapter FILE.gguf`: told as what it is, and held against a base by llama.cpp's rules."""

import json

import pytest

from inspector.cli.main import run
from inspector.lenses.saved_adapter import read_adapter
from inspector.precision.gguf import gguf_shapes
from inspector.sources.bundled import load_bundled
from tests.sources.gguf_files import ENDS, LLAMA, SIZES, elements, made

KIND = {"general__type": "adapter", "adapter__type": "lora", "adapter__lora__alpha": 16.0, "tokens": 0, "plain": True}
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320,
}  # fmt: skip


def pair(name, out, into, rank=8, stack=()):
    return {f"{name}.weight.lora_a": (*stack, rank, into), f"{name}.weight.lora_b": (*stack, out, rank)}


PAIRS = {**pair("blk.0.attn_q", 256, 256), **pair("blk.1.attn_v", 128, 256), **pair("blk.1.ffn_down", 256, 512)}


@pytest.fixture
def bases(tmp_path):
    """The same Llama as a GGUF file, and as a config."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text(json.dumps(CONFIG))
    return made(tmp_path / "base.gguf", "llama", LLAMA, **SIZES), str(tmp_path / "config")


def told(capsys, *words, code=0):
    assert run(["adapter", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_it_is_told_as_what_it_is(tmp_path, capsys):
    path = made(tmp_path / "a.gguf", "llama", PAIRS, **KIND, general__base_model__0__name="Llama 7 1B")
    found = told(capsys, path)
    assert [found[key] for key in ("method", "rank", "alpha", "num_modules", "base_model")] == \
        ["LORA", 8, 16, 3, "Llama 7 1B"]  # fmt: skip
    assert found["num_parameters"] == elements(PAIRS) == 8 * (512 + 384 + 768)
    assert found["tensor_bytes"] == sum(part["bytes"] for part in found["parts"])
    assert {part["part"]: part["num_tensors"] for part in found["parts"]} == {"lora_a": 3, "lora_b": 3}
    assert found["base"]["answer"] == "not compared"
    assert found["findings"] == []
    assert "16 / 8 = 2" in " ".join(found["notes"])
    # The folder that holds it, and nothing else of PEFT's, is it too; and a page is printed.
    assert told(capsys, str(tmp_path)) == found
    assert run(["adapter", path]) == 0
    assert "its base, Llama 7 1B, is not at hand" in capsys.readouterr().out


def test_ranks_and_alphas_are_llama_cpps(tmp_path, capsys):
    tensors = {**PAIRS, **pair("blk.0.ffn_up", 512, 256, rank=4)}
    path = made(tmp_path / "a.gguf", "llama", tensors, **{**KIND, "adapter__lora__alpha": 0.0})
    found = told(capsys, path)
    assert found["rank"] is found["alpha"] is None
    assert "no alpha" in " ".join(found["notes"])
    assert "rank of 4 to 8" in " ".join(read_adapter(made(tmp_path / "b.gguf", "llama", tensors, **KIND)).notes)


def test_it_is_loaded_on_its_base(tmp_path, bases, capsys):
    # As convert_lora_to_gguf.py writes an embedding's: A has the vocabulary's rows, B those of the width.
    embedding = {"token_embd.weight.lora_a": (320, 8), "token_embd.weight.lora_b": (256, 8)}
    path = made(tmp_path / "b.gguf", "llama", {**PAIRS, **embedding}, **KIND)
    for base in bases:
        found = told(capsys, path, "--base", base)
        assert (found["base"]["answer"], found["base"]["loader"], found["base"]["peft"]) == ("loads", "llama.cpp", None)
        assert found["base"]["architecture"] == "llama"
        assert run(["adapter", path, "--base", base]) == 0
        assert "llama.cpp loads it on" in capsys.readouterr().out
    # Q4_K becomes float16: 144 bytes for 256 weights, then 512.
    weights = 256 * 256 + 128 * 256 + 256 * 512 + 320 * 256
    notes = " ".join(told(capsys, path, "--base", bases[0])["notes"])
    quantized = made(tmp_path / "q.gguf", "llama", PAIRS, **{**KIND, "plain": False})
    assert "takes no quantized adapters" in " ".join(told(capsys, quantized, "--base", bases[0])["notes"])
    assert f"{weights * 144 / 256 / 1e6:,.1f} MB of base become {weights * 2 / 1e6:,.1f} MB" in notes


def without(tensors, *names):
    return {name: shape for name, shape in tensors.items() if name not in names}


FAULTS = {
    "a tensor of another model": (
        {**PAIRS, **pair("blk.2.attn_q", 256, 256)}, {}, "error", "base has no blk.N.attn_q.weight"),
    "another width": (
        {**PAIRS, **pair("blk.0.ffn_up", 512, 128)}, {}, "error",
        "blk.N.ffn_up.weight has an incorrect shape ([512, 128] in the file, [512, 256] in base)"),
    "other keys": (
        {**PAIRS, **pair("blk.0.attn_k", 256, 256)}, {}, "error", "[256, 256] in the file, [128, 256] in base"),
    "half a pair": (without(PAIRS, "blk.1.attn_v.weight.lora_a"), {}, "error", "blk.N.attn_v.weight.lora_a"),
    "two ranks": (
        {**PAIRS, "blk.0.attn_q.weight.lora_b": (256, 4)}, {}, "error", "not transposed, its rank is not lora_b's"),
    "another name": ({**PAIRS, "blk.0.attn_q.bias": (256,)}, {}, "error", "blk.N.attn_q.bias end neither"),
    "a norm": ({**PAIRS, "blk.0.attn_norm.weight": (256,)}, {}, "silence", "passes over blk.N.attn_norm.weight"),
    "an embedding written as any other": (
        {**PAIRS, **pair("token_embd", 320, 256)}, {}, "error", "token_embd.weight has an incorrect shape"),
    "no type": (PAIRS, {"general__type": None}, "error", "general.type is 'None'"),
    "another method": (PAIRS, {"adapter__type": "hat"}, "error", "adapter.type is 'hat'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_answered_as_llama_cpp_answers(fault, tmp_path, bases, capsys):
    tensors, more, level, said = FAULTS[fault]
    pairs = {key: value for key, value in {**KIND, **more}.items() if value is not None}
    path = made(tmp_path / "a.gguf", "llama", tensors, **pairs)
    for base in bases:
        found = told(capsys, path, "--base", base, code=1 if level == "error" else 0)
        assert found["base"]["answer"] == ("fails" if level == "error" else "loads")
        told_of = [each for each in found["findings"] if said.replace("in base", "in config").replace(
            "base has", "config has") in each["what"] or said in each["what"]]  # fmt: skip
        assert [each["level"] for each in told_of] == [level]
        assert len(found["findings"]) == 1
        assert ("it is merged only once it loads" in found["notes"]) == (level == "error")


def test_another_architecture_and_another_number_of_experts(tmp_path, capsys):
    path = made(tmp_path / "a.gguf", "qwen2", PAIRS, **KIND)
    base = made(tmp_path / "base.gguf", "llama", LLAMA, **SIZES)
    assert (
        "of the architecture 'qwen2', base of 'llama'"
        in told(capsys, path, "--base", base, code=1)["findings"][0]["what"]
    )
    experts = {**LLAMA, "blk.0.ffn_up_exps.weight": (4, 512, 256)}
    base = made(tmp_path / "moe.gguf", "llama", experts, **SIZES, expert_count=4)
    for number, count in ((4, 0), (8, 1)):
        path = made(tmp_path / f"{number}.gguf", "llama", pair("blk.0.ffn_up_exps", 512, 256, stack=(number,)), **KIND)
        findings = told(capsys, path, "--base", base)["findings"]
        assert [each["level"] for each in findings] == ["silence"] * count


def test_the_head_of_a_tied_base_is_not_there(tmp_path, capsys):
    tied = without(LLAMA, "output.weight")
    base = made(tmp_path / "base.gguf", "llama", tied, **SIZES)
    path = made(tmp_path / "a.gguf", "llama", pair("output", *ENDS["output.weight"]), **KIND)
    found = told(capsys, path, "--base", base, code=1)
    assert "base has no output.weight; its embedding is its output" in found["findings"][0]["what"]


def test_a_base_that_is_bundled_is_found_by_the_name_in_the_file(tmp_path, capsys):
    said = {"general__base_model__0__repo_url": "https://huggingface.co/meta-llama/Llama-3.2-1B"}
    sound = made(tmp_path / "a.gguf", "llama", pair("blk.15.attn_k", 512, 2048), **KIND, **said)
    found = told(capsys, sound)
    assert (found["base"]["answer"], found["base"]["compared_with"]) == ("loads", "meta-llama/Llama-3.2-1B")
    wrong = made(tmp_path / "b.gguf", "llama", pair("blk.16.attn_k", 512, 2048), **KIND, **said)
    assert told(capsys, wrong, code=1)["base"]["answer"] == "fails"


def test_what_is_no_adapter_and_no_base_is_one_line(tmp_path, bases, capsys):
    path = made(tmp_path / "a.gguf", "llama", PAIRS, **KIND)
    for words, said in (([bases[0]], "holds no adapter"), ([path, "--base", path], "is no base: an adapter of")):
        assert run(["adapter", *words]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert len(err.splitlines()) == 2


def test_shapes_of_a_config_are_those_that_converting_writes():
    gpt2 = gguf_shapes(load_bundled("openai-community/gpt2"))
    assert gpt2["blk.11.attn_qkv.weight"] == (3 * 768, 768)  # a Conv1D holds it the other way round
    assert gpt2["blk.0.ffn_up.weight"] == (3072, 768)
    mixtral = gguf_shapes(load_bundled("mistralai/Mixtral-8x7B-v0.1"))
    for kind, shape in (("gate", (8, 14336, 4096)), ("up", (8, 14336, 4096)), ("down", (8, 4096, 14336))):
        assert mixtral[f"blk.31.ffn_{kind}_exps.weight"] == shape
