"""Ways of holding and letting go of tensors, a function each, and loops given as JSON: what each takes and leaves."""

import copy
import gc
import json
import sys
import weakref
from functools import partial

import torch
import torch.nn.functional as F
from loops import run
from measuring import DEVICE, measured
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

N = 256
PIECES = {}


def piece(function):
    PIECES[function.__name__] = function
    return function


def ones(*shape, grad=False):
    return torch.ones(shape or (N, N), device=DEVICE, requires_grad=grad)


@piece
def nested_functions():
    def outer():
        held = ones()

        def inner():
            return held + held

        return inner

    call = outer()
    return call(), call


@piece
def a_generator_between_its_values():
    def values():
        for _ in range(3):
            x = ones()
            yield x.exp()

    stream = values()
    next(stream)
    return next(stream), stream


@piece
def an_exception_that_keeps_its_frames():
    def fail():
        activations = [ones() for _ in range(3)]
        raise ValueError(len(activations))

    try:
        fail()
    except ValueError as error:
        kept = error
    return kept


@piece
def an_exception_that_is_let_go():
    def fail():
        activations = [ones() for _ in range(3)]
        raise ValueError(len(activations))

    try:
        fail()
    except ValueError:
        pass
    gc.collect()
    return ones()


@piece
def del_in_a_loop():
    total = ones()
    for _ in range(4):
        x = total + total
        y = x.exp()
        del x
        total = y
        del y
    return total


@piece
def no_del_in_a_loop():
    total = ones()
    for _ in range(4):
        x = total + total
        total = x.exp()
    return total


@piece
def views_of_views():
    x = ones(4, N, N)
    return x[0].t()[: N // 2].reshape(-1)[::2]


@piece
def a_weak_reference():
    x = ones()
    reference = weakref.ref(x)
    del x
    assert reference() is None
    return ones()


@piece
def a_circle_until_it_is_collected():
    class Node:
        pass

    node = Node()
    node.me, node.tensor = node, ones()
    del node
    gc.collect()
    return ones()


@piece
def in_place_on_leaves():
    w = ones(grad=True)
    (w * w).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad.zero_()
    return w


@piece
def out_of_place_under_no_grad():
    w = ones(grad=True)
    with torch.no_grad():
        return torch.add(w, w, out=torch.empty_like(w)), w


@piece
def set_and_resize():
    x, y = ones(), ones(2, N, N)
    x.set_(y)
    y.resize_(N)
    return x


@piece
def as_strided_windows():
    x = ones(N * N)
    return x.as_strided((N, N // 2), (1, 2)).contiguous()


@piece
def copies_into_what_is_there():
    x, y = ones(), torch.empty((N, N), device=DEVICE)
    y.copy_(x)
    y[: N // 2].copy_(x[N // 2 :])
    return y


@piece
def hooks_that_keep():
    kept = []
    x = ones(grad=True)
    y = x.exp()
    y.register_hook(lambda gradient: kept.append(gradient + gradient))
    y.sum().backward()
    return kept, x


@piece
def module_hooks():
    layer = nn.Linear(N, N, bias=False, device=DEVICE)
    kept = []
    layer.register_forward_hook(lambda module, given, made: kept.append(made.detach().clone()))
    layer(ones()).exp().sum().backward()
    return kept, layer


@piece
def double_backward():
    x = ones(grad=True)
    y = (x * x * x).sum()
    (first,) = torch.autograd.grad(y, x, create_graph=True)
    first.sum().backward()
    return x


@piece
def retained_graph():
    x = ones(grad=True)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x, y


@piece
def an_own_function():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient * (x + x + x) * x

    x = ones(grad=True)
    Cube.apply(x).sum().backward()
    return x


@piece
def packed_saved_tensors():
    x = ones(grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t.float()):
        y = (x.exp() * x.sin()).sum()
    y.backward()
    return x


@piece
def checkpointed():
    layers = nn.ModuleList(nn.Linear(N, N, bias=False, device=DEVICE) for _ in range(3))
    x = ones()
    for layer in layers:
        x = checkpoint(lambda y, layer=layer: F.relu(layer(y)), x, use_reentrant=False, preserve_rng_state=False)
    x.exp().sum().backward()
    return layers


@piece
def checkpointed_in_sequence():
    layers = nn.Sequential(*(nn.Linear(N, N, bias=False, device=DEVICE) for _ in range(4)))
    x = ones(grad=True)
    checkpoint_sequential(layers, 2, x, use_reentrant=False, preserve_rng_state=False).exp().sum().backward()
    return layers


@piece
def deep_copies():
    layer = nn.Linear(N, N, bias=False, device=DEVICE)
    return layer, copy.deepcopy(layer)


@piece
def state_dict_and_back():
    layer = nn.Linear(N, N, bias=False, device=DEVICE)
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    layer.load_state_dict(state)
    return layer, state


@piece
def functions_of_functions():
    w, x = ones(), ones()
    return torch.func.grad(lambda w: (x * w).exp().sum())(w)


@piece
def mapped_over_a_batch():
    return torch.func.vmap(lambda a, b: a * b + a)(ones(4, N, N), ones(4, N, N))


@piece
def a_tied_weight():
    first, second = (nn.Linear(N, N, bias=False, device=DEVICE) for _ in range(2))
    second.weight = first.weight
    second(first(ones())).exp().sum().backward()
    return first, second


@piece
def accumulated_gradients():
    w = ones(grad=True)
    for _ in range(3):
        (w + w).exp().sum().backward()
    return w


@piece
def losses_that_are_kept_with_their_graphs():
    w = ones(grad=True)
    return [(w + w).exp().sum() for _ in range(3)]


@piece
def clipped_gradients():
    parameters = [ones(grad=True) for _ in range(3)]
    sum((p * p).sum() for p in parameters).backward()
    nn.utils.clip_grad_norm_(parameters, 1.0, foreach=False)
    return parameters


@piece
def a_subclass():
    class Named(torch.Tensor):
        pass

    return (ones().as_subclass(Named).exp()).sin()


@piece
def a_frozen_half():
    layers = nn.Sequential(*(nn.Linear(N, N, bias=False, device=DEVICE) for _ in range(4)))
    layers[:2].requires_grad_(requires_grad=False)
    layers(ones()).exp().sum().backward()
    return layers


@piece
def products_of_what_is_expanded():
    """A copy for each operand that lies neither in rows nor in columns; one of every second column, too."""
    w = ones(grad=True)
    kept = [
        ones(1, N).expand(N, N) @ w,
        ones() @ ones(N, 1).expand(N, N),
        ones(1, 1).expand(N, N) @ ones(2 * N).expand(N, 2 * N)[:, ::2],
    ]
    kept.append(F.linear(ones(N, 2 * N)[:, ::2], w, ones(N)))
    kept.append(ones(N, 2 * N)[:, N:] @ ones(2 * N, N)[::2].t())
    (ones() @ w).sum().backward()  # the gradient of a sum is one number, expanded
    return kept, w


@piece
def inference_mode():
    layer = nn.Linear(N, N, bias=False, device=DEVICE)
    with torch.inference_mode():
        return F.layer_norm(layer(ones(2, N, N)).exp() @ ones(), (N,)).softmax(-1), layer


@piece
def evaluation_in_between():
    layer = nn.Linear(N, N, bias=False, device=DEVICE)
    loss = F.relu(layer(ones())).sum()
    with torch.no_grad():
        F.relu(layer(ones(4, N, N))).sum()
    loss.backward()
    return layer


if __name__ == "__main__":
    # What the first product of a process leaves: the library's workspace, and on a CPU nothing.
    product = nn.Linear(N, N, bias=False, device=DEVICE)
    product(ones()).sum().backward()
    del product
    loops = {f"loop{number}": partial(run, json.loads(text)) for number, text in enumerate(sys.argv[1:])}
    for line in measured(PIECES | loops):
        print("PIECE", *line, flush=True)
