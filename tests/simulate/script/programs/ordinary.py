"""What ordinary scripts do, one after the other, in plain PyTorch: on a card (``DEVICE=cuda``) or for real on a CPU."""

import gc
import math
import os
import random
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

DEVICE = os.environ.get("DEVICE", "cuda")
WIDTH, CLASSES, IGNORED = 256, 9, -100


def say(*words):
    print("SAYS", *words, flush=True)


def peak(name):
    allocated = torch.cuda.max_memory_allocated() if DEVICE == "cuda" else 0
    print("PEAK", name, allocated, flush=True)
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()


def looks_at_its_card():
    """Half precision and batch by what the card can do and holds."""
    if DEVICE == "cuda":
        properties = torch.cuda.get_device_properties(0)
        free, total = torch.cuda.mem_get_info()
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        print("CARD", properties.name, "%d.%d" % torch.cuda.get_device_capability(), total, free, native)
        assert total == properties.total_memory
        assert 0 < free < total
    say("cards", torch.cuda.device_count() if DEVICE == "cuda" else 1)


def balanced_loss(logits, labels):
    """Over labelled tokens only, by how often each class comes: sizes that only the labels know."""
    chosen = labels != IGNORED
    logits, labels = logits[chosen], labels[chosen]
    classes, where, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    say("labelled", logits.shape[0], "classes", classes.tolist(), "most", counts.max().item())
    weights = counts.sum() / (len(classes) * counts.float())
    return (F.cross_entropy(logits, labels, reduction="none") * weights[where]).mean()


def masked_labels():
    model = nn.Linear(WIDTH, CLASSES).to(DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    best, skipped = math.inf, 0
    for number in range(4):
        generator = torch.Generator().manual_seed(number)
        labels = torch.randint(0, CLASSES, (8, 64), generator=generator)
        labels[torch.rand((8, 64), generator=generator) < 0.3 + 0.1 * number] = IGNORED
        loss = balanced_loss(model(torch.randn(8, 64, WIDTH).to(DEVICE)), labels.to(DEVICE))
        value = loss.item()
        if math.isnan(value) or value > 1000 * best:
            skipped += 1
            continue
        best = min(best, value)
        optimizer.zero_grad()
        loss.backward()
        if torch.isfinite(nn.utils.clip_grad_norm_(model.parameters(), 1.0)):
            optimizer.step()
    say("skipped", skipped)


def pad(rows):
    longest = max(map(len, rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return {"ids": ids, "mask": mask}


def batches_of_their_own_length():
    rng = random.Random(7)
    rows = [[rng.randrange(1, 100) for _ in range(rng.randint(32, 512))] for _ in range(16)]
    embed, head = nn.Embedding(100, WIDTH).to(DEVICE), nn.Linear(WIDTH, 100).to(DEVICE)
    for batch in DataLoader(rows, batch_size=4, collate_fn=pad, num_workers=0, pin_memory=False):
        batch = {name: tensor.to(DEVICE) for name, tensor in batch.items()}
        head(embed(batch["ids"])).logsumexp(-1).mul(batch["mask"]).sum().backward()
        say("batch", tuple(batch["ids"].shape), "real", int(batch["mask"].sum()))
        peak(f"length {batch['ids'].shape[1]}")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.head = nn.Linear(WIDTH, WIDTH, bias=False)
        self.head.weight = self.layers[0].weight

    def forward(self, x):
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return self.head(x)


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        model(torch.randn(128, WIDTH, device=DEVICE)).square().mean().backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def state_bytes(optimizer):
    tensors = [t for state in optimizer.state.values() for t in state.values() if t.dim()]
    return sum(t.numel() * t.element_size() for t in tensors)


def now(name, before):
    print("NOW", name, torch.cuda.memory_allocated() - before if DEVICE == "cuda" else 0, flush=True)


def saves_and_goes_on():
    before = torch.cuda.memory_allocated() if DEVICE == "cuda" else 0
    model = Net().to(DEVICE)
    now("loaded", before)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=True)
    peak("nothing")
    train(model, optimizer, 3)
    peak("first")
    now("trained", before)
    file = Path(tempfile.mkdtemp()) / "state.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    say("state", state_bytes(optimizer), "file holds it", file.stat().st_size >= state_bytes(optimizer))
    del model, optimizer
    gc.collect()
    now("let go", before)
    model = Net().to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=True)
    saved = torch.load(file, map_location=DEVICE, weights_only=True)
    say("loaded", [str(key) for key in model.load_state_dict(saved["model"])], sorted(saved["optimizer"]))
    optimizer.load_state_dict(saved["optimizer"])
    del saved
    say("state again", state_bytes(optimizer))
    peak("loading")
    train(model, optimizer, 2)
    peak("second")
    model(torch.randn(128, WIDTH, device=DEVICE)).square().mean().backward()
    model.cpu()  # with its gradients, as Lightning does in the end
    say("away", model.head.weight.device, model.head.weight.grad.device)
    now("away", before)
    small = nn.Linear(4, 4).to(DEVICE)  # whose few values are kept
    small(torch.ones(1, 4, device=DEVICE)).sum().backward()
    say("small", small.cpu().weight.grad is not None, small.to(DEVICE).bias.grad is not None)


if __name__ == "__main__":
    looks_at_its_card()
    masked_labels()
    peak("masked")
    batches_of_their_own_length()
    saves_and_goes_on()
