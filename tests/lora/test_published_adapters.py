"""Counts and file sizes that people published."""

import json

import pytest

import inspector
from inspector.errors import InspectorError
from inspector.lora import LoraSpec, adapter_tensors, lora
from inspector.lora.filesize import safetensors_bytes
from inspector.lora.options import chosen_sets, parsed_pattern
from inspector.sources.bundled import DATA, find, load_bundled

TRUTH = DATA / "truth"
RECORDS = json.loads((TRUTH / "trainable_params.json").read_text())
BENCHMARK = json.loads((TRUTH / "l40s_peft_benchmark.json").read_text())

EMBEDDINGS = ("embed_tokens", "lm_head")


def bundled(record):
    """The bundled model of a record; re-uploads under another organisation have the same name."""
    return find(record["model"]) or find(record["model"].rpartition("/")[2])


# A LoRA of named modules on a bundled model; litgpt's own short names "q" and "v" mean nothing to PEFT.
KNOWN = [
    record
    for record in RECORDS
    if record["method"].partition(" ")[0] in {"LoRA", "QDoRA"}
    and record["method"] != "LoRA-FA (B only)"
    and record.get("consistent")
    and record["target_modules"]
    and "q" not in record["target_modules"]
    and bundled(record)
]


def identity(record):
    targets = record["target_modules"]
    return f"{record['model']} r={record['r']} {targets if isinstance(targets, str) else '+'.join(targets or [])}"


@pytest.mark.parametrize("record", KNOWN, ids=identity)
def test_trainable_parameters_are_those_people_printed(record):
    named = tuple(record["target_modules"])
    spec = LoraSpec(
        r=record["r"],
        target_modules=tuple(name for name in named if name not in EMBEDDINGS),
        modules_to_save=tuple(name for name in named if name in EMBEDDINGS),
        use_dora="DoRA" in record["method"],
    )
    tensors = adapter_tensors(load_bundled(bundled(record)), spec)
    assert sum(tensor.numel for tensor in tensors) == record["trainable_params"]


def test_enough_records_are_checked():
    assert len(KNOWN) >= 15


def plain_lora(record):
    config = record["peft_config"]
    return config.get("peft_type") == "LORA" and isinstance(config.get("target_modules"), (list, str))


FILES = [record for record in BENCHMARK if plain_lora(record) and record.get("file_size_bytes")]


@pytest.mark.parametrize("record", FILES, ids=lambda record: f"{record['experiment']} {record['run_created_at']}")
def test_adapter_files_are_as_large_as_published(record):
    config = record["peft_config"]
    targets = config["target_modules"]
    spec = LoraSpec(
        r=config["r"],
        target_modules=targets if isinstance(targets, str) else tuple(targets),
        use_dora=bool(config.get("use_dora")),
        bias=config.get("bias") or "none",
        rank_pattern=tuple((config.get("rank_pattern") or {}).items()),
    )
    tensors = adapter_tensors(load_bundled(record["base_model"]), spec)
    assert safetensors_bytes(tensors) == record["file_size_bytes"]


def test_the_known_answer_of_the_course():
    report = inspector.load("llama-3.1-8b").lora(r=32, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    (row,) = report.rows
    assert row.trainable_parameters == 27_262_976
    assert row.alpha == 64
    assert round(row.fp32_bytes / 1e6, 1) == 109.1


def test_default_ranks_follow_the_rule_of_thumb_and_every_set_is_there():
    report = lora(load_bundled("meta-llama/Llama-3.1-8B"))
    assert [row.r for row in report.rows[:3]] == [8, 16, 32]
    assert list(dict.fromkeys(row.target_set for row in report.rows)) == [
        "attention",
        "q+v",
        "mlp",
        "all-linear",
        "default",
    ]
    assert all(row.alpha == 2 * row.r for row in report.rows)
    assert any("rule of thumb" in line for line in report.assumptions)


def test_rslora_and_alpha_change_no_size():
    skeleton = load_bundled("meta-llama/Llama-3.2-1B")
    usual, other = LoraSpec(), LoraSpec(use_rslora=True, lora_alpha=7)
    sizes = [[row.adapter_file_bytes for row in lora(skeleton, spec=spec).rows] for spec in (usual, other)]
    assert sizes[0] == sizes[1]


def test_a_target_that_matches_nothing_lists_what_could_be():
    skeleton = load_bundled("Qwen/Qwen3-30B-A3B")
    with pytest.raises(InspectorError) as caught:
        lora(skeleton, sets=chosen_sets(skeleton, ["w1"]))
    assert "q_proj, k_proj, v_proj, o_proj" in caught.value.hint
    assert "experts.gate_up_proj" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"target_modules": ("self_attn",)}, "LoRA cannot adapt model.layers.0.self_attn"),
        ({"target_modules": "(("}, "no regular expression"),
        ({"target_modules": ("q_proj",), "rank_pattern": (("(", 3),)}, "no regular expression"),
        ({"target_parameters": ("experts.down_proj",), "use_dora": True}, "DoRA"),
    ],
)
def test_what_peft_would_refuse_is_one_clear_line(spec, message):
    with pytest.raises(InspectorError, match=message):
        adapter_tensors(load_bundled("Qwen/Qwen3-30B-A3B"), LoraSpec(**spec))


@pytest.mark.parametrize("rank", [0, -1, 10**9])
def test_absurd_ranks_are_refused(rank):
    with pytest.raises(InspectorError, match="rank"):
        LoraSpec(r=rank)


@pytest.mark.parametrize("text", ["q_proj", "=4", "q_proj=x", "q_proj=1.5"])
def test_a_rank_pattern_needs_a_name_and_a_rank(text):
    with pytest.raises(InspectorError, match="rank pattern"):
        parsed_pattern([text])
