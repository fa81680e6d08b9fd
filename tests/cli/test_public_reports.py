"""Public reports whose input is a config alone: the line as typed, and what is right (docs/reports.md lists all)."""

from __future__ import annotations

import json
import shlex

import pytest

from inspector.cli.main import run

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_attention_heads": 4, "num_hidden_layers": 2,
         "num_key_value_heads": 2}  # fmt: skip
TINY = LLAMA | {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64}
FLOAT32 = LLAMA | {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "head_dim": 8, "dtype": "float32",
                   "tie_word_embeddings": False, "max_position_embeddings": 2048}  # fmt: skip
CLASSIFIER = LLAMA | {
    "architectures": ["LlamaForSequenceClassification"], "vocab_size": 32000, "hidden_size": 2048,
    "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4,
    "num_labels": 3, "id2label": {"0": "a", "1": "b", "2": "c"}, "dtype": "float16",
}  # fmt: skip
WORDS = LLAMA | {"vocab_size": 256, "hidden_size": 128, "intermediate_size": 256, "max_position_embeddings": 32768,
                 "torch_dtype": "float16"}  # fmt: skip
T5 = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_model": 2048, "d_kv": 64, "d_ff": 5120,
      "num_layers": 24, "num_decoder_layers": 24, "num_heads": 32, "vocab_size": 32128,
      "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "is_encoder_decoder": True}  # fmt: skip
ROBERTA = {"architectures": ["RobertaForSequenceClassification"], "model_type": "roberta", "vocab_size": 50265,
           "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
           "max_position_embeddings": 514, "type_vocab_size": 1}  # fmt: skip
WHISPER = {
    "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "d_model": 1280,
    "encoder_layers": 32, "decoder_layers": 32, "encoder_attention_heads": 20, "decoder_attention_heads": 20,
    "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120, "vocab_size": 51865, "num_mel_bins": 80,
    "max_source_positions": 1500, "max_target_positions": 448, "is_encoder_decoder": True,
}  # fmt: skip
GPTQ = {
    "architectures": ["MistralForCausalLM"], "model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 32768, "sliding_window": 4096, "torch_dtype": "float16", "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True},
}  # fmt: skip
ROPE = "without rope_scaling every size is the same"
KEYS = "PEFT: these rank_pattern keys did not match any targeted module and were ignored:"
LORA = "lora ./config.json --r 4 --target-modules q_proj,v_proj --rank-pattern"
HEAD = "lora ./config.json --r 16 --target-modules"
PRINTED = "as PEFT prints it: trainable params: {:,} || all params: {:,}"

PAGES = {
    "peft#3582, an anchored key": (TINY, f"{LORA} '^q_proj=16'", 0, [f"{KEYS} ^q_proj", PRINTED.format(896, 23_584)]),
    "peft#3582, a bare suffix": (TINY, f"{LORA} 'proj=16'", 0, [f"{KEYS} proj", PRINTED.format(896, 23_584)]),
    "peft#3582, no target": (TINY, f"{LORA} 'k_proj=16'", 0, [f"{KEYS} k_proj", PRINTED.format(896, 23_584)]),
    "peft#1070, two targets": (
        CLASSIFIER, f"{HEAD} q_proj,v_proj", 0,
        [PRINTED.format(2_258_944, 1_036_777_472), "with task_type SEQ_CLS", "PEFT trains score whole"],
    ),
    "peft#1070, all-linear": (
        CLASSIFIER, f"{HEAD} all-linear", 0,
        [PRINTED.format(12_621_824, 1_047_140_352), "all-linear 154, score 1"],
    ),
    "unsloth#1093": (
        FLOAT32, "lora ./config.json --r 4 --target-modules q_proj --modules-to-save embed_tokens,lm_head", 0,
        ["copies of embed_tokens, lm_head train in the base model's float32"],
    ),
    "transformers#32167": (
        WORDS | {"rope_scaling": {"type": "su", "short_factor": [1.0] * 16, "long_factor": [1.0] * 16}},
        "memory ./config.json --scheme bf16", 2, ["rope_scaling.type is 'su'", "did you mean longrope?", ROPE],
    ),
    "transformers#32167, sections": (
        WORDS | {"rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]}},
        "memory ./config.json --scheme bf16", 2, ["rope_scaling.type is 'mrope'", "known: default, dynamic", ROPE],
    ),
    "transformers#32167, by parts": (
        WORDS | {"rope_scaling": {"type": "ntk-parts", "factor": 2.0}},
        "memory ./config.json --scheme bf16", 2, ["rope_scaling.type is 'ntk-parts'", "known: default, dynamic", ROPE],
    ),
    "Ling#11": (
        WORDS | {"hidden_act": "swish2"}, "memory ./config.json --scheme bf16", 2,
        ["hidden_act is 'swish2'", "did you mean swish"],
    ),
    "peft#945, its layers": (
        T5, "layers ./config.json", 0, ["2,849,757,184 parameters", "lm_head Linear 32128x2048 65,798,144"],
    ),
    "peft#945": (T5, "lora ./config.json --r 16 --target-modules q,v", 0, [PRINTED.format(9_437_184, 2_859_194_368)]),
    "peft#675": (
        ROBERTA,
        "simulate finetune ./config.json --method full --dtype float32 --batch-size 64 --seq-len 96 --gpu A100-80GB",
        0, ["every micro-batch is input_ids 64 x 96, labels 64"],
    ),
    "PEFT's 8-bit notebook": (
        WHISPER, "simulate finetune ./config.json --method lora --batch-size 8 --target-modules q_proj,v_proj", 0,
        ["input_features 8 x 80 x 3,000, labels 8 x 448"],
    ),
    "LLaMA-Factory#4559": (
        GPTQ, 'simulate generate ./config.json --gpu "RTX 3060" --prompt-len 512', 0,
        ["gptq weights", "weights as stored, gptq (4 bits, groups of 128, act-order)"],
    ),
    "fms-acceleration#14": (
        GPTQ, "simulate finetune ./config.json --gpu T4 --seq-len 512", 0,
        ["qlora on gptq", "weights as stored, gptq (4 bits, groups of 128, act-order)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("report", PAGES)
def test_what_was_typed_is_answered(report, tmp_path, monkeypatch, capsys):
    config, line, code, said = PAGES[report]
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split(line)) == code
    printed = capsys.readouterr()
    page = " ".join((printed.out + printed.err).split())
    for each in said:
        assert each in page


def test_copies_of_a_float32_model_make_the_file_as_large_as_peft_writes_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "config.json").write_text(json.dumps(FLOAT32))
    monkeypatch.chdir(tmp_path)
    assert run([*shlex.split(PAGES["unsloth#1093"][1]), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["adapter_file_bytes"], row["gradient_bytes"], row["adam_bytes"]) == (28_392, 6912 * 4, 6912 * 8)
