"""More real CPU training steps, byte for byte: adapters, optimizers, accumulation, clipping, mixtures, masks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from inspector.simulate.program.load import quantization_constants
from tests.simulate.cpu_sizes import SMALLEST, levels, profiled_sizes, traced_sizes

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # libraries warn about tiny models

SMALL = {
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000, "use_cache": False,
}  # fmt: skip


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(intermediate_size=176, num_hidden_layers=3, **SMALL))


def mixtral():
    from transformers import MixtralConfig, MixtralForCausalLM

    return MixtralForCausalLM(
        MixtralConfig(intermediate_size=96, num_hidden_layers=2, num_local_experts=4, **SMALL)
    )  # fmt: skip


def gemma3():
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    return Gemma3ForCausalLM(Gemma3TextConfig(intermediate_size=96, num_hidden_layers=2, head_dim=16, **SMALL))


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=1000, use_cache=False, bos_token_id=1, eos_token_id=1)
    )


def deepseek():
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    return DeepseekV3ForCausalLM(DeepseekV3Config(**{
        **SMALL, "intermediate_size": 96, "num_hidden_layers": 2, "num_key_value_heads": 4, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "moe_intermediate_size": 32, "q_lora_rank": 16,
        "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16,
        "first_k_dense_replace": 1,
    }))  # fmt: skip


def gpt_oss():
    from transformers import GptOssConfig, GptOssForCausalLM

    return GptOssForCausalLM(
        GptOssConfig(intermediate_size=96, num_hidden_layers=2, head_dim=16, num_local_experts=4, **SMALL)
    )


def quantized(bits, *, double_quant=False):
    """A Llama whose linear layers, but for the head, bitsandbytes has quantized."""

    def build():
        model = llama()
        for name, linear in list(model.named_modules()):
            if isinstance(linear, torch.nn.Linear) and name != "lm_head":
                owner, _, leaf = name.rpartition(".")
                setattr(model.get_submodule(owner), leaf, quantized_linear(linear, bits, double_quant))
        return model

    return build


def quantized_linear(linear, bits, double_quant):
    from bitsandbytes import functional
    from bitsandbytes.nn import Int8Params, Linear4bit, Linear8bitLt, Params4bit

    with torch.device("cpu"):  # kept for the process: without data it would be there for the real tensors too
        functional.name2qmap.setdefault("dynamic", functional.create_dynamic_map())
    size = linear.in_features, linear.out_features
    weight, device = linear.weight.data, linear.weight.device
    if bits == 8:
        made = Linear8bitLt(*size, bias=False, has_fp16_weights=False, threshold=6.0)
        made.weight = Int8Params(weight, requires_grad=False)._quantize(device)
    else:
        kind = {"quant_type": "nf4", "compress_statistics": double_quant}
        made = Linear4bit(*size, bias=False, **kind)
        made.weight = Params4bit(weight, requires_grad=False, **kind)._quantize(device)
    return made


def lora(**options):
    def wrap(model):
        from peft import LoraConfig, get_peft_model

        return get_peft_model(model, LoraConfig(r=4, task_type="CAUSAL_LM", **options))

    return wrap


def adafactor(parameters):
    from transformers.optimization import Adafactor

    return Adafactor(parameters, lr=1e-3, scale_parameter=False, relative_step=False)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-4)


def adamw_foreach(parameters):
    return torch.optim.AdamW(parameters, lr=1e-4, foreach=True)


def momentum(parameters):
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)


ALL = {"target_modules": "all-linear"}
EXPERTS = {"target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}
CASES = {
    "dora": {"wrap": lora(use_dora=True, lora_dropout=0.1, **ALL)},
    "lora on the embedding": {"wrap": lora(target_modules=["embed_tokens", "q_proj"])},
    "trained embedding and head": {
        "wrap": lora(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    },
    "accumulation and clipping": {"wrap": lora(**ALL), "parts": 2, "clip": 1.0},
    "full, accumulation and clipping": {"parts": 2, "clip": 1.0},
    "adafactor": {"optimizer": adafactor},
    "momentum": {"optimizer": momentum},
    "many tensors at once": {"optimizer": adamw_foreach, "clip": 1.0},
    "reentrant checkpointing": {"wrap": lora(lora_dropout=0.1, **ALL), "reentrant": True},
    "mask": {"wrap": lora(**ALL), "masked": True},
    "bfloat16": {"dtype": torch.bfloat16},
    "bfloat16 with adapters": {"dtype": torch.bfloat16, "wrap": lora(lora_dropout=0.1, **ALL), "clip": 1.0},
    "mixture": {"build": mixtral},
    "mixture in bfloat16": {"build": mixtral, "dtype": torch.bfloat16},
    "experts by parameter": {"build": mixtral, "wrap": lora(**EXPERTS)},
    "experts by parameter, and modules": {"build": gpt_oss, "wrap": lora(target_modules=["q_proj"], **EXPERTS)},
    "LLM.int8": {"build": quantized(8), "wrap": lora(**ALL)},
    "4 bits": {"build": quantized(4), "wrap": lora(lora_dropout=0.1, **ALL), "reentrant": False},
    "4 bits, constants quantized too": {"build": quantized(4, double_quant=True), "wrap": lora(**ALL)},
    "local attention": {"build": gemma3, "wrap": lora(**ALL)},
}


def loop(case, ids):
    """The model of a case, as tensors that exist before, and its training loop, which makes its own optimizer."""
    model = case.get("build", llama)().to(case.get("dtype", torch.float32))
    if "attention" in case:
        model.set_attn_implementation(case["attention"])
    model = case.get("wrap", lambda bare: bare)(model)
    if "reentrant" in case:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": case["reentrant"]})
        model.enable_input_require_grads()
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    mask = torch.ones_like(ids) if case.get("masked") else None
    parts = case.get("parts", 1)

    def run():
        optimizer = case.get("optimizer", adamw)(trained)
        for _ in range(2):
            optimizer.zero_grad()
            for _ in range(parts):
                output = model(input_ids=ids, labels=ids, attention_mask=mask)
                (output.loss / parts).backward()
                del output
            if case.get("clip"):
                torch.nn.utils.clip_grad_norm_(trained, case["clip"])
            optimizer.step()

    constants = [each for parameter in model.parameters() for each in quantization_constants(parameter)]
    return run, [*model.parameters(), *model.buffers(), *constants, ids, *([] if mask is None else [mask])]


def measured(case):
    return profiled_sizes(loop(case, torch.randint(0, 777, (2, 48)))[0])


def simulated(case):
    with torch.device("meta"):
        run, existing = loop(case, torch.empty((2, 48), dtype=torch.int64))
    return traced_sizes(run, existing)


@pytest.mark.parametrize("name", CASES)
def test_peak_and_end_are_the_profilers(name):
    real, ours = measured(CASES[name]), simulated(CASES[name])
    assert levels(ours) == levels(real)
    assert sum(ours) == sum(real)


EVERY = {
    "eager attention": {"attention": "eager"},
    "eager attention, checkpointing": {"attention": "eager", "reentrant": False},
    "eager attention with adapters": {"attention": "eager", "wrap": lora(use_dora=True, lora_dropout=0.1, **ALL)},
    "math attention": {"build": deepseek},
    "tied head": {"build": gpt2},
    "sinks": {"build": gpt_oss},
    "mixture": {"build": mixtral, "attention": "eager"},
    "LLM.int8": {"build": quantized(8), "wrap": lora(**ALL), "attention": "eager"},
    "4 bits": {"build": quantized(4, double_quant=True), "wrap": lora(**ALL), "attention": "eager"},
}


@pytest.mark.parametrize("name", EVERY)
def test_every_allocation_is_the_profilers(name):
    """Not the highest level alone: each tensor of 4 KiB or more that the real step makes, and no other."""

    def made(sizes):
        return Counter(size for size in sizes if size >= SMALLEST)

    assert made(simulated(EVERY[name])) == made(measured(EVERY[name]))
