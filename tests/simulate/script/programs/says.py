"""What tensors on the card say of themselves, and values that are known: asserts, as a real card would pass them."""

import copy
import io
import math
import pickle

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn
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

for wrong, said in (
    (lambda: x + torch.ones(3), "Expected all tensors to be on the same device"),
    (lambda: torch.randn(2, 3, device="cuda") @ torch.randn(2, 3, device="cuda"), "cannot be multiplied (2x3 and 2x3)"),
    (lambda: x.numpy(), "can't convert cuda:0 device type tensor to numpy"),
    (lambda: torch.zeros(2, device="cuda:1"), "invalid device ordinal"),
    (lambda: torch.zeros(2, device="cuda") + torch.zeros(3, device="cuda"), "must match the size of tensor b (3)"),
):
    try:
        wrong()
    except (RuntimeError, TypeError) as error:
        assert said in str(error), error
    else:
        raise AssertionError(said)
print("SAID ALL")
