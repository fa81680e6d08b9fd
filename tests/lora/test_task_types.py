"""The head of a classifier: trained whole by PEFT's task type, counted and refused as PEFT does."""

from __future__ import annotations

import warnings

import pytest
import torch

from inspector.architecture import build_model, build_skeleton
from inspector.errors import InspectorError
from inspector.lora import LoraSpec, adapter_tensors, lora, named_set, target_sets

SMALL = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320,
    "max_position_embeddings": 64, "dtype": "float32", "id2label": {"0": "a", "1": "b", "2": "c"},
}  # fmt: skip
REPORT = {
    "architectures": ["LlamaForSequenceClassification"], "model_type": "llama", "vocab_size": 32000,
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
    "num_key_value_heads": 4, "num_labels": 3, "id2label": {"0": "a", "1": "b", "2": "c"}, "dtype": "float16",
}  # fmt: skip


def named(architecture, model_type, **fields):
    return {**SMALL, **fields, "model_type": model_type, "architectures": [architecture]}


CASES = {
    "a sequence, one linear head": (named("Qwen2ForSequenceClassification", "qwen2", num_key_value_heads=2), "SEQ_CLS"),
    "a sequence, a head of two": (named("RobertaForSequenceClassification", "roberta"), "SEQ_CLS"),
    "a sequence, two heads by one ending": (named("DistilBertForSequenceClassification", "distilbert"), "SEQ_CLS"),
    "a sequence, a head by no such name": (
        {
            "model_type": "t5", "architectures": ["T5ForSequenceClassification"], "d_model": 64, "d_kv": 16, "d_ff": 96,
            "num_layers": 2, "num_heads": 4, "vocab_size": 320,
        },
        "SEQ_CLS",
    ),
    "tokens": (named("BertForTokenClassification", "bert"), "TOKEN_CLS"),
    "tokens of a language model": (named("LlamaForTokenClassification", "llama"), "TOKEN_CLS"),
    "answers": (named("ElectraForQuestionAnswering", "electra", embedding_size=32), "QUESTION_ANS"),
    "masked tokens": (named("BertForMaskedLM", "bert"), None),
    "the next token": (named("LlamaForCausalLM", "llama"), "CAUSAL_LM"),
}  # fmt: skip


def with_peft(config, targets, task, saved=()):
    """Counts as PEFT prints them, and what it would save; None where it cannot train a module that it adapted."""
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    names = targets if isinstance(targets, str) else list(targets)
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        spec = LoraConfig(r=4, target_modules=names, task_type=task, modules_to_save=list(saved) or None)
        try:
            adapted = get_peft_model(build_model(config), spec)
        except TypeError:
            return None
        state = get_peft_model_state_dict(adapted)
    return adapted.get_nb_trainable_parameters(), {name: tuple(tensor.shape) for name, tensor in state.items()}


def without_peft(skeleton, targets, saved=()):
    spec = LoraSpec(r=4, target_modules=targets, modules_to_save=saved, base_dtype="float32")
    tensors = adapter_tensors(skeleton, spec)
    trainable = sum(tensor.numel for tensor in tensors if tensor.trainable)
    everything = skeleton.num_parameters + sum(tensor.numel for tensor in tensors if tensor.new)
    return (trainable, everything), {tensor.name: tensor.shape for tensor in tensors}


@pytest.mark.parametrize("case", CASES)
def test_counts_and_tensors_are_pefts_with_the_task_type_of_the_class(case):
    config, task = CASES[case]
    skeleton = build_skeleton(config, model_id="small")
    for found in target_sets(skeleton):
        targets = found.target_modules
        pefts = with_peft(config, targets, task)
        if pefts is None:
            with pytest.raises(InspectorError, match=r"PEFT cannot train \w+ whole where LoRA is put on it too"):
                without_peft(skeleton, targets)
            continue
        assert without_peft(skeleton, targets) == pefts, found.name


def test_a_head_that_is_named_is_left_out_of_all_linear():
    for case, heads in (("tokens", ("classifier",)), ("a sequence, two heads by one ending", ("pre_classifier",))):
        config, task = CASES[case]
        pefts = with_peft(config, "all-linear", task, heads)
        assert without_peft(build_skeleton(config, model_id="small"), "all-linear", heads) == pefts


def test_the_published_report():
    """peft#1070: a Llama classifier, by rank 16."""
    skeleton = build_skeleton(REPORT, model_id="small")
    sets = [named_set(skeleton, name) for name in ("q_proj,v_proj", "all-linear")]
    report = lora(skeleton, (16,), sets)
    assert [(row.trainable_parameters, row.all_parameters) for row in report.rows] == [
        (2_258_944, 1_036_777_472),
        (12_621_824, 1_047_140_352),
    ]
    said = "with task_type SEQ_CLS, as a LlamaForSequenceClassification is tuned: PEFT trains score whole"
    assert said in report.assumptions
    bare = lora(skeleton, (16,), sets, LoraSpec(task_type=""))
    assert [row.trainable_parameters for row in bare.rows] == [2_252_800, 12_648_496]
