"""What-if grids and films: what ships is what `simulate` says; a grid that is broken off goes on where it stopped."""

import json
from dataclasses import replace

import pytest

from inspector.cli.main import run
from inspector.lesson import film, lesson, training, what_if, what_if_runs
from inspector.lesson.followed import followed
from inspector.lesson.texts import texts
from inspector.lesson.what_if import Choice, choices, dumps, load, loads
from inspector.lora import TargetSet
from inspector.render.deck import slides
from inspector.render.reel import where
from inspector.simulate import finetuning
from inspector.sources.resolve import resolve

pytestmark = pytest.mark.filterwarnings("ignore")

SHIPPED = sorted(path.stem.replace("--", "/", 1) for path in what_if.GRIDS.glob("*.json"))
FILMED = sorted({path.name.split(".json")[0].rpartition(".")[0].replace("--", "/", 1) for path in film.FILMS.glob("*")})
SAMPLE = [
    ("meta-llama/Llama-3.1-8B", Choice("full", "L4", 512, 0, "", "full", False)),
    ("google/gemma-2-9b", Choice("qlora", "T4", 4096, 128, "all-linear", "chunked", True)),
    ("meta-llama/Llama-3.1-8B", Choice("qlora", "T4", 2048, 32, "attention", "full", True)),
    ("google/gemma-2-9b", Choice("lora", "A100-80GB", 1024, 8, "attention", "chunked", False)),
]
TINY = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 256,
    "dtype": "bfloat16", "max_position_embeddings": 4096,
}  # fmt: skip
ATTENTION = TargetSet("attention", ("q_proj", "v_proj"))


def words(choice):
    """The command line of a choice, in the words of a user."""
    said = ["--gpu", choice.card, "--method", choice.method, "--seq-len", str(choice.tokens), "--loss", choice.loss]
    said += ["--batch-size", "1", "--gradient-checkpointing" if choice.checkpointing else "--no-gradient-checkpointing"]
    if choice.method != "full":
        targets = {"attention": "q_proj,k_proj,v_proj,o_proj", "all-linear": "all-linear"}[choice.targets]
        said += ["--r", str(choice.r), "--alpha", str(2 * choice.r), "--target-modules", targets]
    return said + (["--bits", "4", "--double-quant"] if choice.method == "qlora" else [])


@pytest.mark.parametrize(("model", "choice"), SAMPLE, ids=[f"{model}.{choice.key}" for model, choice in SAMPLE])
@pytest.mark.pinned
def test_a_position_is_what_simulate_says_and_its_verdict_the_exit_code(model, choice, capsys, kept_answers):
    bar = load(model).bars[choice]
    code = run(["simulate", "finetune", model, *words(choice), "--no-advise", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert dict(bar.alive) == said["alive_at_peak"]
    assert bar.process_bytes == said["process_bytes"]
    assert bar.unused == said["peak_reserved_bytes"] - said["peak_allocated_bytes"]
    assert (bar.stage, bar.verdict) == (said["peak_stage"], said["verdict"])
    assert code == (1 if bar.verdict == "does not fit" else 0)


def test_slides_follow_only_runs_of_their_own_step():
    """All shipped dry runs are followed by their grid; of another length, or other libraries, none is."""
    for model in SHIPPED:
        grid, runs = load(model), training.load(model)
        if runs is None:
            continue
        found = followed(runs, grid, grid.targets[0][0])
        assert (found[0].r, found[0].targets) == (32, grid.targets[0][0])
        assert len({one.key for one in found}) == len(found) == 6
        assert [one.r for one in followed(replace(runs, batch_size=2), grid, grid.targets[0][0])] == [32]
        bars = {key: replace(bar, unused=bar.unused + 512) for key, bar in grid.bars.items()}
        assert len(followed(runs, replace(grid, bars=bars), grid.targets[0][0])) == 1
        without = {key: bar for key, bar in grid.bars.items() if (key.method, key.r) != ("qlora", 8)}
        assert {one.r for one in followed(runs, replace(grid, bars=without), grid.targets[0][0])} == {32, 128}


@pytest.mark.pinned
def test_the_commands_on_the_slides_ask_for_what_is_shown(capsys, kept_answers):
    say, told = texts(), lesson(resolve("meta-llama/Llama-3.1-8B"))
    for slide, process in ((slides.what_if, True), (slides.film, False)):
        made = slide.make(told, say)
        run([*made.command.split()[1:], "--no-advise", "--json"])
        said = json.loads(capsys.readouterr().out)
        shown = said["process_bytes"] / 1e9 if process else said["peak_allocated_bytes"] / 1e9
        assert made.remember[0].startswith(f"{shown:.2f}" if process else f"{shown:.1f}")


@pytest.mark.parametrize("model", SHIPPED)
def test_a_shipped_grid_is_whole_and_small(model):
    text = what_if.path_of(model).read_text()
    grid = loads(text)
    assert dumps(grid) == text
    assert len(text) <= 40_000
    assert set(grid.bars) == set(choices([name for name, _ in grid.targets]))
    assert not grid.refused


def test_models_have_both_a_grid_and_films():
    wanted = {
        "Qwen/Qwen2.5-7B", "google/gemma-2-9b", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.2-1B",
        "meta-llama/Llama-3.2-3B", "mistralai/Mistral-7B-v0.1",
    }  # fmt: skip
    assert set(SHIPPED) == set(FILMED) <= wanted
    assert "meta-llama/Llama-3.1-8B" in SHIPPED


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A grid of few positions of a tiny model, and how often it was traced for."""
    monkeypatch.setattr(what_if, "TOKENS", (16,))
    monkeypatch.setattr(what_if, "RANKS", (2,))
    monkeypatch.setattr(what_if, "LOSSES", ("full",))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    traced, real = [], finetuning.trace

    def counted(config, setup, card):
        traced.append((setup, card))
        return real(config, setup, card)

    monkeypatch.setattr(finetuning, "trace", counted)
    return str(path), traced


def test_a_grid_that_is_broken_off_goes_on_where_it_stopped(small):
    reference, traced = small
    told = []

    def stop(done, total):
        told.append((done, total))
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        what_if_runs.make(reference, "tiny", ATTENTION, progress=stop)
    before = list(traced)
    assert told[-1][0] == 7
    grid = what_if_runs.make(reference, "tiny", ATTENTION)
    # The cards of the seventh's group are the only ones whose trace was at hand and not kept.
    assert not set(before) & set(traced[len(before) :]) - {before[-1]}
    assert len(grid.bars) == told[-1][1] == len(choices(["attention", "all-linear"]))
    # Cards that answer all questions alike share a trace: of three cards two at the most are traced.
    assert len(traced) <= 2 * len(grid.bars) / 3 + 2
    assert loads(dumps(grid)) == grid
    count = len(traced)
    assert what_if_runs.make(reference, "tiny", ATTENTION) == grid
    assert len(traced) == count


def test_a_combination_that_a_library_refuses_has_no_bar_and_is_said(small, tmp_path):
    config = TINY | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    grid = what_if_runs.make(str(path), "stored", ATTENTION)
    assert {choice.method for choice in grid.bars} == {"lora", "qlora"}
    assert grid.refused
    assert loads(dumps(grid)) == grid


@pytest.mark.parametrize("model", FILMED)
def test_a_shipped_film_is_the_step_of_the_bar_beside_it(model):
    step = film.load(model)
    assert film.dumps(step) == film.path_of(model).read_text()
    assert len(film.path_of(model).read_text()) < 12_000
    assert len(step.ends) == len(step.highest) == film.BINS
    assert [moment.name for moment in step.moments] == [
        "start", "forward", "loss", "peak", "backward", "optimizer", "end",
    ]  # fmt: skip
    settings = dict(step.said)
    bar = load(model).bars[
        Choice("qlora", settings["gpu"], settings["seq_len"], settings["r"], "attention", "full", True)
    ]
    top = step.moment("peak")
    assert top.allocated == sum(nbytes for _, nbytes in bar.alive) == max(map(sum, step.highest))
    # The step gives back all that it took: the next one starts as this one did, but for what is no block's end.
    assert step.moment("start").nbytes[0] == step.moment("end").nbytes[0]
    for end, high in zip(step.ends, step.highest, strict=True):
        assert sum(high) >= sum(end)


@pytest.mark.parametrize("model", FILMED)
def test_the_film_of_an_answer_shows_the_cache_growing(model):
    told = film.load(model, "answer")
    at = told.kinds.index("cache")
    names = [moment.name for moment in told.moments]
    assert names == ["start", "prefill", "prompt", "token", "grown", "last", "end"]
    caches = [moment.nbytes[at] for moment in told.moments]
    assert caches[0] == 0 < caches[names.index("prompt")] < caches[names.index("token")] < caches[-1]
    # Twice the tokens at the end, the last of which is not fed back.
    assert 1.9 < caches[-1] / caches[names.index("prompt")] < 2.01


def test_report_makes_the_grid_of_any_model_and_goes_on_after_a_stop(small, tmp_path, capsys, monkeypatch):
    reference, traced = small
    page = tmp_path / "deck.html"
    real = what_if_runs.make

    def stopped(*args, progress, **more):
        def stop(done, total):
            if done == 6:
                raise KeyboardInterrupt
            progress(done, total)

        return real(*args, progress=stop, **more)

    monkeypatch.setattr(what_if_runs, "make", stopped)
    assert run(["report", reference, "--what-if", "-o", str(page)]) not in {0, 2}
    assert "goes on from there" in capsys.readouterr().err
    before = len(traced)
    monkeypatch.setattr(what_if_runs, "make", real)
    assert run(["report", reference, "--what-if", "-o", str(page)]) == 0
    assert before < len(traced)
    text = page.read_text()
    assert '<section id="what-if"' in text
    assert '<section id="film"' in text
    assert "--what-if" in text
    assert text.count(".T4.16.2.") > 4


@pytest.mark.parametrize(
    ("model", "stage"), [("meta-llama/Llama-3.1-8B", "loss"), ("mistralai/Mistral-7B-v0.1", "backward")]
)
def test_a_peak_is_the_loss_s_where_it_holds_the_logits_and_their_gradients(model, stage):
    """With 32,000 words a layer that is computed again takes more than the logits do."""
    assert where(film.load(model)) == stage
