"""A script under a launcher: it is told what that tells, its groups answer, and its wrappers are the real ones."""

import json
import re

import pytest

from inspector.errors import InspectorError
from inspector.gpus import find_gpu
from inspector.simulate.finetuning import question
from inspector.simulate.script.child.rank.launched import one_of, started_by
from inspector.simulate.script.invocation.typed import parse_invocation
from inspector.simulate.script.running import run
from inspector.simulate.setup.parallel import read
from inspector.simulate.several_cards import finetune_on_cards

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 160,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 997,
    "max_position_embeddings": 128, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip

SHARDED = """
    import os, torch, torch.distributed as dist
    from torch.distributed.fsdp import fully_shard
    from transformers import AutoConfig, AutoModelForCausalLM

    dist.init_process_group("nccl")
    rank, local = dist.get_rank(), int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(local)

    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained("model"), dtype=torch.bfloat16)
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model, reshard_after_forward=True)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step():
        ids = torch.randint(0, 997, (2, 64), device="cuda")
        optimizer.zero_grad(set_to_none=True)
        out = model(input_ids=ids, labels=ids)
        out.loss.backward()
        optimizer.step()

    for _ in range(3):
        step()

    sent = [{"lr": 3} if rank == 0 else None]
    dist.broadcast_object_list(sent, src=0)
    every = [None] * dist.get_world_size()
    dist.all_gather_object(every, {"rank": rank})
    ones = torch.ones(2, device="cuda")
    dist.all_reduce(ones)
    largest = torch.tensor([rank], device="cuda")
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    whole = [torch.empty(1, dtype=torch.int64, device="cuda") for _ in every]
    dist.all_gather(whole, largest)
    part = torch.empty(1, dtype=torch.int64, device="cuda")
    dist.scatter(part, [torch.tensor([10 + n], device="cuda") for n in range(len(every))] if rank == 0 else None)
    dist.barrier()
    print("RANK", rank, sent, every[-1], ones.tolist(), largest.item(), len(whole), part.item(), dist.get_backend())
    if rank == 0:
        torch.save({"lr": 3}, "out.pt")
    dist.destroy_process_group()
"""


WHOLE_STATE = """
    import torch, torch.distributed as dist
    from torch import nn
    from torch.distributed.fsdp import FullOptimStateDictConfig, FullStateDictConfig, StateDictType
    from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    dist.init_process_group("nccl")
    torch.cuda.set_device(dist.get_rank())
    # Rank 0 has nothing of the last bias, the others little of the first weight.
    model = nn.Sequential(nn.Linear(64, 256), nn.Sequential(nn.Linear(256, 8), nn.Linear(8, 8)))
    policy = ModuleWrapPolicy({nn.Sequential})
    model = FSDP(model, auto_wrap_policy=policy, device_id=dist.get_rank(), use_orig_params=True)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 64, device="cuda")).sum().backward()
    optimizer.step()
    configs = FullStateDictConfig(rank0_only=True), FullOptimStateDictConfig(rank0_only=True)
    with FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT, *configs):
        whole = FSDP.optim_state_dict(model, optimizer).get("state", {})
    print(dist.get_rank(), {name: tuple(state["exp_avg"].shape) for name, state in whole.items()})
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launched")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(CONFIG))
    return folder


def test_ranks_of_a_sharded_loop_are_what_options_say(dry, model, monkeypatch):
    monkeypatch.chdir(model)
    report, out, _ = dry(SHARDED, gpu="A10", nproc=2, nodes=2)
    assert "RANK 0 [{'lr': 3}] {'rank': 0} [4.0, 4.0] 0 4 10 nccl" in out
    ranks = report.ranks
    assert report.script_exit_code == 0
    assert (ranks.of, ranks.world_size, ranks.machines, ranks.each[0].rank) == ("rank", 4, 2, 0)
    assert [unit.cls for unit in ranks.each[0].units].count("LlamaDecoderLayer") == 3
    assert {sent.collective.kind for sent in ranks.sent} == {"all-gather", "reduce-scatter"}
    assert report.verdict == "fits"

    asked = question(CONFIG, method="full", dtype="bfloat16", batch_size=2, seq_len=64, gradient_checkpointing=False,
                     optimizer="adamw_torch", steps=3, gpu="A10")  # fmt: skip
    said = finetune_on_cards(asked, read("fsdp2", 4))
    for mine, theirs in ((ranks.each[0], said.ranks[0]), (ranks.each[-1], said.ranks[-1])):
        found = {(each.stage, each.step): each.peak_allocated for each in mine.stages}
        assert {
            (each.stage, each.step): each.peak_allocated for each in theirs.stages if 0 <= each.step < 2
        }.items() <= (found.items())
        assert mine.peaks.allocated == theirs.peaks.allocated


SEVERAL = """
    import torch

    torch.manual_seed(0)
    front = torch.nn.Linear(1024, 1024).to("cuda:0")
    back = torch.nn.Linear(1024, 512).to("cuda:1")
    hidden = front(torch.randn(8, 1024, device=0))
    print(torch.cuda.device_count(), hidden.device, back(hidden.to("cuda:1")).device)
    back(hidden.to(1)).sum().backward()
    print(front.weight.grad.device, back.weight.grad.device)
    try:
        back(hidden)
    except RuntimeError as error:
        print(error)
    print(torch.cuda.memory_allocated(0), torch.cuda.memory_allocated("cuda:1"))
    torch.cuda.set_device(1)
    print(torch.empty(7, device="cuda").device, torch.cuda.current_device())
"""


def test_one_process_on_several_cards(dry):
    report, out, _ = dry(SEVERAL, gpus=2)
    lines = out.splitlines()
    assert lines[0] == "2 cuda:0 cuda:1"
    assert lines[1] == "cuda:0 cuda:1"
    assert re.match(r"Expected all tensors to be on the same device, but found .*cuda:0", lines[2])
    assert lines[-1] == "cuda:1 1"
    assert (report.ranks.of, [each.rank for each in report.ranks.each]) == ("card", [0, 1])
    first, second = (each.peaks.allocated for each in report.ranks.each)
    assert first > second > 0
    assert report.peak_allocated_bytes == first


def test_a_launcher_s_own_words_where_it_refuses(tmp_path):
    card = find_gpu("A10")
    for words, told in (
        ("torchrun --nproc_per_node four train.py", "torchrun refuses"),
        ("accelerate --use_fsdp --multi_gpu train.py", "accelerate launch refuses: You can only use one of"),
    ):
        with pytest.raises(InspectorError, match=told):
            started_by(words.split(), card, 1)
    every = started_by(
        ["torchrun", "--nnodes", "3", "--nproc_per_node", "2", "--node-rank", "0", "-m", "pack.fit", "a"], card, 1
    )
    # The first machine's and the last's.
    assert [(each.rank, each.local_rank, each.world_size) for each in every] == [
        (0, 0, 6), (1, 1, 6), (4, 0, 6), (5, 1, 6)
    ]  # fmt: skip
    assert every[0].argv == ("-m", "pack.fit", "a")
    assert one_of(every, -1).rank == 5
    (tmp_path / "fsdp2.yaml").write_text(
        "distributed_type: FSDP\nnum_processes: 4\nfsdp_config:\n  fsdp_version: 2\n  fsdp_offload_params: true\n"
    )
    first = started_by(["accelerate", "--config_file", str(tmp_path / "fsdp2.yaml"), "train.py"], card, 1)[0]
    told = {name: first.environment[name] for name in ("FSDP_VERSION", "FSDP_OFFLOAD_PARAMS", "WORLD_SIZE")}
    assert told == {"FSDP_VERSION": "2", "FSDP_OFFLOAD_PARAMS": "true", "WORLD_SIZE": "4"}
    assert "TORCH_ELASTIC_WORKER_IDENTICAL" not in first.environment


@pytest.mark.parametrize(
    ("words", "ranks"),
    [
        ("--num_processes 4", [0, 1, 2, 3]),
        ("--num_machines 2 --num_processes 4", [0, 1, 2, 3]),
        ("--num_machines 3 --num_processes 6 --main_process_ip 10.0.0.1", [0, 1, 4, 5]),
        ("--multi_gpu --num_machines 2 --num_processes 2", [0, 1]),
    ],
)
def test_accelerate_finds_the_cards_and_the_machines_that_it_is_told_of(tmp_path, words, ranks):
    (script := tmp_path / "train.py").touch()
    found = parse_invocation(["accelerate", "launch", *words.split(), str(script)])
    every = started_by(found.launch, find_gpu("A10"), 1)
    assert [each.rank for each in every] == ranks
    asked = [note for note in found.notes if "--machine_rank" in note]
    assert bool(asked) == ("--num_machines" in words)
    assert all(("--main_process_ip" in note) != ("--main_process_ip" in words) for note in asked)


def test_without_a_launcher_it_is_one_line(tmp_path):
    (tmp_path / "train.py").write_text("import torch.distributed as dist\ndist.init_process_group('nccl')\n")
    with pytest.raises(InspectorError, match="--nproc"):
        run(tmp_path / "train.py", gpu="T4", output_to_stderr=True)


def test_fsdp1_puts_the_optimizers_states_of_all_ranks_together(dry):
    report, out, err = dry(WHOLE_STATE, gpu="A10", nproc=4)
    assert report.script_exit_code == 0, err[-2000:]
    assert out.startswith(
        "0 {'0.bias': (256,), '0.weight': (256, 64), '1.0.bias': (8,), '1.0.weight': (8, 256), '1.1.bias': (8,), "
        "'1.1.weight': (8, 8)}"
    )
