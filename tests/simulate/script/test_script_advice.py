"""What to change about a script: found in its text, made in its text with every line at its place, tried by runs."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import InspectorError
from inspector.simulate.on_card import Peaks
from inspector.simulate.script.advice import ScriptChange, advise, candidates
from inspector.simulate.script.advice.configs import ACCUMULATE, BATCH, LENGTH
from inspector.simulate.script.invocation import parse_invocation
from inspector.simulate.script.overrides import Edit, Override, apply_edits, edits_of, keyword, replacing
from tests.simulate.script.test_check import _here  # noqa: F401 -- every test in a folder of its own


def offered(text, *words):
    """The changes of a script by what they say, each with the text or the words it makes."""
    with open("train.py", "w", encoding="utf-8") as stream:  # noqa: PTH123 -- in the test's own folder
        stream.write(text)
    found = {}
    for change in candidates(parse_invocation(["train.py", *words])):
        made = apply_edits(text, change.override.edits)
        ast.parse(made)
        assert made.count("\n") == text.count("\n")
        found[change.what] = made if change.override.edits else change.override.argv
    return found


TRAINER = """from transformers import AutoModelForCausalLM, Trainer, TrainingArguments as TA
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-0.5B",
    attn_implementation="eager")
args = TA(
    "out",
    per_device_train_batch_size=4,  # four
)
Trainer(model, args).train()
"""


def test_a_trainer_s_config_is_changed_where_it_is_made():
    found = offered(TRAINER)
    assert list(found) == [
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
        "attn_implementation='sdpa'",
        "gradient_checkpointing=True",
        "per_device_train_batch_size=2, gradient_accumulation_steps=2",
        "per_device_train_batch_size=1, gradient_accumulation_steps=4",
        "optim='adamw_8bit'",
        "optim='paged_adamw_8bit'",
        "bf16=True",
    ]
    assert (
        "    gradient_checkpointing=True, per_device_train_batch_size=4,  # four\n"
        in found["gradient_checkpointing=True"]
    )
    halved = found["per_device_train_batch_size=2, gradient_accumulation_steps=2"]
    assert "    gradient_accumulation_steps=2, per_device_train_batch_size=2,  # four\n" in halved
    assert "    attn_implementation='sdpa')\n" in found["attn_implementation='sdpa'"]


@pytest.mark.parametrize(
    ("call", "left_out"),
    [
        ("TA('o', gradient_checkpointing=True)", "gradient_checkpointing"),
        ("TA('o', activation_checkpointing=True)", "gradient_checkpointing"),
        ("TA('o', bf16=True)", "bf16"),
        ("TA('o', fp16=True)", "bf16"),
        ("TA('o', optim='adamw_bnb_8bit')", "optim"),
        ("TA('o', optim='sgd')", "optim"),
        ("TA('o', per_device_train_batch_size=1)", "per_device_train_batch_size"),
        ("TA('o', per_device_train_batch_size=batch_of())", "per_device_train_batch_size"),
        ("TA('o', **more)", ""),
    ],
)
def test_what_is_so_already_or_not_known_is_not_offered(call, left_out):
    found = offered(f"from transformers import TrainingArguments as TA\nargs = {call}\n")
    assert not any(what.startswith(left_out) for what in found if not what.startswith("PYTORCH"))


def test_values_come_through_the_script_s_own_arguments():
    text = (
        "import argparse\nfrom trl import SFTConfig\np = argparse.ArgumentParser()\n"
        "p.add_argument('--bs', type=int, default=8)\na = p.parse_args()\n"
        "c = SFTConfig(per_device_train_batch_size=a.bs, gradient_accumulation_steps=2)\n"
    )
    assert "per_device_train_batch_size=4, gradient_accumulation_steps=4" in offered(text)
    found = offered(text, "--bs", "2")
    assert "per_device_train_batch_size=1, gradient_accumulation_steps=4" in found
    assert "gradient_checkpointing=True" not in found  # trl's own default


LOOP = """import argparse, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel
p = argparse.ArgumentParser()
p.add_argument("--batch-size", type=int, default=8)
p.add_argument("--grad-accum", type=int, default=2)
SEQ_LEN = 1024
model = AutoModel.from_pretrained("x", torch_dtype=torch.float32).to("cuda")
model = get_peft_model(model, LoraConfig(r=64, lora_alpha=128))
o = torch.optim.AdamW(model.parameters(), lr=1)
l = torch.utils.data.DataLoader(data, batch_size=4)
"""


def test_a_loop_written_by_hand_is_changed_where_its_numbers_stand():
    found = offered(LOOP)
    assert found["--batch-size 4 --grad-accum 4"] == ("--batch-size", "4", "--grad-accum", "4")
    assert "\nSEQ_LEN = 512\n" in found["SEQ_LEN = 512"]
    assert "DataLoader(data, batch_size=2)" in found["batch_size=2"]
    assert "\no = __import__('bitsandbytes').optim.AdamW8bit(model" in found["bitsandbytes.optim.AdamW8bit(...)"]
    assert "LoraConfig(r=16, lora_alpha=32)" in found["r=16, lora_alpha=32"]
    assert "torch_dtype='bfloat16').to" in found["torch_dtype='bfloat16'"]
    line = found["model.gradient_checkpointing_enable()"].splitlines()[7]
    assert line.endswith(').to("cuda"); model.enable_input_require_grads(); model.gradient_checkpointing_enable()')
    assert any("BitsAndBytesConfig(load_in_4bit=True" in what for what in found)


def test_options_of_a_parser_of_configs_are_typed_behind_the_script():
    text = "from trl import SFTConfig, TrlParser\n(c,) = TrlParser(SFTConfig).parse_args_and_config()\n"
    found = offered(text, "--per_device_train_batch_size", "4", "--gradient_checkpointing", "false")
    assert found["--gradient_checkpointing True"] == ("--gradient_checkpointing", "True")
    assert "--per_device_train_batch_size 2 --gradient_accumulation_steps 2" in found


def test_a_config_file_s_numbers_are_those_that_are_changed(tmp_path):
    (tmp_path / "sft.yaml").write_text("per_device_train_batch_size: 4\ngradient_accumulation_steps: 3\n")
    text = "from trl import SFTConfig, TrlParser\n(c,) = TrlParser(SFTConfig).parse_args_and_config()\n"
    found = offered(text, "--config", str(tmp_path / "sft.yaml"), "--gradient_accumulation_steps", "2")
    assert "--per_device_train_batch_size 2 --gradient_accumulation_steps 4" in found


@pytest.mark.pinned
def test_defaults_are_the_library_s():
    from transformers import TrainingArguments

    fields = TrainingArguments.__dataclass_fields__
    assert fields["per_device_train_batch_size"].default == BATCH
    assert fields["gradient_accumulation_steps"].default == ACCUMULATE
    assert not fields["gradient_checkpointing"].default
    assert not fields["activation_checkpointing"].default
    trl = pytest.importorskip("trl")
    config = trl.SFTConfig.__dataclass_fields__
    assert config["max_length"].default == LENGTH
    assert config["gradient_checkpointing"].default is True


def test_edits_stay_in_their_lines_and_do_not_move_each_other():
    text = "é = f(1,\n  b=2,\n)\ng(  )\nh(x)\n"
    first, second, third = (node.value for node in ast.parse(text).body)
    edits = (keyword(first, "b", "33"), keyword(first, "c", "4"), keyword(second, "d", "5"), keyword(third, "e", "6"))
    assert apply_edits(text, edits) == "é = f(1,\n  c=4, b=33,\n)\ng(  d=5)\nh(x, e=6)\n"
    assert apply_edits(text, [replacing(first, "7")]) == "é = 7\n\n\ng(  )\nh(x)\n"
    assert apply_edits(text.replace("\n", "\r\n"), [replacing(first, "7")]).splitlines()[0] == "é = 7"
    assert apply_edits(text, [Edit(2, 1, 0, 1, 1, "x")], cell=1) == text
    with pytest.raises(ValueError, match="no line 9"):
        apply_edits(text, [Edit(0, 9, 0, 9, 0, "x")])


def test_two_changes_of_the_same_words_are_one():
    text = "f(a=1)\n"
    call = ast.parse(text).body[0].value
    one, other = Override((keyword(call, "a", "2"),), ("--x",)), Override((keyword(call, "a", "3"),), ("--y",))
    both = one.and_also(other)
    assert apply_edits(text, both.edits) == "f(a=3)\n"
    assert both.argv == ("--x", "--y")
    new = Override((keyword(call, "b", "2"),)).and_also(Override((keyword(call, "c", "3"),)))
    assert ast.unparse(ast.parse(apply_edits(text, new.edits))) in {"f(b=2, c=3, a=1)", "f(c=3, b=2, a=1)"}
    assert edits_of(both.to_plain()) == both.edits


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True), st.permutations(["a", "b", "c", "x"]), st.booleans()
)
def test_a_call_takes_any_keywords_in_any_order(had, put, comma):
    text = f"g(f(1, {', '.join(f'{name}=0' for name in had)}{',' if comma and had else ''}))\n"
    call = ast.parse(text).body[0].value.args[0]
    override = Override()
    for name in put:
        override = override.and_also(Override((keyword(call, name, "1"),)))
    made = ast.parse(apply_edits(text, override.edits)).body[0].value.args[0]
    assert {word.arg: word.value.value for word in made.keywords} == {**dict.fromkeys(had, 0), **dict.fromkeys(put, 1)}


def peaks(process, usable=100):
    return Peaks(process, process, 0, usable, "freely" if process <= usable else "not")


def change(name, of, about=None):
    from inspector.memory_kinds import MemoryKind

    return ScriptChange(name, "", None, Override(argv=(name,)), frozenset(map(MemoryKind, of)), about or name)


ALIVE = {"base weights": 40, "saved activations": 100, "optimizer state": 60}
SAVED = ["saved activations"]
CHANGES = [change("segments", []), change("ckpt", SAVED), change("half", SAVED, "batch"),
           change("one", SAVED, "batch"), change("8bit", ["optimizer state"]),
           change("rank", ["adapters"])]  # fmt: skip


def trying(table):
    """Runs that take what the table says of their words; what is not in it fails."""
    asked = []

    def again(override):
        asked.append("+".join(override.argv))
        if asked[-1] not in table:
            raise InspectorError("the script does not take this")
        return peaks(table[asked[-1]])

    return again, asked


def test_the_cheaper_of_its_like_is_enough_and_what_saves_nothing_is_left_out():
    again, asked = trying({"ckpt": 120, "half": 95, "8bit": 199})
    found = advise(peaks(200), ALIVE, CHANGES, again)
    assert asked == ["ckpt", "half", "8bit"]  # no rank: nothing of adapters is alive; no segments: nothing is held
    assert [(one.changes[0].what, one.peaks.process) for one in found.alone] == [("half", 95), ("ckpt", 120)]
    assert (found.together, found.smallest, found.runs) == (None, None, 3)


def test_several_together_where_none_is_enough():
    again, asked = trying({"ckpt": 150, "half": 160, "one": 140, "8bit": 170, "one+ckpt": 110, "one+ckpt+8bit": 80})
    found = advise(peaks(200), ALIVE, CHANGES, again)
    assert [each.what for each in found.together.changes] == ["one", "ckpt", "8bit"]
    assert found.together.peaks.fits
    again, asked = trying({"ckpt": 150, "8bit": 170, "ckpt+8bit": 120})
    found = advise(peaks(200), ALIVE, CHANGES, again)
    assert found.together is None
    assert found.smallest.peaks.process == 120
    assert "half" in asked  # it was tried, and the script would not take it


def test_what_is_held_and_not_used_is_the_allocator_s():
    again, asked = trying({"segments": 90})
    now = Peaks(allocated=80, reserved=120, context=0, usable=100, served="not")
    found = advise(now, {"base weights": 80}, CHANGES, again)
    assert asked == ["segments"]
    assert found.alone[0].peaks.fits


def test_nothing_that_helps_is_said_too():
    again, _ = trying({})
    found = advise(peaks(200), ALIVE, CHANGES, again)
    assert (found.alone, found.together, found.smallest) == ((), None, None)
    assert found.runs == 4


def beside(tmp_path, module, text, *words):
    """The changes of a script whose module ``config`` has this text: of each the module's text with it made."""
    file = tmp_path / "config.py"
    file.write_text(module)
    (tmp_path / "train.py").write_text(text)
    made = {}
    for each in candidates(parse_invocation([*(words or ["train.py"])])):
        edits = each.override.edits
        if edits and {edit.file for edit in edits} == {str(file)}:
            made[each.what] = apply_edits(module, edits, file=str(file))
            assert apply_edits(text, edits) == text  # nothing of the script's own
            assert each.place.file == "config.py"
    return made


@pytest.mark.parametrize(
    ("module", "text", "what", "made"),
    [
        ("BATCH = 8\n", "from config import BATCH\n", "BATCH = 4", "BATCH = 4\n"),
        (
            "class C:\n    batch_size: int = 8\n",
            "import config\n",
            "batch_size = 4",
            "class C:\n    batch_size: int = 4\n",
        ),
        ("c = {'seq_len': 512}\n", "from config import *\n", "'seq_len': 256", "c = {'seq_len': 256}\n"),
        ("def f(**k): pass\nc = f(bs=2)\n", "import config as c\n", "bs=1", "def f(**k): pass\nc = f(bs=1)\n"),
        (
            "from transformers import TrainingArguments\ndef args(n):\n    return TrainingArguments('o')\n",
            "from config import args\nbatch_size = 4\nargs(1)\n",
            "bf16=True",
            "from transformers import TrainingArguments\ndef args(n):\n    return TrainingArguments('o', bf16=True)\n",
        ),
    ],
)
def test_what_stands_in_a_module_is_changed_there(tmp_path, module, text, what, made):
    assert beside(tmp_path, module, text)[what] == made


def test_a_batch_that_the_config_takes_from_elsewhere_is_changed_there():
    text = "from transformers import TrainingArguments as TA\n{}a = TA('o', per_device_train_batch_size={})\n"
    assert "B = 4" not in offered(text.format("BATCH = 8\n", "BATCH"))
    assert "batch = 4" in offered(text.format("class cfg:\n    batch = 8\n", "cfg.batch"))
    # A library's own word for something else is no batch of the script's.
    assert not any("500" in what for what in offered("d = load()\nd.map(len, batch_size=1000)\n"))


def test_the_same_words_of_two_files_are_two():
    one, other = Edit(0, 1, 0, 1, 1, "x"), Edit(0, 1, 0, 1, 1, "y", "/config.py")
    both = Override((one,)).and_also(Override((other,)))
    assert both.edits == (one, other)
    assert edits_of(both.to_plain()) == both.edits
    assert (apply_edits("a", both.edits), apply_edits("a", both.edits, file="/config.py")) == ("x", "y")
