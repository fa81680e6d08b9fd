"""What tensors on the card say of themselves, and values that are known: asserts, as a real card would pass them."""

import copy
import importlib
import io
import math
import pickle
import re

from importlib.metadata import version
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import triton
import triton.language as tl
from torch import nn
from torch.nn.attention.flex_attention import flex_attention
from torch.utils import cpp_extension
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.checkpoint import checkpoint

cuda = torch.device("cuda")
assert torch.cuda.is_available() and torch.cuda.device_count() == 1 and torch.cuda.current_device() == 0
x = torch.zeros(3, device="cuda")
assert x.is_cuda and not x.is_cpu and not x.is_meta and x.device == torch.device("cuda:0") and x.get_device() == 0
assert torch.ones(2).to("cuda").device.type == torch.ones(2).cuda().device.type == "cuda"
assert torch.tensor([1, 2], device=cuda).tolist() == [1, 2] and torch.as_tensor(np.arange(3), device="cuda").sum() == 3
assert torch.empty(2, device=0).is_cuda and torch.device(0) == torch.device("cuda:0")
assert x.to("cuda") is x and x.cpu().device.type == "cpu" and x.new_zeros(2).is_cuda and torch.zeros_like(x).is_cuda
assert torch.empty(2, device="meta").is_meta and torch.empty(2).device.type == "cpu"
with torch.device("cuda"):
    assert torch.zeros(2).is_cuda and torch.tensor([1.0]).is_cuda and nn.Linear(2, 2).weight.is_cuda
with torch.device("meta"):
    assert torch.zeros(2).is_meta and nn.Linear(2, 2).weight.is_meta
assert torch.randn(2, device="cuda", generator=torch.Generator("cuda").manual_seed(1)).is_cuda
assert "cuda:0" in repr(x) and "size=(512, 512)" in repr(torch.randn(512, 512, device="cuda"))
assert (
    x.data_ptr() and x.data_ptr() != torch.zeros(3, device="cuda").data_ptr() and x[1:].data_ptr() == x.data_ptr() + 4
)

with ThreadPoolExecutor(2) as pool:
    assert all(pool.map(lambda n: torch.ones(n).to("cuda").is_cuda and torch.ones(n, device="cuda").sum() == n, [3, 4]))

# Small values are carried by the same operations.
labels = torch.tensor([3, -100, 2, 2, -100, 7]).to("cuda")
chosen = labels != -100
assert labels[chosen].tolist() == [3, 2, 2, 7] and torch.unique(labels[chosen]).tolist() == [2, 3, 7]
assert chosen.sum().item() == 4 and not chosen.all() and bool(chosen.any()) and int(labels.max()) == 7
assert labels.float().mean().item() == (3 - 100 + 2 + 2 - 100 + 7) / 6
view = labels[2:4]
view += 10
assert labels.tolist() == [3, -100, 12, 12, -100, 7], "what is written through a view is seen"
labels[labels == 12] = 5
assert labels.cpu().numpy().tolist() == [3, -100, 5, 5, -100, 7]
assert torch.nonzero(chosen).flatten().tolist() == [0, 2, 3, 5] and torch.bincount(labels.clamp(min=0)).shape == (8,)
logits = torch.randn(6, 4096, 33, device="cuda")
assert logits[chosen].shape == (4, 4096, 33) and logits.masked_select(logits > 0).dim() == 1
assert torch.repeat_interleave(labels, torch.tensor([1, 2, 0, 0, 0, 3], device="cuda")).numel() == 6
assert nn.functional.one_hot(torch.tensor([0, 2], device="cuda"), 3).tolist() == [[1, 0, 0], [0, 0, 1]]

# Tensors change their device in place, transforms wrap them, and inference mode takes no operator apart.
moving = torch.zeros(3, 4)
moving.data = moving.data.cuda()
assert moving.is_cuda
parameter = nn.Parameter(torch.zeros(3, device="cuda"))
parameter.data = torch.zeros(3)
assert parameter.device.type == "cpu" and parameter.requires_grad
rows = torch.randn(3, 8, device="cuda")
assert torch.vmap(lambda row: (row > 0).to(row.device))(rows).is_cuda
with torch.inference_mode():
    made = nn.functional.linear(nn.functional.normalize(rows), torch.randn(5, 8, device="cuda"))
    heads = made.view(1, 1, 3, 5)
    attended = nn.functional.scaled_dot_product_attention(heads, heads, heads)
    assert made.cpu().device.type == "cpu" and attended.half().cpu().numpy().shape == (1, 1, 3, 5)
picked = torch.topk(rows, 5)[1]
assert picked.shape == (3, 5) and picked.max() < 8 and torch.sort(rows, dim=0)[1].max() < 3

# What nobody computed is read by the policies of a healthy run.
big = torch.randn(1000, 1000, device="cuda") @ torch.randn(1000, 1000, device="cuda")
assert math.isfinite(big.sum().item()) and not torch.isnan(big).any() and torch.isfinite(big).all()
assert big.argmax(-1).shape == (1000,) and 0 <= big.argmax().item() < big.numel()
assert big.cpu().numpy().shape == (1000, 1000)

# Modules: moved in place, copied, pickled, saved and loaded; tied weights stay tied.
model = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 50, bias=False))
model[2].weight = model[0].weight
before = [id(p) for p in model.parameters()]
optimizer = torch.optim.AdamW(model.parameters())
model.to("cuda")
assert [id(p) for p in model.parameters()] == before and model[2].weight is model[0].weight
assert all(p.is_cuda for p in optimizer.param_groups[0]["params"]), "an optimizer made before .to sees the card"
twin = copy.deepcopy(model)
assert twin[2].weight is twin[0].weight and twin[0].weight is not model[0].weight and twin[0].weight.is_cuda
assert pickle.loads(pickle.dumps(model.state_dict()))["1.bias"].shape == (16,)
held = io.BytesIO()
torch.save(model.state_dict(), held)
held.seek(0)
assert torch.load(held, map_location="cpu")["0.weight"].device.type == "cpu"
model.load_state_dict(twin.state_dict())

loader = DataLoader(TensorDataset(torch.randint(0, 50, (8, 5))), batch_size=4, num_workers=1, pin_memory=True)
scaler = torch.amp.GradScaler("cuda")
for (ids,) in loader:
    with torch.autocast("cuda", dtype=torch.float16):
        hidden = checkpoint(model[1], model[0](ids.cuda(non_blocking=True)), use_reentrant=False)
        assert hidden.dtype == torch.float16
        with torch.autocast("cuda", enabled=False):
            assert (hidden.float() @ hidden.float().transpose(1, 2)).dtype == torch.float32
        loss = model[2](hidden).float().logsumexp(-1).mean()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    assert nn.utils.clip_grad_norm_(model.parameters(), 1.0).is_cuda
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
assert scaler.get_scale() == 65536.0 and optimizer.state[model[1].bias]["exp_avg"].is_cuda
# Also where small numbers are carried along, and are infinite: a healthy run skips no step.
wide = nn.Parameter(torch.full((4,), 1e30, device="cuda"))
stepped = torch.optim.AdamW([wide])
scaler.scale((wide * 1e38).sum()).backward()
scaler.step(stepped)
scaler.update()
assert scaler.get_scale() == 65536.0 and "exp_avg" in stepped.state[wide]


# In inference mode operators come whole: they are taken apart as elsewhere, and what they give is what it is.
def evaluated():
    layers = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.LayerNorm(64), nn.Dropout(0.5)).cuda()
    made = nn.functional.scaled_dot_product_attention(*[layers(torch.randn(2, 4, 32, 64, device="cuda"))] * 3)
    torch.cuda.reset_peak_memory_stats()
    return torch.einsum("bhld,bhmd->bhlm", made, made).softmax(-1), torch.cuda.max_memory_allocated()


with torch.no_grad():
    plain = evaluated()[1]
with torch.inference_mode():
    scores, peak = evaluated()
    first, places = scores.topk(3, -1)
    assert peak == plain and scores.is_inference() and places.cpu().device.type == "cpu"
assert math.isfinite(scores.mean().item()) and scores[0, 0].topk(30, -1).indices[0].tolist() == list(range(30))
assert scores.argmax().cpu().numpy().shape == () and scores.sort(dim=1)[1].shape == scores.shape

# Compiled in any way that it is written, a model runs as it is and is of PyTorch's own class.
for settings in ({}, {"mode": "max-autotune"}, {"fullgraph": True}, {"dynamic": True}, {"backend": "aot_eager"}):
    compiled = torch.compile(model[1], **settings)
    assert type(compiled).__name__ == "OptimizedModule" and compiled._orig_mod is model[1]
    assert (
        set(compiled.state_dict()) == {"_orig_mod.weight", "_orig_mod.bias"}
        and compiled(torch.ones(2, 16).cuda()).is_cuda
    )
model[1].compile(mode="reduce-overhead")
decorated = torch.compile(mode="max-autotune", fullgraph=True)(lambda a: a.sin())
assert decorated(x).is_cuda and torch.compile(decorated)(x).is_cuda
torch.compiler.reset(), torch._dynamo.reset(), torch.compiler.cudagraph_mark_step_begin()
assert importlib.import_module(
    "torch.utils.flop_counter"
).FlopCounterMode  # asks whether things are kernels of Triton's


@triton.autotune(configs=[triton.Config({"BLOCK": 128}, num_warps=4)], key=["n"])
@triton.jit
def copied(given, made, n, BLOCK: tl.constexpr):
    tl.store(made + tl.arange(0, BLOCK), tl.load(given + tl.arange(0, BLOCK)))


copied[lambda meta: (triton.cdiv(3, meta["BLOCK"]),)](x, torch.empty_like(x), 3)
assert isinstance(triton.runtime.jit.JITFunction, type) and triton.__version__ == version("triton")


# What is not simulated is named where it is come to, in the words of --check.
def named(what):
    importlib.import_module(what) if isinstance(what, str) else what()


for what, words in (
    (lambda: torch.cuda.CUDAGraph(), "CUDA graphs"),
    (lambda: torch.cuda.graph(None).__enter__(), "CUDA graphs"),
    (lambda: torch.cuda.make_graphed_callables(model[1], (x,)), "CUDA graphs"),
    (lambda: nn.DataParallel(model), "nn.DataParallel"),
    (lambda: nn.parallel.DistributedDataParallel(model), "DistributedDataParallel"),
    (lambda: torch.distributed.init_process_group("nccl"), "a process group"),
    (lambda: cpp_extension.load_inline("x", cuda_sources="", functions=["f"]), "an own CUDA extension"),
    (lambda: flex_attention(scores, scores, scores), "flex_attention"),
    ("unsloth", "unsloth"),
    ("vllm.engine", "vLLM"),
    ("deepspeed", "DeepSpeed"),
):
    try:
        named(what)
    except Exception as error:
        assert re.match(rf"train\.py:\d+: {words}: not simulated", str(error)), error
        assert isinstance(error, ImportError) == isinstance(what, str)
    else:
        raise AssertionError(words)

for wrong, said in (
    (lambda: x + torch.ones(3), "Expected all tensors to be on the same device"),
    (lambda: torch.randn(2, 3, device="cuda") @ torch.randn(2, 3, device="cuda"), "cannot be multiplied (2x3 and 2x3)"),
    (lambda: x.numpy(), "can't convert cuda:0 device type tensor to numpy"),
    (lambda: torch.zeros(2, device="cuda:1"), "invalid device ordinal"),
    (lambda: x.cuda(3), "invalid device ordinal"),
    (lambda: torch.cuda.set_device(1), "invalid device ordinal"),
    (lambda: torch.cuda.get_device_properties("cuda:2"), "invalid device ordinal"),
    (lambda: torch.compile(model, mode="fastest"), "Unrecognized mode=fastest"),
    (lambda: torch.compile(model, fulgraph=True), "unexpected keyword argument 'fulgraph'"),
    (lambda: nn.functional.layer_norm(x.half(), (3,), x), "expected scalar type Half but found Float"),
    (
        lambda: nn.functional.cross_entropy(x[None], torch.zeros(1, dtype=torch.int32, device="cuda")),
        "not implemented for 'Int'",
    ),
    (lambda: torch.zeros(2, device="cuda") + torch.zeros(3, device="cuda"), "must match the size of tensor b (3)"),
):
    try:
        wrong()
    except (RuntimeError, TypeError) as error:
        assert said in str(error), error
    else:
        raise AssertionError(said)
print("SAID ALL")
