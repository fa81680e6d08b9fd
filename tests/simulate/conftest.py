"""Small models and the runs that several tests look at."""

from __future__ import annotations

import json

import pytest

from inspector.simulate.events import Free

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4000,
    "max_position_embeddings": 4096, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip


def events_of_a_moment(events):
    """The events, with frees that follow one another sorted: their order is CPython's and changes no figure."""
    out, frees = [], []
    for event in events:
        if isinstance(event, Free):
            frees.append(event.block)
            continue
        out.extend([*sorted(frees), event])
        frees = []
    return out + sorted(frees)


@pytest.fixture(scope="session")
def tiny():
    return dict(TINY)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with the small model's config, for what takes a model by its path."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(TINY))
    return str(folder)


@pytest.fixture(scope="session")
def report():
    from inspector.simulate import finetune

    return finetune(dict(TINY), recipe="peft-loop", seq_len=128, gpu="T4", keep_events=True)
