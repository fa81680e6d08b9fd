"""Tracebacks in every form: Python's, rich's boxes, notebooks old and new; whose frame it is, and what it was doing."""

# ruff: noqa: E501 -- messages and lines of code as they are printed

import pytest

import inspector

MESSAGE = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 130.00 MiB."
FORMS = {
    "python": """Traceback (most recent call last):
  File "/home/me/train.py", line 12, in main
    trainer.train()
  File "/home/me/env/lib/python3.11/site-packages/bitsandbytes/functional.py", line 900, in dequantize_4bit
    out = torch.empty(quant_state.shape, dtype=quant_state.dtype, device=A.device)
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^""",
    "windows": r"""Traceback (most recent call last):
  File "C:\Users\me\train.py", line 12, in main
    trainer.train()
  File "C:\env\Lib\site-packages\bitsandbytes\functional.py", line 900, in dequantize_4bit
    out = torch.empty(quant_state.shape)""",
    "rich": """╭───────────── Traceback (most recent call last) ──────────────╮
│ /home/me/train.py:12 in main                                  │
│                                                               │
│    11 │   trainer = make()                                    │
│ ❱  12 │   trainer.train()                                     │
│    13                                                         │
│ /env/lib/python3.10/site-packages/bitsandbytes/functional.py: │
│ /env/lib/python3.10/site-packages/bitsandbytes/functional.py:900 in dequantize_4bit │
│ ❱ 900 │   out = torch.empty(quant_state.shape)                │
╰───────────────────────────────────────────────────────────────╯""",
    "notebook": """---------------------------------------------------------------------------
OutOfMemoryError                          Traceback (most recent call last)
Cell In[5], line 12
     11 x = 1
---> 12 trainer.train()

File /usr/local/lib/python3.11/dist-packages/bitsandbytes/functional.py:900, in dequantize_4bit(A, quant_state)
    899 x
--> 900 out = torch.empty(quant_state.shape)
""",
    "old notebook": """<ipython-input-5-abc> in <module>
     11 x = 1
---> 12 trainer.train()

/usr/local/lib/python3.8/dist-packages/bitsandbytes/functional.py in dequantize_4bit(A, quant_state)
--> 900 out = torch.empty(quant_state.shape)
""",
}


@pytest.mark.parametrize("form", FORMS)
def test_whose_line_it_was(form):
    (error,) = inspector.explain_error(f"{FORMS[form]}\n{MESSAGE}", "qwen2.5-7b").errors
    assert (error.own.line, error.own.code, error.own.library) == (12, "trainer.train()", "")
    assert (error.library.library, error.library.line) == ("bitsandbytes", 900)
    assert "quant_state.shape" in error.library.code
    assert error.operator.name == "dequantizing a weight"
    best = error.named.tensor
    assert (best.what, best.formula) == ("MLP weight dequantized to 16 bit", "18944 x 3584 x 2")
    assert error.named.certainty == "certain"


DOING = {
    # the user's line, then lines of libraries inwards: path below site-packages, function, code
    "cross-entropy": [("torch/nn/functional.py", "cross_entropy", "return torch._C._nn.cross_entropy_loss(")],
    "logits in float32": [("accelerate/utils/operations.py", "_convert_to_fp32", "return tensor.float()")],
    "logits": [("transformers/models/llama/modeling_llama.py", "forward", "logits = self.lm_head(hidden_states)"),
               ("torch/nn/modules/linear.py", "forward", "return F.linear(input, self.weight, self.bias)")],
    "attention scores": [("transformers/models/x.py", "eager", "attn_weights = nn.functional.softmax(attn_weights, dim=-1)"),
                         ("torch/nn/functional.py", "softmax", "ret = input.softmax(dim, dtype=dtype)")],
    "gathering parameters": [("torch/distributed/fsdp/_flat_param.py", "_all_gather_flat_param", "dist.all_gather_into_tensor(")],
    "the optimizer": [("torch/optim/adamw.py", "_multi_tensor_adamw", "exp_avg_sq_sqrt = torch._foreach_sqrt(exp_avgs)")],
    "8-bit weights": [("bitsandbytes/autograd/_functions.py", "undo_layout", "outputs = torch.empty_like(tensor)")],
    "the MLP": [("transformers/models/x.py", "forward", "return self.down_proj(self.act_fn(self.gate_proj(x)))"),
                ("torch/nn/modules/module.py", "_call_impl", "return forward_call(*args, **kwargs)")],
    "the key-value cache": [("transformers/cache_utils.py", "update", "self.keys = torch.cat([self.keys, key_states])")],
    "the embedding": [("torch/nn/functional.py", "embedding", "return torch.embedding(weight, input)")],
    "a norm": [("transformers/models/x.py", "forward", "hidden_states = hidden_states.to(torch.float32)")],
    "gathering the evaluation's logits": [("transformers/trainer_pt_utils.py", "nested_concat", "return torch.cat((a, b))")],
    "loading or moving weights": [("torch/nn/modules/module.py", "convert", "return t.to(device, dtype)")],
    "an engine's loading of weights": [("vllm/model_executor/layers/linear.py", "create_weights", "weight = torch.empty(sum(sizes))")],
    "merging an adapter": [("peft/tuners/lora/layer.py", "get_delta_weight", "output = transpose(weight_B @ weight_A)")],
    "reducing gradients": [("torch/distributed/fsdp/_runtime_utils.py", "_post_backward_hook", "x")],
    "the backward pass": [("torch/_tensor.py", "backward", "torch.autograd.backward(self, gradient)"),
                          ("torch/autograd/graph.py", "_engine_run_backward", "return Variable._execution_engine.run_backward(")],
}  # fmt: skip


@pytest.mark.parametrize("name", DOING)
def test_what_the_line_was_doing(name):
    lines = ["Traceback (most recent call last):", '  File "train.py", line 3, in <module>', "    main()"]
    for path, function, code in DOING[name]:
        lines += [f'  File "/env/lib/python3.11/site-packages/{path}", line 7, in {function}', f"    {code}"]
    (error,) = inspector.explain_error("\n".join([*lines, MESSAGE])).errors
    assert error.operator.name == name
    assert error.own.place == "train.py:3 in <module>"
    assert error.library.library == DOING[name][-1][0].partition("/")[0]


def test_the_last_traceback_before_the_error_is_its_own():
    text = "\n".join(
        [FORMS["python"], "ValueError: something else", FORMS["python"].replace("line 12", "line 99"), MESSAGE]
    )
    assert inspector.explain_error(text).errors[0].own.line == 99


def test_a_traceback_cut_at_its_beginning_still_has_frames():
    text = FORMS["python"].split("\n", 3)[3]
    error = inspector.explain_error(f"{text}\n{MESSAGE}").errors[0]
    assert (error.own, error.library.function) == (None, "dequantize_4bit")
