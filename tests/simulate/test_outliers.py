"""LLM.int8's outliers: shares of a real model, the library's own product with them, and the range of a verdict."""

import json

import pytest
import torch

from inspector.simulate import finetuning
from inspector.simulate.device.bitsandbytes import int8_mixed_scaled_mm, int8_vectorwise_quant
from inspector.simulate.generation import simulate_generate
from inspector.simulate.setup.outliers import assuming, outlier_columns, share

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 512, "hidden_size": 256,
    "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "dtype": "bfloat16",
}  # fmt: skip


def test_more_rows_have_more_columns_with_one():
    for which in ("usual", "most"):
        shares = [share(rows, which) for rows in (1, 2, 16, 100, 512, 2047, 8192, 10**6)]
        assert shares == sorted(shares)
        assert 0 < shares[0] < shares[-1] < 1
    assert share(2048, "usual") < share(2048, "most")
    assert outlier_columns(2048, 4096) - 1 < share(2048, "usual") * 4096 <= outlier_columns(2048, 4096)
    with assuming("none"):
        assert outlier_columns(2048, 4096) == 0
        with assuming("most"):
            assert outlier_columns(2048, 4096) > 4096 // 20
        assert outlier_columns(2048, 4096) == 0
    # Over many lengths it is the share of a typical batch, so that sizes grow by a rule.
    with assuming("usual", rows=512):
        assert outlier_columns(64, 4096) == outlier_columns(4096, 4096)
    assert outlier_columns(1, 1) == 1, "never more than there are"


def test_the_product_is_the_librarys_in_shape_and_dtype():
    """bitsandbytes' own on a CPU, with as many columns apart as ours takes."""
    import bitsandbytes  # noqa: F401 -- registers its operators

    a, weight = torch.randn(128, 512, dtype=torch.float16), torch.randn(64, 512, dtype=torch.float16)
    a[3, : outlier_columns(128, 512)] = 9.0
    ops = torch.ops.bitsandbytes
    real = ops.int8_vectorwise_quant.default(a, 6.0)
    ours = int8_vectorwise_quant(a.to("meta"), 6.0)
    assert [(each.shape, each.dtype) for each in ours] == [(each.shape, each.dtype) for each in real]
    whole, scales, _ = ops.int8_vectorwise_quant.default(weight, 0.0)
    found = ops.int8_mixed_scaled_mm.default(a, real[0], whole, real[1], scales, real[2])
    same = int8_mixed_scaled_mm(a.to("meta"), ours[0], whole.to("meta"), ours[1], scales.to("meta"), ours[2])
    assert [(each.shape, each.dtype) for each in same] == [(each.shape, each.dtype) for each in found]


@pytest.mark.parametrize("run", ["finetune", "generate"])
def test_a_report_says_what_fewer_and_more_would_take(run, tmp_path):
    if run == "finetune":
        report = finetuning.finetune(LLAMA, scheme="int8", seq_len=128, gpu="T4")
        assert finetuning.finetune(LLAMA, scheme="nf4", seq_len=128, gpu="T4").outliers is None
    else:
        (file := tmp_path / "config.json").write_text(json.dumps(LLAMA))
        report = simulate_generate(str(file), scheme="int8", prompt_len=2048, max_new_tokens=4, gpu="T4")
    ends = report.outliers
    assert ends.none.allocated < report.peaks.allocated < ends.most.allocated
    assert ends.verdicts == (report.verdict,)
    assert any("outliers" in line for line in report.assumptions)
    document = report.to_dict()["outliers"]
    assert document["most"]["peak_allocated_bytes"] == ends.most.allocated
    assert set(document) == {"none", "most"}
