"""What a user types to start a training becomes one program in one process, or one clear line."""

from __future__ import annotations

import os
import shlex

import pytest

from inspector.errors import InspectorError
from inspector.simulate.script.asked_versions import unmet
from inspector.simulate.script.invocation import accelerate as launch
from inspector.simulate.script.invocation import parse_invocation, several, torchrun


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """A folder with scripts, a package, notebooks and configs; no default config of accelerate's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("train.py", "two words.py", "pack/__init__.py", "pack/__main__.py", "pack/fit.py", "app/__main__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("print(1)\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "ranked.py").write_text("import os\nrank = int(os.environ['LOCAL_RANK'])\n")
    (tmp_path / "week7.ipynb").write_text("{}")
    (tmp_path / "noending").write_text("print(1)\n")
    (tmp_path / "run.sh").write_text("python train.py\n")
    (tmp_path / "four.yaml").write_text("distributed_type: MULTI_GPU\nnum_processes: 4\nmixed_precision: bf16\n")
    (tmp_path / "one.yaml").write_text("distributed_type: 'NO'\nnum_processes: 4\nmixed_precision: bf16\n")
    (tmp_path / "zero.yaml").write_text("distributed_type: DEEPSPEED\nnum_processes: 1\ndeepspeed_config: {}\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")


@pytest.mark.parametrize(
    ("typed", "kind", "target", "argv"),
    [
        ("train.py --lr 1e-4 --batch 4", "file", "train.py", "--lr 1e-4 --batch 4"),
        ("train.py -m x -- y", "file", "train.py", "-m x -- y"),
        ("'two words.py'", "file", "two words.py", ""),
        ("week7.ipynb", "notebook", "week7.ipynb", ""),
        ("app --x", "file", "app/__main__.py", "--x"),
        ("python train.py a", "file", "train.py", "a"),
        ("python3.11 -u -X dev -W ignore train.py -u", "file", "train.py", "-u"),
        ("/usr/bin/python noending a", "file", "noending", "a"),
        ("python -um pack a", "module", "pack", "a"),
        ("python -mpack.fit a", "module", "pack.fit", "a"),
        ("uv run train.py a", "file", "train.py", "a"),
        ("nohup env A=1 python train.py", "file", "train.py", ""),
        ("torchrun train.py a", "file", "train.py", "a"),
        ("torchrun --standalone --nnodes=1 --nproc_per_node 1 -m pack.fit a", "module", "pack.fit", "a"),
        (
            "torchrun --nproc-per-node=1 --rdzv-id 7 train.py --nproc-per-node 8",
            "file",
            "train.py",
            "--nproc-per-node 8",
        ),
        ("python -m torch.distributed.run train.py", "file", "train.py", ""),
        ("accelerate launch train.py --num_processes 2", "file", "train.py", "--num_processes 2"),
        ("accelerate launch --num_processes 1 --gpu_ids 3 -m pack a", "module", "pack", "a"),
        ("accelerate launch --config_file one.yaml train.py", "file", "train.py", ""),
        ("accelerate launch --config_file=one.yaml noending", "file", "noending", ""),
        ("accelerate launch --config-file one.yaml --dynamo-use-dynamic train.py", "file", "train.py", ""),
        ("accelerate-launch --quiet train.py", "file", "train.py", ""),
        ("python -m accelerate.commands.launch train.py", "file", "train.py", ""),
    ],
)
def test_what_is_run(typed, kind, target, argv):
    found = parse_invocation(shlex.split(typed))
    assert (found.kind, found.target, " ".join(found.argv)) == (kind, target, argv)
    assert found.source.is_file()


def test_a_module_is_found_without_importing_it(tmp_path):
    (tmp_path / "pack" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    assert parse_invocation(["pack.fit", "a"], module=True).source.name == "fit.py"
    assert parse_invocation(["pack"], module=True).source.name == "__main__.py"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "no script is named"),
        ("tran.py", "no such file: tran.py (did you mean train.py?)"),
        ("train", "no such file: train (did you mean train.py?)"),
        ("sub/../wek7.py", "no such file: sub/../wek7.py"),
        ("nope.py", "no such file: nope.py (here is ranked.py, train.py, two words.py, week7.ipynb)"),
        ("home/nope.py", "no such file: home/nope.py"),
        ("nowhere/train.py", "no such file: nowhere/train.py"),
        ("home", "home is a folder without"),
        ("run.sh", "run.sh is a script of the shell"),
        ("nonsense", "nonsense is neither a file nor the command of a package"),
        ("A=1", "no command stands after A=1"),
        ("python", "python is given no script"),
        ("python -c pass", "code without a file cannot be run"),
        ("python -m nope.x", "no module named 'nope' is installed here (pip install nope)"),
        ("python -m pack.nope", "pack has no module 'pack.nope'"),
        ("python -m pack/fit.py", "'pack/fit.py' is no module's name"),
        ("deepspeed --num_gpus 8", "deepspeed is given no script"),
        ("deepspeed --no_python train.py", "no script of Python"),
        ("torchrun torchrun train.py", "torchrun is neither a file"),
        ("torchrun -m torch.distributed.run train.py", "torchrun starts another launcher"),
        ("torchrun", "torchrun is given no script"),
        ("torchrun --no-python train.sh", "no script of Python"),
        ("accelerate launch", "accelerate launch is given no script"),
        ("accelerate launch --num_processes four train.py", "--num_processes 'four' is no number"),
        ("accelerate launch --use_megatron_lm train.py", "accelerate launch is told to use Megatron-LM"),
        ("accelerate launch --config_file broken.yaml train.py", "broken.yaml is not YAML"),
        ("accelerate launch --config_file none.yaml train.py", "no such file: none.yaml"),
        ("accelerate launch --mixed_precision fp7 train.py", "accelerate knows no mixed precision 'fp7'"),
        ("axolotl train x.yml", "axolotl is not installed here (pip install axolotl)"),
        ("tune run lora_finetune_single_device", "torchtune is not installed here"),
    ],
)
def test_what_cannot_be_run_is_one_line(typed, told):
    with pytest.raises(InspectorError) as caught:
        parse_invocation(shlex.split(typed))
    assert str(caught.value).startswith(told) or told in str(caught.value)


def test_what_the_shell_sets_comes_first_and_one_card_is_shown():
    found = parse_invocation(shlex.split("CUDA_VISIBLE_DEVICES=0,1 X='a b' accelerate launch --gpu_ids 2 train.py"))
    assert found.environment[:2] == (("CUDA_VISIBLE_DEVICES", "0,1"), ("X", "a b"))
    assert dict(found.environment)["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES=0,1: one card is shown" in found.notes


@pytest.mark.parametrize(
    ("typed", "target", "launch"),
    [
        ("torchrun train.py", "train.py", "torchrun train.py"),
        ("torchrun --nproc_per_node=gpu train.py a", "train.py", "torchrun --nproc_per_node=gpu train.py a"),
        ("torchrun --nnodes 2:4 -m pack.fit", "pack.fit", "torchrun --nnodes 2:4 -m pack.fit"),
        ("python -m torch.distributed.run --standalone train.py", "train.py", "torchrun --standalone train.py"),
        ("python -m torch.distributed.launch --use-env train.py", "train.py",
         "torch.distributed.launch --use-env train.py"),
        ("deepspeed --num_gpus 8 train.py --deepspeed x", "train.py", "deepspeed --num_gpus 8 train.py --deepspeed x"),
        ("deepspeed --module pack.fit", "pack.fit", "deepspeed --module pack.fit"),
        ("accelerate launch --num_processes 4 train.py", "train.py", "accelerate --num_processes 4 train.py"),
        ("accelerate launch --config_file four.yaml -m pack", "pack", "accelerate --config_file four.yaml -m pack"),
        ("accelerate-launch --config_file zero.yaml -m pack", "pack", "accelerate --config_file zero.yaml -m pack"),
        ("accelerate launch --use_fsdp -m pack.fit", "pack.fit", "accelerate --use_fsdp -m pack.fit"),
        ("accelerate launch --cpu --num_processes 4 train.py", "train.py", ""),
        ("accelerate launch --config_file one.yaml train.py", "train.py", ""),
    ],
)  # fmt: skip
def test_a_launcher_is_kept_to_be_asked(typed, target, launch):
    found = parse_invocation(shlex.split(typed))
    assert (found.target, " ".join(found.launch)) == (target, launch)


def test_so_many_of_a_script_are_a_torchrun():
    found = several(parse_invocation(["pack.fit", "a"], module=True), 8, 2)
    words = "torchrun --nproc-per-node 8 --nnodes 2 --node-rank 0 -m pack.fit a"
    assert " ".join(found.launch) == words
    for typed, told in (("torchrun train.py", "the command has one"), ("week7.ipynb", "no script that is started")):
        with pytest.raises(InspectorError, match=told):
            several(parse_invocation(shlex.split(typed)), 2, 1)


@pytest.mark.parametrize("home", ["", "mixed_precision: fp16\ndistributed_type: 'NO'\ndebug: true\n"])
@pytest.mark.parametrize(
    "typed",
    [
        "--num_processes 1 train.py",
        "--mixed_precision bf16 --num_machines 1 train.py --mixed_precision no",
        "--config_file one.yaml train.py",
        "--config_file one.yaml --mixed_precision fp16 --num_processes 1 train.py",
        "--cpu --num_processes 1 train.py",
        "--num_processes 1 --dynamo_backend inductor --dynamo_mode max-autotune --dynamo_use_fullgraph train.py",
        "--config_file compiled.yaml train.py",
        "--num_processes 1 --debug --gpu_ids 0 train.py",
    ],
)
def test_a_launched_script_finds_accelerate_s_own_variables(typed, home, tmp_path, monkeypatch):
    from accelerate.commands import launch as real
    from accelerate.utils.launch import prepare_simple_launcher_cmd_env

    (tmp_path / "compiled.yaml").write_text(
        "distributed_type: 'NO'\ndynamo_config:\n  dynamo_backend: INDUCTOR\n  dynamo_use_dynamic: true\n"
    )
    default = tmp_path / "home" / "accelerate" / "default_config.yaml"
    if home:
        default.parent.mkdir()
        default.write_text(home)
    monkeypatch.setattr(real, "default_config_file", str(default))
    monkeypatch.setattr("accelerate.commands.config.config_args.default_config_file", str(default))
    for name in [name for name in os.environ if name.startswith("ACCELERATE_")]:
        monkeypatch.delenv(name)
    words = shlex.split(typed)
    args, _, _ = real._validate_launch_command(real.launch_command_parser().parse_args(words))
    command, environment = prepare_simple_launcher_cmd_env(args)
    found = parse_invocation(["accelerate", "launch", *words])
    theirs = {name: value for name, value in environment.items() if name.startswith("ACCELERATE_")}
    assert {name: value for name, value in found.environment if name.startswith("ACCELERATE_")} == theirs
    assert [found.target, *found.argv] == command[1:]


@pytest.mark.pinned
def test_the_launchers_options_are_those_of_their_parsers():
    """What takes no value, and so where the script's name stands."""
    from accelerate.commands.launch import launch_command_parser
    from torch.distributed.run import get_args_parser

    for parser, flags in ((launch_command_parser(), launch.FLAGS), (get_args_parser(), torchrun.FLAGS)):
        options = [action for action in parser._actions if action.option_strings]
        found = {option for action in options if action.nargs == 0 for option in action.option_strings}
        if flags is launch.FLAGS:  # which knows one spelling, and the parser both
            found = {launch._named(option) for option in found}
        assert found - {"-h", "--help"} == flags - {"-h", "--help"}
        assert {action.nargs for action in options} <= {None, 0}


def test_what_trl_leaves_to_accelerate_is_accelerate_s():
    from accelerate.commands.launch import launch_command_parser

    names = {name for action in launch_command_parser()._actions for name in action.option_strings}
    assert names >= launch.LAUNCH_ONLY - {"--accelerate_config"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A trl, an axolotl and a LLaMA-Factory as they install their commands, without a line of theirs."""
    site = tmp_path / "site"
    commands = {"trl": "trl.cli:main", "axolotl": "axolotl.cli.main:main", "llamafactory-cli": "llamafactory.cli:main"}
    for command, target in commands.items():
        package = target.partition(".")[0]
        for name in ("__init__", "cli/__init__", "cli/train", "scripts/__init__", "scripts/sft"):
            (site / package / name).parent.mkdir(parents=True, exist_ok=True)
            (site / package / f"{name}.py").write_text("raise RuntimeError('imported')\n")
        described = site / f"{package}-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
        (described / "entry_points.txt").write_text(f"[console_scripts]\n{command} = {target}\n")
    (site / "trl" / "accelerate_configs").mkdir()
    (site / "trl" / "accelerate_configs" / "single_gpu.yaml").write_text(
        "distributed_type: 'NO'\nmixed_precision: bf16\n"
    )
    (site / "trl" / "accelerate_configs" / "zero2.yaml").write_text("distributed_type: DEEPSPEED\nnum_processes: 8\n")
    monkeypatch.syspath_prepend(str(site))


@pytest.mark.usefixtures("installed")
def test_commands_of_packages():
    found = parse_invocation(
        shlex.split("trl sft --config x.yaml --num_processes 1 --accelerate_config single_gpu --bf16")
    )
    assert (found.kind, found.target, found.argv) == ("module", "trl.scripts.sft", ("--config", "x.yaml", "--bf16"))
    assert dict(found.environment)["ACCELERATE_MIXED_PRECISION"] == "bf16"
    for typed in ("trl sft --accelerate_config zero2 --config x.yaml", "trl sft --config x.yaml --num_processes=2"):
        found = parse_invocation(shlex.split(typed))
        assert (found.launch[0], found.launch[-4:]) == ("accelerate", ("-m", "trl.scripts.sft", "--config", "x.yaml"))
    with pytest.raises(InspectorError, match="no command 'sfft'"):
        parse_invocation(["trl", "sfft"])
    with pytest.raises(InspectorError, match="trains nothing"):
        parse_invocation(["trl", "vllm-serve"])
    found = parse_invocation(["axolotl", "train", "x.yml"])
    assert (found.kind, found.target, found.argv) == ("module", "axolotl.cli.train", ("x.yml",))
    found = parse_invocation(["llamafactory-cli", "train", "x.yaml"])
    assert (found.kind, found.target, found.argv) == ("entry", "llamafactory.cli:main", ("train", "x.yaml"))
    assert found.source.name == "__init__.py"


def test_what_a_package_asks_for_in_another_version_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "my_tool-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: my-tool\nVersion: 1.2\nRequires-Dist: packaging==1.0\n"
        "Requires-Dist: torch>=1\nRequires-Dist: nowhere==3\nRequires-Dist: transformers<2; extra == 'more'\n"
        "Requires-Dist: transformers==1.0; python_version > '3'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    said = unmet("my_tool.cli:main")
    assert said.startswith("my-tool 1.2 asks for other versions than are here: transformers ==1.0 (")
    assert "packaging ==1.0 (" in said
    assert "nowhere" not in said
    assert "torch" not in said
    assert unmet("json.tool") == ""


@pytest.mark.parametrize(
    ("typed", "module", "script"),
    [
        ("-m trl.scripts.sft --config x.yaml", "trl.scripts.sft", ["--config", "x.yaml"]),
        ("--gpu T4 --oom -m pkg -m y --gpu L4", "pkg", ["-m", "y", "--gpu", "L4"]),
        ("-mpkg --steps 3", "pkg", ["--steps", "3"]),
        ("-m pkg -- --steps 3", "pkg", ["--steps", "3"]),
        ("-m pkg rows -- -x", "pkg", ["rows", "--", "-x"]),
        ("--data -m --steps 3 -m pkg -v", "pkg", ["-v"]),
        ("train.py -m x", "", ["train.py", "-m", "x"]),
        ("-- trl sft -m x", "", ["trl", "sft", "-m", "x"]),
    ],
)
def test_what_stands_behind_a_module_is_its_own(typed, module, script):
    from inspector.cli.run import command

    said = command.make_context("run", typed.split()).params
    assert said["module"] == module
    assert [said["script"], *said["args"]] == script
