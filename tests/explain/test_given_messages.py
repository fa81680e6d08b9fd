"""Real messages that people pasted: every figure read, and the tensor named where it is known."""

import inspector
from inspector.errors import InspectorError
from inspector.sources.bundled import find
from tests.explain.messages import given, put

SHAPED_AS = {"Qwen/Qwen2-7B-Instruct": "Qwen/Qwen2.5-7B", "ICTNLP/Llama-3.1-8B-Omni": "meta-llama/Llama-3.1-8B"}
"""Models that are not bundled, and one of the same shapes that is."""
WORDS = (
    "MLP weight",
    "MLP activation",
    "embedding",
    "QKV",
    "gate and up",
    "flat parameter",
    "attention projection",
    "logits",
)
WIDTHS = ("16 bit", "float32", "8 bit")


def model_of(row):
    name = (row["model"] or "").partition(" ")[0]
    try:
        return find(SHAPED_AS.get(name, name)) if name else None
    except InspectorError:
        return None


def explained(row):
    above = f"{row['raised_at']}\n" if row["raised_at"] else ""
    return inspector.explain_error(above + put(row["format"], row["printed"]), model_of(row)).errors[0]


def read(error):
    """The figures as the file has them."""
    sizes = error.figures.sizes()
    said = {name: size.text for name, size in sizes.items()} | {"gpu": error.figures.gpu}
    said["other_processes"] = [size.text for size in error.figures.other_processes] or None
    return said, {name: size.nbytes for name, size in sizes.items()}


def test_every_figure_of_every_message_is_read():
    for row in given():
        said, sizes = read(explained(row))
        printed = {name: value for name, value in row["printed"].items() if name != "gpu" or row["printed"]["capacity"]}
        assert {name: said.get(name) for name in printed} == printed, row["id"]
        assert {name: sizes[name] for name in row["bytes"]} == row["bytes"], row["id"]


def same(named, row):
    """Whether the best candidate is the tensor of the row, by its bytes and by what it is called."""
    best, right = named.tensor, row["recognised"]
    if best is None or best.rounded_bytes != right["rounded_bytes"]:
        return False
    words = [word for word in (*WORDS, *WIDTHS) if word in right["tensor"].replace("fused gate", "gate")]
    return bool(words) and all(word in best.what.replace("fused gate", "gate") for word in words)


def test_the_tensor_is_named_where_its_shape_is_known():
    known = [row for row in given() if (row["recognised"] or {}).get("basis") == "the model's config and the report"]
    right = [row["id"] for row in known if same(explained(row).named, row)]
    assert len(known) >= 10
    assert len(right) >= 0.9 * len(known), {row["id"] for row in known} - set(right)


def test_none_is_named_with_certainty_and_wrong():
    rows = [row for row in given() if row["recognised"]]
    found = [(row, explained(row).named) for row in rows]
    assert [row["id"] for row, named in found if named.certainty == "certain" and not same(named, row)] == []
    # Where the model is bundled, the right tensor is among the candidates, whatever the row rests on.
    missed = [row["id"] for row, named in found if model_of(row) and not any(
        one.rounded_bytes == row["recognised"]["rounded_bytes"] for one in named.candidates)]  # fmt: skip
    assert set(missed) <= {"s1-106-ce-32b"}  # its length was solved from the size, which many lengths print
