"""Skeletons: every bundled one equals a fresh build, survives its JSON form, and has the published parameters."""

import json
from dataclasses import replace
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.skeleton import ConfigFacts, Module, Skeleton, Tensor
from inspector.skeleton.identical_layers import fold, unfold
from inspector.skeleton.json_form import dumps, loads
from inspector.sources import bundled
from inspector.sources.bundled import CONFIGS, load_bundled, model_ids, shipped_skeleton, skeleton_path
from scripts import skeletons as rebuild
from tests.models import depths_text

INDEX = {row["id"]: row for row in json.loads((CONFIGS / "index.json").read_text())}


def test_166_models_are_bundled():
    assert len(model_ids()) == 166
    assert set(model_ids()) == set(INDEX)
    assert sorted(path.name for path in skeleton_path("x/y").parent.iterdir()) == sorted(
        skeleton_path(model).name for model in model_ids()
    )


@pytest.mark.parametrize("model", model_ids())
def test_parameters_are_the_verified_count(model):
    assert load_bundled(model).num_parameters == INDEX[model]["params_computed"]


@pytest.mark.slow
@pytest.mark.parametrize("model", model_ids())
def test_the_shipped_skeleton_is_a_fresh_build(model):
    shipped, fresh = shipped_skeleton(model), rebuild.rebuilt(model)
    assert shipped.modules == fresh.modules
    assert shipped.tensors == fresh.tensors
    assert replace(shipped, built_with="") == replace(fresh, built_with="")


@pytest.mark.slow
def test_the_depths_that_tests_look_at_are_of_the_shipped_skeletons(golden):
    golden("depths.txt", depths_text())


@pytest.mark.pinned
def test_the_shipped_skeletons_are_of_the_pinned_transformers():
    """A version that changes no module is no drift: renew the skeletons with the lock, and see what changes then."""
    built = {shipped_skeleton(model).built_with for model in model_ids()}
    assert built == {f"transformers {version('transformers')}"}


def test_a_bundled_answer_says_of_which_transformers_it_is(monkeypatch, capsys):
    monkeypatch.setattr(bundled, "version", lambda _name: "5.99.0")
    assert run(["memory", "gpt2", "--json"]) == 0
    shipped = shipped_skeleton("openai-community/gpt2").built_with
    said = f"as {shipped} makes it, with which it was bundled; transformers 5.99.0 is installed"
    assert said in capsys.readouterr().out


@pytest.mark.pinned
def test_the_shipped_peft_tables_are_the_installed_ones():
    shipped = json.loads(rebuild.PEFT_TABLES.read_text())
    assert shipped == json.loads(json.dumps(rebuild.peft_tables()))


# Published by their makers, embeddings included.
ACTIVE = {
    "mistralai/Mixtral-8x7B-v0.1": 12.9e9,
    "deepseek-ai/DeepSeek-V3": 37e9,
    "Qwen/Qwen3-30B-A3B": 3.3e9,
    "Qwen/Qwen3-235B-A22B": 22e9,
    "allenai/OLMoE-1B-7B-0924": 1.3e9,
    "ibm-granite/granite-3.0-1b-a400m-base": 0.4e9,
    "moonshotai/Kimi-K2-Instruct": 32e9,
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": 17e9,
}


@pytest.mark.parametrize("model", ACTIVE)
def test_active_parameters_are_the_published_ones(model):
    assert load_bundled(model).num_active_parameters == pytest.approx(ACTIVE[model], rel=0.08)


def test_a_dense_model_uses_all_its_parameters():
    skeleton = load_bundled("meta-llama/Llama-3.1-8B")
    assert skeleton.num_active_parameters == skeleton.num_parameters == 8_030_261_248


def test_tied_weights_are_named_and_counted_once():
    skeleton = load_bundled("meta-llama/Llama-3.2-1B")
    tied = [tensor for tensor in skeleton.tensors if tensor.tied_to]
    assert [(tensor.name, tensor.tied_to) for tensor in tied] == [("lm_head.weight", "model.embed_tokens.weight")]
    assert skeleton.num_parameters == 1_235_814_400


@pytest.mark.parametrize("model", ["mistralai/Mistral-Small-3.1-24B-Base-2503", "google/gemma-3-4b-it"])
def test_multimodal_models_have_their_towers(model):
    skeleton = load_bundled(model)
    assert any("vision_tower" in module.path for module in skeleton.modules)
    assert any("language_model" in module.path for module in skeleton.modules)


@pytest.mark.parametrize("model", model_ids())
def test_json_keeps_every_skeleton(model):
    skeleton = shipped_skeleton(model)
    text = dumps(skeleton)
    assert loads(text) == skeleton
    assert skeleton_path(model).read_text(encoding="utf-8") == text


words = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=6)


@st.composite
def skeletons(draw):
    """Stacks of layers of a few sorts between single modules, tensors anywhere."""

    def tensors(path):
        names = draw(st.lists(words, max_size=2, unique=True))
        return [
            Tensor(
                f"{path}.{name}", tuple(draw(st.lists(st.integers(0, 9), max_size=3))),
                role=draw(st.sampled_from(["parameter", "buffer"])), persistent=draw(st.booleans()),
                pinned=draw(st.sampled_from(["never", "float16", "always"])),
            )
            for name in names
        ]  # fmt: skip

    modules, held = [Module("", "Model", "other")], []
    sorts = draw(st.lists(st.lists(words, min_size=1, max_size=3, unique=True), min_size=1, max_size=3))
    inner = {str(sort): [(name, tensors("x")) for name in sort] for sort in sorts}
    for index, sort in enumerate(draw(st.lists(st.sampled_from(sorts), max_size=12))):
        layer = f"layers.{index}"
        modules.append(Module(layer, f"Layer{len(sort)}", "other", layer))
        for name, own in inner[str(sort)]:
            path = f"{layer}.{name}"
            modules.append(Module(path, "Linear", "mlp", layer, "Linear", draw(st.just(False))))
            held += [
                Tensor(f"{path}.{t.name[2:]}", t.shape, t.dtype, t.role, t.persistent, None, t.pinned) for t in own
            ]
    modules.append(Module("head", "Linear", "head", None, "Linear", keep=True))
    held += tensors("head")
    return Skeleton("id", "Model", ConfigFacts(vocab_size=3), tuple(modules), tuple(held), "somewhere")


@given(skeletons(), st.data())
def test_the_tensors_of_shared_modules_keep_their_places(skeleton, data):
    """A module that is listed once holds its tensors under each of its paths, wherever those are met."""
    tensors = list(skeleton.tensors)
    for number in range(data.draw(st.integers(1, 3))):
        tensor = Tensor(f"again.{number}.weight", (2,), tied_to=tensors[0].name if tensors else None)
        tensors.insert(data.draw(st.integers(0, len(tensors))), tensor)
    shared = replace(skeleton, tensors=tuple(tensors))
    assert loads(dumps(shared)) == shared


@pytest.mark.parametrize("place", [-1, 2, "x", None])
def test_a_place_that_is_none_is_one_line(place):
    shared = Skeleton("id", "M", ConfigFacts(), (Module("", "M", "other"),), (Tensor("a.w", (2,)),), "somewhere")
    data = json.loads(dumps(shared))
    data["again"][0]["at"] = place
    with pytest.raises(InspectorError, match="not a readable skeleton"):
        loads(json.dumps(data))


@given(skeletons())
def test_folding_loses_nothing(skeleton):
    entries = list(unfold(fold(skeleton)))
    assert tuple(entry.module for entry in entries) == skeleton.modules
    assert tuple(tensor for entry in entries for tensor in entry.tensors) == skeleton.tensors
    assert loads(dumps(skeleton)) == skeleton
