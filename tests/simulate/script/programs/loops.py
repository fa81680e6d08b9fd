"""Training loops put together from pieces.

No scalars are made on the device, so that a CPU, which makes tensors of Python numbers too, allocates what a card does.
"""

import torch
from measuring import DEVICE
from torch import nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    def __init__(self, width, *, recomputed):
        super().__init__()
        self.up = nn.Linear(width, 2 * width, bias=False, device=DEVICE)
        self.down = nn.Linear(2 * width, width, bias=False, device=DEVICE)
        self.recomputed = recomputed

    def inside(self, x):
        return x + self.down(torch.tanh(self.up(x)))

    def forward(self, x):
        if self.recomputed and self.training:
            return checkpoint(self.inside, x, use_reentrant=False, preserve_rng_state=False)
        return self.inside(x)


def build(spec):
    width = 128 * spec["width"]
    model = nn.Sequential(*(Block(width, recomputed=spec["checkpoint"]) for _ in range(spec["depth"])))
    for block in model[: spec["frozen"]]:
        block.requires_grad_(requires_grad=False)
    parameters = [p for p in model.parameters() if p.requires_grad] or list(model.requires_grad_().parameters())
    momentum = 0.9 if spec["momentum"] else 0.0
    return model, parameters, torch.optim.SGD(parameters, lr=0.1, momentum=momentum, foreach=False)


def accumulate(spec, model, held):
    for _ in range(spec["accumulate"]):
        x = torch.ones(128 * spec["rows"], 128 * spec["width"], device=DEVICE)
        loss = model(x).exp()
        loss.backward(torch.ones_like(loss))
        if spec["hold"]:
            held.append(loss.detach() if spec["hold"] == "detached" else loss)
        if spec["let_go"]:
            del loss, x


def run(spec):
    model, parameters, optimizer = build(spec)
    held = []
    for step in range(spec["steps"]):
        model.train()
        optimizer.zero_grad(set_to_none=spec["to_none"])
        accumulate(spec, model, held)
        if spec["clip"]:
            nn.utils.clip_grad_value_(parameters, 1.0, foreach=False)
        if spec["gradients"] and step == 0:
            held += [p.grad.clone() for p in parameters]
        optimizer.step()
        if spec["evaluate"]:
            model.eval()
            with torch.no_grad():
                held.append(model(torch.ones(256 * spec["rows"], 128 * spec["width"], device=DEVICE)).exp())
    if spec["drop"]:
        held.clear()
    return model, optimizer, held
