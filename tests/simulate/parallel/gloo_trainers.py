"""Trainers of transformers and TRL on real ranks over gloo, and the same ranks as they are simulated by options.

``python -m tests.simulate.parallel.gloo_trainers CASE ...`` prints what the profiler saw, for each case a list a rank.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from tests.simulate.cpu_sizes import levels
from tests.simulate.parallel.gloo_made import LENGTH, PROMPT, SAMPLES, made
from tests.simulate.parallel.gloo_ranks import lowest, of_the_program
from tests.simulate.parallel.gloo_tensor import SMALL

SMALLEST = 1024
"""Bytes from which an allocation is compared. Below are a CPU's own batches and masks (of 4 x 16 ids at most), which a
loader makes ahead, and the numbers of the trainer's log."""


@dataclass(frozen=True)
class Case:
    """A training by ``words`` of sharing, with what its options say; ``evaluates`` compares the evaluation after it."""

    words: str
    ranks: int = 2
    said: dict = field(default_factory=dict)
    evaluates: bool = False


LORA = {"method": "lora", "r": 4, "alpha": 4, "target_modules": ["q_proj", "v_proj"]}
EVALUATED = {"eval_batch": 2, "eval_batches": 5, "eval_gather": "logits"}
CASES = {
    "ddp": Case("ddp"),
    "fsdp2": Case("fsdp2"),
    "fsdp1": Case("fsdp1"),
    "cp": Case("cp:2+fsdp2", said={"attention": "sdpa"}),
    "cp of 4": Case("cp:2+fsdp2", ranks=4, said={"attention": "sdpa"}),
    **{f"{words} evaluates": Case(words, said=EVALUATED, evaluates=True) for words in ("ddp", "fsdp2", "fsdp1")},
    "fsdp2 lora": Case("fsdp2", said=LORA),
    **{f"{words} dpo lora": Case(words, said={"objective": "dpo", **LORA}) for words in ("ddp", "fsdp2")},
    **{f"{words} {kind}": Case(words, said={"objective": kind}) for words in ("ddp", "fsdp2")
       for kind in ("dpo", "orpo", "reward", "kto")},
    "ddp gkd": Case("ddp", said={"objective": "gkd"}),
}  # fmt: skip


def settings(case):
    """What is said of it by options."""
    usual = {
        "method": "full", "dtype": "float32", "gpu": "A100-80GB", "seq_len": LENGTH, "batch_size": SAMPLES, "steps": 2,
        "attention": "eager", "optimizer": "adamw_torch", "grad_clip": 1.0, "gradient_checkpointing": False,
        "use_cache": False, "optimizer_by": "trainer", "outputs": "loss", "zero_grad": "after",
    }  # fmt: skip
    if "objective" in case.said:
        usual["prompt_len"] = PROMPT
    return {**usual, **case.said}


# -- for real -----------------------------------------------------------------------------------------------------


def real(name, rank, folder, store):
    """Bytes in order as this rank's profiler saw them; those freed are below zero."""
    case = CASES[name]
    world = str(case.ranks)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=world, LOCAL_WORLD_SIZE=world,
                      OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")  # fmt: skip
    dist.init_process_group("gloo", store=store, rank=rank, world_size=case.ranks)
    gather = dist.all_gather_into_tensor

    def by_number(whole, part, *more, **said):
        """gloo minds the shape of what it has room for, NCCL how much that is."""
        return gather(whole.view(-1), part.view(-1), *more, **said)

    dist.all_gather_into_tensor = by_number
    return lowest(lambda: once(case, folder), SMALLEST - 1)


def once(case, folder):
    trainer = made(case, folder)
    seen = Window()
    if not case.evaluates:
        trainer.add_callback(seen.of_the_second_step())
    with ring_on_a_cpu():
        trainer.train()
    if case.evaluates:
        with seen:
            trainer.evaluate()
    return seen.sizes


class Window:
    """What the profiler sees while it is open."""

    def __enter__(self):
        self.profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True, with_stack=False)
        self.profiler.__enter__()

    def __exit__(self, *error):
        self.profiler.__exit__(*error)
        self.sizes = list(of_the_program(self.profiler.profiler.kineto_results.experimental_event_tree()))

    def of_the_second_step(self):
        from transformers import TrainerCallback

        window = self

        class Steps(TrainerCallback):
            def on_step_begin(self, args, state, control, **_more):
                if state.global_step == 1:
                    window.__enter__()

            def on_step_end(self, args, state, control, **_more):
                if state.global_step == 2:
                    window.__exit__(None, None, None)

        return Steps()


def ring_on_a_cpu():
    """PyTorch's ring, told of a CPU's kernel: it knows those of cards."""
    from unittest import mock

    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor.experimental._context_parallel import _attention as ring

    aten = torch.ops.aten
    forward = aten._scaled_dot_product_flash_attention_for_cpu
    backward = aten._scaled_dot_product_flash_attention_for_cpu_backward.default

    def handled(operator, args, kwargs):
        whole = args[0]
        local = [each._local_tensor if isinstance(each, DTensor) else each for each in args]
        mesh, scale = whole.device_mesh.get_group(), kwargs.get("scale")
        if operator is backward:
            gradient, query, key, value, out, lse, dropout, causal = local
            found = ring._templated_ring_attention_backward(
                mesh, 2, backward, grad_out=gradient, grad_out_name="grad_out", query=query, key=key, value=value,
                out=out, logsumexp=lse, is_causal=causal, dropout_p=dropout, scale=scale,
            )  # fmt: skip
        else:
            query, key, value, dropout, causal = [*local, 0.0, False][:5]
            found = ring._templated_ring_attention(
                mesh, 2, forward, query=query, key=key, value=value, is_causal=causal, dropout_p=dropout, scale=scale
            )
        wrap = [DTensor.from_local(each, whole.device_mesh, whole.placements, run_check=False) for each in found]
        return tuple(wrap)

    return mock.patch.dict(ring.custom_ops, {forward.default: handled, backward: handled})


def compared(name, rank, real):
    """What of a rank is not the same: highest and last level of both, and what of ours is not among theirs."""
    made = simulated(name, rank)
    ours = [nbytes for nbytes, _ in made]
    found = {"real": list(levels(real, SMALLEST - 1)), "ours": list(levels(ours, SMALLEST - 1))}
    missing = Counter(each for each in ours if abs(each) >= SMALLEST) - Counter(real)
    return found | {"missing": sorted(missing.elements())}


# -- simulated ----------------------------------------------------------------------------------------------------


def simulated(name, rank):
    """The same of a rank without others: each size, and what made it."""
    import bitsandbytes  # noqa: F401 -- it makes tables as it is imported, which trainers do at some time

    from inspector.architecture.own_random import own_random_numbers
    from inspector.patched import patched
    from inspector.simulate.device.attention import sdpa_on_cpu
    from inspector.simulate.device.autocast import no_autocast
    from inspector.simulate.device.decompositions import decomposed_as
    from inspector.simulate.device.kernels import cpu_kernels
    from inspector.simulate.device.random_numbers import NOT_THE_CALLERS
    from inspector.simulate.finetuning import question
    from inspector.simulate.parallel.rank_tracer import RankTracer
    from inspector.simulate.parallel.ranks import WAYS
    from inspector.simulate.parallel.world import as_rank
    from inspector.simulate.program import objectives
    from inspector.simulate.program.training import Loop
    from inspector.simulate.setup.parallel import read
    from inspector.simulate.tracing.answers import answers

    case, said = CASES[name], settings(CASES[name])
    stack = ExitStack()
    if said.get("objective") == "gkd":
        said["teacher"] = stack.enter_context(tempfile.TemporaryDirectory())
        Path(said["teacher"], "config.json").write_text(json.dumps(config()))
    asked = question(config(), **said)
    setup, parallel = asked.resolved.setup, read(case.words, case.ranks)
    # As transformers' Trainer wraps a model without checkpointing, and as accelerate does for it.
    as_trainer = {
        "ddp": {"find_unused_parameters": True},
        "fsdp1": {"use_orig_params": True, "backward_prefetch": "none"},
        "fsdp2": {"wrap": "trainer"},
    }[case.words.rpartition("+")[2]]
    parallel = replace(parallel, **as_trainer)
    tracer = RankTracer(cpu_kernels(), cards=case.ranks)
    tracer.answer = answers(lambda: LENGTH)
    spread = WAYS[parallel.strategy](parallel, tracer)
    with stack:
        for context in (
            as_rank(tracer, rank, case.ranks), spread.surroundings(), own_random_numbers(), no_autocast(),
            patched(NOT_THE_CALLERS), decomposed_as({"scaled_dot_product_attention": sdpa_on_cpu}), ring_on_a_cpu(),
            without_triton(),
        ):  # fmt: skip
            stack.enter_context(context)
        Loop(objectives.of_its_class(asked.config, setup.objective), setup, tracer, None, spread).run()
    return of_the_window(tracer.events(), "evaluation" if case.evaluates else "")


def without_triton():
    """TRL's own fused head as it is on a CPU, where it scores every position and not those of the answers alone."""
    from unittest import mock

    from inspector.simulate.program.objectives import dpo, kto, log_probs, odds

    def head(model, _tracer, _autocast, _answered):
        from trl.trainer.utils import add_fused_lm_head

        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        add_fused_lm_head(base, outputs=("log_probs",))
        fused = base.forward

        def forward(*args, **kwargs):
            found = fused(*args, **kwargs)
            return [found.log_probs] if kwargs.get("fused_lm_head") else found

        base.forward = forward

    stack = ExitStack()
    stack.enter_context(mock.patch.object(dpo, "FusedHead", head))
    stack.enter_context(mock.patch.object(kto, "FusedHead", head))
    stack.enter_context(mock.patch.object(odds, "selected_fused", log_probs.selected))
    return stack


def of_the_window(events, stage):
    """Each size of the second step, or of a stage, and what made it; those freed are below zero."""
    from inspector.simulate.events import Alloc, Free, Mark

    made, sizes, inside = {}, [], False
    for event in events:
        if isinstance(event, Mark):
            inside = event.stage == stage if stage else event.step == 1 and event.stage in IN_A_STEP
        elif isinstance(event, Alloc) and inside:
            made[event.block] = event
            sizes.append((event.nbytes, event.source))
        elif isinstance(event, Free) and event.block in made:
            gone = made.pop(event.block)
            if inside:
                sizes.append((-gone.nbytes, gone.source))
    return sizes


IN_A_STEP = {"forward", "backward", "optimizer"}


def config():
    said = {key: value for key, value in SMALL.items() if key != "attn_implementation"}
    return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "float32", "pad_token_id": 0, **said,
            "vocab_size": 301}  # fmt: skip


# -- processes ----------------------------------------------------------------------------------------------------


def measured(name):
    """One list a rank, each from a process of its own; this one is the store's master, and no rank."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from inspector.simulate.script.child.tokenizer import write_tokenizer

    case = CASES[name]
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        said = {key: value for key, value in config().items() if key not in {"architectures", "dtype", "model_type"}}
        AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **said)).save_pretrained(folder)
        write_tokenizer(Path(folder), json.loads(Path(folder, "config.json").read_text()), "small")
        ends = [fork(name, rank, folder, store.port) for rank in range(case.ranks)]
        found = []
        for end, child in ends:
            with os.fdopen(end) as stream:
                found.append(json.loads(stream.read() or "null"))
            os.waitpid(child, 0)
    return found


def fork(name, rank, folder, port):
    end, mine = os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        torch.set_num_threads(1)
        os.dup2(2, 1)  # trainers print
        if "GLOO_SAYS" not in os.environ:
            # What gloo and the profiler say of themselves is nobody's.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            with os.fdopen(mine, "w") as stream:
                json.dump(real(name, rank, folder, dist.TCPStore("127.0.0.1", port, is_master=False)), stream)
        except Exception:  # noqa: BLE001 -- a process of its own says what it was
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(mine)
    return end, child


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # before the first product: a child would wait for threads that it has not
    sys.stdout.write(json.dumps({name: measured(name) for name in sys.argv[1:]}) + "\n")
