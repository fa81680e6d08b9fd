"""Habits of scripts, in plain PyTorch: on a card, or for real on a CPU (``DEVICE=cpu``).

``python habits.py FOLDER NAME ...``; the folder is for those that load a model, and none here does.
"""

import argparse
import copy
import gc
import io
import os
import sys
import weakref
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
import yaml
from habits_parts import WIDTH, Block, Rows
from measuring import DEVICE, measured, warm
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from torch.utils.data import DataLoader

CARD = DEVICE == "cuda"


def net(layers=3):
    torch.manual_seed(0)
    return nn.Sequential(*(Block() for _ in range(layers)), nn.Linear(WIDTH, 3)).to(DEVICE)


def rows(count=8):
    return torch.randn(count, 16, WIDTH, device=DEVICE), torch.arange(count, device=DEVICE) % 3


def loss_of(model, x, labels):
    return F.cross_entropy(model(x).mean(1), labels)


def reads_its_settings():
    """argparse beside a file of YAML, and variables of the environment."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text("optim: {lr: 0.001, betas: [0.9, 0.95]}\nbatch: 4\naccumulate: 2\n")
        parser = argparse.ArgumentParser()
        parser.add_argument("--config", type=Path)
        parser.add_argument("--batch", type=int)
        given = parser.parse_args(["--config", str(file), "--batch", os.environ.get("HABITS_BATCH", "8")])
        config = yaml.safe_load(given.config.read_text()) | {"batch": given.batch}
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["optim"]["lr"], betas=config["optim"]["betas"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    for step in range(4):
        loss = loss_of(model, *rows(config["batch"])) / config["accumulate"]
        loss.backward()
        if step % config["accumulate"]:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return model, optimizer, f"{schedule.get_last_lr()[0]:.6f}"


def workers():
    """Loaders with processes, pinned batches, and a prefetcher of their own."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, foreach=False)
    seen = 0
    loader = DataLoader(Rows(16), batch_size=4, num_workers=2, pin_memory=CARD, persistent_workers=True, drop_last=True)
    for _ in range(2):
        for x, labels in loader:
            x, labels = x.to(DEVICE, non_blocking=True), labels.to(DEVICE, non_blocking=True)
            loss_of(model, x, labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            seen += int(labels.sum())
    return model, optimizer, seen


def keeps_and_takes_up():
    """Optimizer and model through a file and through memory, the average of weights beside."""
    model = net()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True)
    for _ in range(2):
        loss_of(model, *rows()).backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 2}, buffer)
    buffer.seek(0)
    held = torch.load(buffer, map_location="cpu", weights_only=True)
    other = net()
    other.load_state_dict(held["model"])
    again = torch.optim.Adam(other.parameters(), lr=1e-3, amsgrad=True)
    again.load_state_dict(held["optimizer"])
    loss_of(other, *rows()).backward()
    again.step()
    best = copy.deepcopy(other.state_dict())
    del model, optimizer, held
    gc.collect()
    if CARD:
        torch.cuda.empty_cache()
    return other, again, average, best, len(best)


def hooks():
    """Forward hooks that keep, hooks of tensors and parameters, an optimizer that steps in the backward."""
    model = net()
    kept, norms, alive = {}, [], []
    handles = [each.register_forward_hook(lambda _m, _i, out, n=n: kept.__setitem__(n, out.detach()))
               for n, each in enumerate(model)]  # fmt: skip
    steps = {each: torch.optim.SGD([each], lr=1e-3) for each in model.parameters()}

    def stepped(parameter):
        steps[parameter].step()
        steps[parameter].zero_grad()

    for each in model.parameters():
        each.register_post_accumulate_grad_hook(stepped)
    model[0].up.register_full_backward_hook(lambda _m, _i, out: norms.append(out[0].shape))
    for _ in range(2):
        x, labels = rows()
        x.requires_grad_()
        x.register_hook(lambda grad: grad * 0.5)
        alive.append(weakref.ref(x))
        loss_of(model, x, labels).backward()
    for each in handles:
        each.remove()
    del x
    gc.collect()
    left = [each.grad is None for each in model.parameters()]
    return model, kept, steps, (len(norms), [each() is None for each in alive], all(left))


def checkpoints():
    """By hand, both kinds, and by parts; random numbers kept."""
    model = net(4)
    for reentrant in (True, False):
        x, labels = rows()
        x.requires_grad_()
        for block in model[:-1]:
            x = checkpoint(block, x, use_reentrant=reentrant, preserve_rng_state=True)
        F.cross_entropy(F.dropout(model[-1](x), 0.0).mean(1), labels).backward()
        del x
    x, labels = rows()
    F.cross_entropy(checkpoint_sequential(model, 2, x.requires_grad_(), use_reentrant=False).mean(1), labels).backward()
    return model, None


def streams():
    """A stream beside, events, synchronizing; timing is a number."""
    model = net()
    begin = torch.cuda.Event(enable_timing=True) if CARD else None
    end = torch.cuda.Event(enable_timing=True) if CARD else None
    beside = torch.cuda.Stream() if CARD else None
    taken = 0.0
    for _ in range(2):
        with torch.cuda.stream(beside) if CARD else nullcontext():
            x, labels = rows()
        if CARD:
            torch.cuda.current_stream().wait_stream(beside)
            x.record_stream(torch.cuda.current_stream())
            begin.record()
        loss_of(model, x, labels).backward()
        if CARD:
            end.record()
            torch.cuda.synchronize()
            taken += begin.elapsed_time(end)
        model.zero_grad()
    return model, taken >= 0


def mixed():
    """Autocast and a scaler, inference mode for the evaluation, the best kept on the host."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    best = None
    for _ in range(2):
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            loss = loss_of(model, *rows())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        model.eval()
        with torch.inference_mode():
            scores = torch.cat([model(rows(4)[0]).mean(1) for _ in range(3)])
        model.train()
        best = {name: each.detach().cpu().clone() for name, each in model.state_dict().items()}
    return model, optimizer, best, tuple(scores.shape)


def convolutions():
    """No language at all: convolutions, running means, a picture's sizes."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    ).to(DEVICE)  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    right = 0
    for _ in range(2):
        x, labels = torch.randn(8, 3, 32, 32, device=DEVICE), torch.arange(8, device=DEVICE) % 10
        out = model(x)
        F.cross_entropy(out, labels, label_smoothing=0.1).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        right += out.argmax(1).eq(labels).sum().item() >= 0
    return model, optimizer, (right, int(model[1].num_batches_tracked))


if __name__ == "__main__":
    said = {}

    def told(name):
        def run():
            *kept, said[name] = globals()[name]()
            return kept

        return run

    warm()
    for name, most, rest in measured({name: told(name) for name in sys.argv[2:]}):
        print("PIECE", name, most, rest)
        print("SAYS", name, said[name], flush=True)
