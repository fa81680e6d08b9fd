"""`inspector run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inspector.cli.headed import HeadedCommand
from inspector.cli.options import answer, answer_page, json_option, one_form, output_option
from inspector.cli.settings import CARD, headed, snapshot_option, vram_option

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.simulate.script.invocation import Invocation
    from inspector.simulate.setup.cards_asked import WhichRanks

RUN = "The run"


class RunCommand(HeadedCommand):
    """Its options end with the script, or with ``-m MODULE``: what stands behind is the script's, as python has it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's own, told where our options end."""
        valued = {name for each in self.params if isinstance(each, click.Option) and not each.is_flag
                  for name in each.opts}  # fmt: skip
        at = 0
        while at < len(args) and args[at].startswith("-") and args[at] != "--":
            word = args[at]
            at += 2 if word in valued else 1
            if word.startswith("-m"):
                if args[at : at + 1] != ["--"]:
                    args = [*args[:at], "--", *args[at:]]
                break
        return super().parse_args(ctx, args)


@click.command(
    "run",
    cls=RunCommand,
    # As with python itself: what stands behind the script is the script's.
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
)
@click.argument("script", required=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@headed("-m", "module", heading=RUN, metavar="MODULE", default="", help="Run a module, as python -m does.")
@headed("--check", heading=RUN, is_flag=True, help="Only read it: what in it cannot be simulated, with its lines.")
@headed(
    "--steps", heading=RUN, type=click.IntRange(min=1), metavar="N", help="Train for N optimizer steps, then go on."
)
@headed("--timeout", heading=RUN, type=float, metavar="SECONDS", help="End it after so long: fits so far, or does not.")
@headed("--assume", heading=RUN, multiple=True, metavar="NAME=VALUE",
        help="What an unknown value is read as: number=1, mask=true, token=N.")  # fmt: skip
@headed("--data", heading=RUN, multiple=True, metavar="NAME=FILE", help="Rows that stand for a data set of the hub.")
@headed("--lengths", heading=RUN, default="", metavar="LENGTHS",
        help="Tokens of a missing data set's rows: a file of numbers, lognormal:mean,sigma,max, alpaca.")  # fmt: skip
@headed("--worst", heading=RUN, is_flag=True, help="The longest samples first, as its loaders give them.")
@headed("--network", heading=RUN, is_flag=True, help="Let it use the network. Off: every connection is refused.")
@headed("--write", heading=RUN, is_flag=True, help="Let it write where it wants to. Off: into a scratch folder.")
@headed("--gpu", heading=CARD, multiple=True, metavar="CARD", help="A card to judge; several may be named.")
@vram_option
@headed("--gpus", heading=CARD, type=click.IntRange(min=1), metavar="N",
        help="How many such cards the machine has, as the script sees them.")  # fmt: skip
@headed("--nproc", heading=CARD, type=click.IntRange(min=1), metavar="N",
        help="Start it so many times, a card each, as torchrun does.")  # fmt: skip
@headed("--nodes", heading=CARD, type=click.IntRange(min=1), metavar="M", help="On so many machines.")
@headed("--rank", heading=CARD, type=click.Choice(["all", "first", "last"]), default="all",
        help="Which of the ranks that differ are run.")  # fmt: skip
@headed("--advise/--no-advise", heading=CARD, default=True,
        help="Where it does not fit, run it again with one thing changed, and tell what helps.")  # fmt: skip
@headed("--oom", heading=CARD, is_flag=True, help="The card refuses where it is full, with PyTorch's own error.")
@snapshot_option
@output_option
@json_option
def command(
    script: str | None,
    args: tuple[str, ...],
    module: str,
    output: Path | None,
    snapshot: Path | None,
    gpu: tuple[str, ...],
    vram: str,
    gpus: int | None,
    nproc: int | None,
    nodes: int | None,
    rank: WhichRanks,
    steps: int | None,
    timeout: float | None,
    assume: tuple[str, ...],
    data: tuple[str, ...],
    lengths: str,
    *,
    check: bool,
    worst: bool,
    network: bool,
    write: bool,
    oom: bool,
    advise: bool,
    as_json: bool,
) -> int:
    """Run your own training script without a GPU, unmodified, and tell what the card would have said.

    Options of ours stand before the script, the script's own after it. A script is code: it runs with
    your rights, in a process of its own. Nothing is downloaded or uploaded unless --network is given,
    and files go into a scratch folder unless --write is. Its tensors on the card have shapes and no data.
    The exit code is the script's own where it is not 0; else 0 when it fits the cards, 1 when it does not.
    Of a run that --timeout or --steps cut short, that is of what it did until there; 2 where it did nothing.

    \b
    Examples:
      inspector run train.py --lr 1e-4 --batch 4
      inspector run --gpu T4 --gpu "RTX 4090" train.py
      inspector run --gpu T4 --oom train.py
      inspector run -m trl.scripts.sft --config sft.yaml
      inspector run --gpu T4 week7.ipynb
      inspector run --nproc 8 train.py
      inspector run -- accelerate launch --config_file fsdp2.yaml train.py
      inspector run -- torchrun --nproc-per-node 8 train.py
      inspector run --check train.py
    """  # noqa: D301
    one_form(output, as_json=as_json)
    what = _invocation(script, args, module)
    if nproc or nodes:
        from inspector.simulate.script.invocation import several

        what = several(what, nproc or gpus or 1, nodes or 1)
    if check:
        from inspector.simulate.script.check import check_script

        found = check_script(
            what, data={pair.partition("=")[0] for pair in data}, lengths=bool(lengths), network=network
        )
        answer(found, as_json=as_json)
        return int(not found.can_run)
    from inspector.simulate.script.advised import with_advice
    from inspector.simulate.script.running import run

    report = run(
        what, gpu=gpu, vram=vram, oom=oom, steps=steps or 0, timeout=timeout, assume=assume, data=data,
        lengths=lengths, worst=worst, network=network, write=write,
        gpus=gpus or 0, rank=rank, keep_events=snapshot is not None, output_to_stderr=as_json or str(output) == "-",
    )  # fmt: skip
    if advise and not report.fits:
        from inspector.progress import working

        with working("the script") as tell:
            report = with_advice(
                report, what, assume=assume, data=data, lengths=lengths, worst=worst, network=network, steps=steps or 0,
                vram=vram, gpus=gpus or 0, timeout=timeout, told=tell,
            )  # fmt: skip
    if snapshot is not None:
        from inspector.simulate.snapshot.writer import write_snapshot

        write_snapshot(snapshot, report.events, report.allocator, capacity=report.capacity)
    if output is None:
        answer(report, as_json=as_json)
    else:
        answer_page(report, output)
    return report.exit_code


def _invocation(script: str | None, args: tuple[str, ...], module: str) -> Invocation:
    from inspector.simulate.script.invocation import parse_invocation

    if module:
        return parse_invocation([module, *([script] if script is not None else []), *args], module=True)
    return parse_invocation([*([script] if script is not None else []), *args])
