"""Which tensor it was: every weight of a model is found again by the size it prints, and nothing is claimed too much."""

# ruff: noqa: E501 -- messages and lines of code as they are printed

import pytest

import inspector
from inspector.explain.operators import OPERATORS
from inspector.explain.sizes import SIZE, as_printed, asked, read_size
from inspector.explain.tensor import named as named_by_size
from inspector.explain.tokens import Batch
from inspector.sources.bundled import load_bundled
from inspector.units import MiB

MODELS = ["meta-llama/Llama-3.2-1B", "google/gemma-3-4b-it", "openai-community/gpt2", "Qwen/Qwen3-30B-A3B"]


def named(nbytes, model="", above="", **options):
    text = f"{above}\nCUDA out of memory. Tried to allocate {as_printed(asked(nbytes))}."
    (error,) = inspector.explain_error(text, model or None, **options).errors
    return error.named


@pytest.mark.parametrize("model", MODELS)
def test_every_weight_is_found_by_what_it_prints(model):
    skeleton = load_bundled(model)
    shapes = {tensor.shape: tensor for tensor in skeleton.parameters if tensor.numel * 2 > 10 * MiB}
    assert shapes
    for shape, tensor in shapes.items():
        found = named(tensor.numel * 2, model)
        assert any(one.tensor_bytes == tensor.numel * 2 for one in found.candidates), shape
        # Its own shape before what code elsewhere would fuse, or a length that was made up.
        assert found.tensor.basis == "the model's shapes"
        assert found.certainty in {"likely", "possible"}


def test_the_names_of_one_model():
    llama = "meta-llama/Llama-3.1-8B"
    for nbytes, what in (
        (14336 * 4096 * 4, "MLP weight in float32"), (128256 * 4096 * 2, "embedding or output head in 16 bit"),
        (4096 * 4096 * 2, "attention projection in 16 bit"), (6144 * 4096 * 2, "fused QKV weight in 16 bit"),
    ):  # fmt: skip
        assert named(nbytes, llama).tensor.what == what
    layer = 2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14336 * 4096 + 2 * 4096
    found = named(layer * 2, llama)
    assert found.tensor.what == "flat parameter of one LlamaDecoderLayer, gathered in 16 bit"
    assert eval(found.tensor.formula) == layer * 2 if "x" not in found.tensor.formula else True  # noqa: S307


def test_formulas_are_what_they_say():
    """The numbers of every formula multiply to its bytes, of which it prints what was printed."""
    for nbytes in (14336 * 4096 * 2, 10 * 2**30 + 123, 404_766_720, 4096 * 128256 * 4, 96 * MiB):
        found = named(nbytes, "meta-llama/Llama-3.1-8B")
        assert found.candidates or found.certainty == "no match"
        for one in found.candidates:
            assert eval(one.formula.replace("x", "*")) == one.tensor_bytes, one.formula  # noqa: S307 -- of our own
            assert one.prints == as_printed(asked(nbytes))


ABOVE = """Traceback (most recent call last):
  File "/env/lib/python3.11/site-packages/{}", line 1, in {}
    {}"""
CE = ABOVE.format("torch/nn/functional.py", "cross_entropy", "return torch._C._nn.cross_entropy_loss(")


def test_the_line_decides_between_sizes():
    """32 MiB is a projection; it is also the keys of 16,384 tokens, or hidden states of 4,096."""
    llama, size = "meta-llama/Llama-3.1-8B", 32 * MiB
    assert named(size, llama).tensor.family == "weight"
    hidden = ABOVE.format(
        "transformers/models/llama/modeling_llama.py", "forward", "hidden_states = hidden_states.to(x)"
    )
    assert named(size, llama, hidden).tensor.what == "hidden states in float32"
    cache = ABOVE.format("transformers/cache_utils.py", "update", "self.keys = torch.cat([self.keys, key_states])")
    assert named(size, llama, cache).tensor.family == "cache"
    state = ABOVE.format("torch/optim/adamw.py", "step", "state['exp_avg'] = torch.zeros_like(p)")
    assert named(2 * size, llama, state).tensor.what.startswith("optimizer state or its temporary, of the attention")


def test_a_module_that_was_called_comes_first():
    """gpt2's projections differ; the one on the line is meant, whatever else prints so."""
    up = ABOVE.format("bitsandbytes/functional.py", "dequantize_4bit", "out = self.up_proj(x)")
    found = named(14336 * 4096 * 2, "meta-llama/Llama-3.1-8B", up)
    assert (found.certainty, "up_proj" in found.tensor.where) == ("certain", True)


def test_a_length_that_was_solved_is_never_certain():
    found = named(16540 * 152064 * 4, "Qwen/Qwen2.5-32B-Instruct", CE)
    assert (found.tensor.what, found.certainty) == ("logits in float32", "likely")
    low, high = (int(word.replace(",", "")) for word in found.tensor.assumes[0].split(" tokens")[0].split(" to "))
    assert low <= 16540 <= high
    # The same size by itself: no weight, so only what tokens make, and none of it more than possible.
    assert named(16540 * 152064 * 4, "Qwen/Qwen2.5-32B-Instruct").certainty == "possible"


def test_a_batch_that_was_said_is_compared():
    """Said, a length is no guess: certain where it makes the size, and a doubt where it does not."""
    llama, nbytes = "meta-llama/Llama-3.1-8B", 4 * 2047 * 128256 * 4
    for size, length, certainty in ((4, 2048, "certain"), (4, 1024, "possible")):
        found = tensor_named(nbytes, llama, Batch(size, length))
        assert found.certainty == certainty
    assert tensor_named(nbytes, llama, Batch(4, 2048)).tensor.formula in {f"4 x {n} x 128256 x 4" for n in (2047, 2048)}


def tensor_named(nbytes, model, batch):
    """As `explain` asks it, without the dry run that settings ask for."""
    (cross_entropy,) = [operator for operator in OPERATORS if operator.name == "cross-entropy"]
    return named_by_size(read_size(as_printed(asked(nbytes))), load_bundled(model), cross_entropy, batch=batch)


@pytest.mark.parametrize("nbytes", [512, MiB, 5 * MiB])
def test_a_small_size_says_nothing(nbytes):
    found = named(nbytes, "meta-llama/Llama-3.1-8B")
    assert (found.certainty, found.candidates) == ("no match", ())
    assert "says nothing" in found.why


def test_without_a_model_the_line_alone_speaks():
    assert (named(4 * 2**30).certainty, named(4 * 2**30).tensor) == ("no match", None)
    found = named(4 * 2**30, "", CE)
    assert (found.certainty, found.sort, found.tensor) == ("line alone", "logits", None)


def test_a_model_that_stands_in_the_log_is_taken_and_never_certain():
    above = f"loading Qwen/Qwen2.5-7B from models--Qwen--Qwen2.5-7B\n{ABOVE.format('bitsandbytes/functional.py', 'dequantize_4bit', 'x')}"
    found = named(18944 * 3584 * 2, "", above)
    assert (found.tensor.formula, found.certainty) == ("18944 x 3584 x 2", "likely")
    assert "read off the text" in found.why
    # Two of them, or another that begins alike, is no answer.
    assert named(18944 * 3584 * 2, "", f"gpt2 openai-community/gpt2\n{above}").tensor is None
    assert named(18944 * 3584 * 2, "", above.replace("Qwen2.5-7B", "Qwen2.5-7B-Mine")).tensor is None


def test_sizes_are_one_pattern():
    import re

    for text in ("512 bytes", "2.00 MiB", "1018.00 KiB", "1,024.50 GiB", "256.00 MB", "17.94 GB"):
        assert re.fullmatch(SIZE, text)
