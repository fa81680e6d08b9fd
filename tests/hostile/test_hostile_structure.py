"""Structures close to the real ones, through every parser that the fuzzers have: an answer, or one line."""

import json
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.skeleton.json_form import dumps
from inspector.sources.bundled import load_bundled

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))

import targets

busy = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Drawing is slow while the fuzzers run beside."""

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
_file = st.sampled_from(["model.safetensors", "../x.safetensors", "x.bin", "", "a/b.safetensors"]) | st.text(max_size=8)
SKELETON = json.loads(dumps(load_bundled("openai-community/gpt2")))


WORDS = [
    "gptq", "nf4", "gguf", "hqq", "q4_k_m", "rtx", "4090", "16", "GiB", "9" * 50, ".", ":", "=", ",", "-",
    "expandable_segments", "True", "[256:1,>:8]", "llama", "/", "\u00b2", "\u0661", " ",
]  # fmt: skip


def fed(target, value):
    """Feed a structure to a fuzzing target, which fails on anything but an answer or one line."""
    targets.run(target, json.dumps(value).encode())


def objects(**fields):
    """Objects of some of these fields, each of its own kind or of any other, and of strange ones."""
    either = {name: strategy | _json for name, strategy in fields.items()}
    return st.fixed_dictionaries({}, optional={**either, "strange": _json})


@busy
@given(objects(weight_map=st.dictionaries(st.text(max_size=8), _file | _json, max_size=4), metadata=_json))
def test_an_index(value):
    fed("files", value)


@busy
@given(objects(sha=st.just("0" * 40), siblings=st.lists(objects(rfilename=_file), max_size=4)))
def test_an_answer_of_the_hub(value):
    fed("files", value)


@busy
@given(
    objects(
        peft_type=st.sampled_from(["LORA", "VERA", "ADALORA"]), r=st.integers(), lora_alpha=st.floats(),
        bias=st.sampled_from(["none", "all"]), use_dora=st.booleans(), base_model_name_or_path=st.text(max_size=8),
        modules_to_save=st.lists(st.text(max_size=4), max_size=2),
    )
)  # fmt: skip
def test_the_config_of_an_adapter(value):
    fed("saved", value)


@busy
@given(
    objects(
        model=st.text(max_size=8), scheme=st.sampled_from(["nf4", "bf16"]), layers=st.integers(),
        lora=objects(r=st.integers(), target_modules=st.lists(st.text(max_size=4), max_size=2)),
        step=objects(batch_size=st.integers(), seq_len=st.integers(), optimizer=st.just("sgd"), steps=st.integers()),
    )
)  # fmt: skip
def test_the_specification_of_a_measurement(value):
    fed("saved", value)


@busy
@given(st.data())
def test_a_skeleton_with_any_one_value_changed(data):
    value = json.loads(json.dumps(SKELETON))
    inner = value
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(inner[key], (dict, list)) and inner[key] and data.draw(st.booleans()):
            inner = inner[key]
            continue
        inner[key] = data.draw(_json | st.sampled_from([10**9, -1, 2**63]))
        break
    fed("skeleton", value)


_block = objects(size=st.integers(0, 2**40), state=st.sampled_from(["active_allocated", "inactive"]))
_segment = objects(
    device=st.integers(0, 2), address=st.integers(0, 2**48), total_size=st.integers(0, 2**40),
    segment_type=st.sampled_from(["small", "large"]), blocks=st.lists(_block, max_size=3), stream=st.integers(0, 3),
)  # fmt: skip
_entry = objects(
    action=st.sampled_from(["alloc", "free_requested", "free_completed", "segment_alloc", "segment_free", "oom"]),
    addr=st.integers(0, 2**48), size=st.integers(0, 2**40), stream=st.integers(0, 3),
)  # fmt: skip


@busy
@given(
    objects(segments=st.lists(_segment, max_size=3), device_traces=st.lists(st.lists(_entry, max_size=6), max_size=2))
)
def test_a_memory_snapshot(value):
    fed("snapshot", value)


@busy
@given(
    st.lists(
        st.sampled_from(WORDS)
        | st.text(max_size=3),
        max_size=6,
    )
)  # fmt: skip
def test_words_that_are_typed(parts):
    targets.run("words", "".join(parts).encode("utf-8", "replace"))
