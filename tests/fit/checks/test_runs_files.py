"""A repository's file of runs: what it says, and every mistake in it as a line with its number."""

import tomllib
from pathlib import Path

import pytest

from inspector.errors import InspectorError
from inspector.fit.checks.runs import MOST_BYTES, find_file, read_runs
from inspector.fit.checks.toml_lines import line_of, statements

GOOD = """
card = "T4"
length = 512

[runs.train]
model = "smollm2-135m"
method = "lora"
batch-size = 2
limits = ["peak <= 15 GiB", "trainable <= 1 %"]
fits = ["T4", "16GiB"]

[runs.chat]
model = "smollm2-135m"
simulate = "generate"
prompt_len = 64
cache = "static"
"""
RUN = '[tool.inspector.runs.a]\nmodel = "gpt2"\n'
MISTAKES = {
    "no TOML": ("a = 1\n[tool.inspector\nb = 2", 2, "no TOML"),
    "a text without its end": ('[tool.inspector.runs.a]\nmodel = "gpt2\n', 2, "no TOML"),
    "a key twice": (f'{RUN}model = "gpt2"\n', 3, "no TOML"),
    "nothing of ours": ("[tool.other]\na = 1\n", 1, "no table [tool.inspector]"),
    "ours is no table": ('[tool]\ninspector = "x"\n', 2, "no table [tool.inspector]"),
    "no runs": ('[tool.inspector]\ngpu = "T4"\n', 1, "no run is named"),
    "runs are a list": ("[tool.inspector]\nruns = [1]\n", 2, "no run is named"),
    "a run that is a text": ('[tool.inspector.runs]\na = "gpt2"\n', 2, "says nothing"),
    "an empty run": (f"{RUN}[tool.inspector.runs.b]\n", 3, "says nothing"),
    "an unknown default": (f'[tool.inspector]\ngup = "T4"\n{RUN}', 2, "no default is named 'gup'"),
    "a default twice": (f'[tool.inspector]\ngpu = "T4"\ncard = "L4"\n{RUN}', 3, "gpu is said a second time"),
    "a word twice": (f"{RUN}seq-len = 8\nseq_len = 9\n", 3, "seq_len is said a second time"),
    "a model and a script": (f'{RUN}script = "x.py"\n', 3, "are each a whole run"),
    "nothing to run": ('[tool.inspector.runs.a]\nlimits = ["peak <= 1 GiB"]\n', 1, "has no model"),
    "an unknown word": (f"{RUN}bach-size = 4\n", 3, "no setting is named 'bach-size'"),
    "a word of generation": (f"{RUN}num-beams = 4\n", 3, "is of generate"),
    "a word of scripts": (f"{RUN}nproc = 4\n", 3, "is of script"),
    "another kind": (f'{RUN}simulate = "serving"\n', 3, "finetune or generate"),
    "a length that is a text": (f'{RUN}seq-len = "lots"\n', 3, "seq_len is a whole number"),
    "a batch that is true": (f"{RUN}batch-size = true\n", 3, "batch_size is a whole number"),
    "a rank below one": (f'{RUN}method = "lora"\nr = 0\n', 4, "r must be a whole number"),
    "settings at odds": (f'{RUN}method = "full"\nbits = 4\n', 1, "the run 'a': "),
    "an unknown card": (f'{RUN}gpu = "T5000X"\n', 3, "no card is named"),
    "a card and its memory": (f'{RUN}gpu = "T4"\nvram = "16GiB"\n', 1, "takes the place of its name"),
    "an unknown recipe": (f'{RUN}recipe = "week9"\n', 3, "no recipe is named"),
    "a limit that is none": (f'{RUN}limits = [\n  "peak <= 15 GiB",\n  "peak about 3 GiB",\n]\n', 3, "is no limit"),
    "a limit of nothing known": (f'{RUN}limits = ["peek <= 15 GiB"]\n', 3, "no figure is named"),
    "a limit without a unit": (f'{RUN}limits = "peak <= 15"\n', 3, "is not a size"),
    "a share of bytes": (f'{RUN}peak = "<= 3 %"\n', 3, "is not a size"),
    "a limit that is a number": (f"{RUN}limits = [15]\n", 3, "a limit is a text"),
    "fits with a number": (f"{RUN}fits = 16\n", 3, "fits is a card's name"),
    "fits with a card nobody knows": (f'{RUN}fits = ["T4", "Z9000"]\n', 3, "no card is named"),
    "a config that is not there": ('[tool.inspector.runs.a]\nconfig = ["nowhere.yaml"]\n', 2, "no such file"),
    "a model that is a number": ("[tool.inspector.runs.a]\nmodel = 7\n", 2, "model is a text"),
    "two models": ('[tool.inspector.runs.a]\nmodel = ["gpt2", "gpt2"]\n', 2, "one model"),
    "trained parameters of a script": (
        '[tool.inspector.runs.a]\nscript = "x.py"\ntrainable = "<= 1 %"\n', 3, "of a script trainable is not known",
    ),
    "a script's quotes": ("[tool.inspector.runs.a]\nscript = \"x.py 'a\"\n", 2, "no line of a shell"),
    "today that nobody wrote": (f"{RUN}today = 3\n", 3, "today is what --update writes"),
}  # fmt: skip


def written(folder, text, name="pyproject.toml"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_a_line_with_its_number(case, tmp_path):
    text, line, said = MISTAKES[case]
    with pytest.raises(InspectorError) as caught:
        read_runs(written(tmp_path, text))
    place = f"pyproject.toml:{line}" if line else "pyproject.toml"
    assert caught.value.message.startswith((f"{place}: ", f"{place} ")), caught.value.message
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_no_file_a_folder_one_that_is_no_text_and_one_that_is_too_large(tmp_path):
    (tmp_path / "inspector.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.toml").write_bytes(b"#" * (MOST_BYTES + 1))
    for name, said in (("nowhere.toml", "no such file"), (".", "is a directory"), ("inspector.toml", "is not text"),
                       ("large.toml", "is larger than")):  # fmt: skip
        with pytest.raises(InspectorError, match=said):
            read_runs(tmp_path / name)


def test_what_a_file_says(tmp_path):
    train, chat = read_runs(written(tmp_path, GOOD, "inspector.toml")).runs
    assert train.options == {"gpu": "T4", "seq_len": 512, "method": "lora", "batch_size": 2}
    assert [limit.text for limit in train.limits] == ["peak <= 15 GiB", "trainable <= 1 %"]
    assert (train.cards, train.kind, train.at) == (("T4", "16GiB"), "finetune", "inspector.toml:5")
    # A length of training is no word of generation's, and its cache is no limit here.
    assert chat.kind == "generate"
    assert chat.options == {"gpu": "T4", "prompt_len": 64, "cache": "static"}


def test_limits_by_the_names_of_their_figures(tmp_path):
    said = '[runs.a]\nmodel = "gpt2"\npeak = "15 GiB"\nmargin = "1 GiB"\n'
    said += '[runs.b]\nmodel = "gpt2"\nlimits = {steady = "< 2 GiB"}\n'
    one, other = read_runs(written(tmp_path, said, "inspector.toml")).runs
    assert [(limit.figure, limit.sign) for limit in (*one.limits, *other.limits)] == [
        ("peak", "<="), ("margin", ">="), ("steady", "<"),
    ]  # fmt: skip


def test_the_nearest_file_is_found_and_two_of_them_are_refused(tmp_path):
    written(tmp_path, "[tool.ruff]\nx = 1\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with pytest.raises(InspectorError, match="is here or above"):
        find_file(inner)
    above = written(tmp_path, RUN)
    assert find_file(inner) == above
    own = written(inner, "", "inspector.toml")
    assert find_file(inner) == own
    written(inner, RUN)
    with pytest.raises(InspectorError, match="both have runs"):
        find_file(inner)


def test_statements_are_those_that_tomllib_reads():
    """Every key of real files, and of what is awkward: quotes, brackets and hashes in texts, and many lines."""
    awkward = (
        'a = """x = 1\n[no]\n""" # c\n"b.c" . d = \'#\' # [e]\n[t."x]y"]\nk = [ # [\n  "]", {z = 1},\n]\n'
        "[[l]]\nm = '''\n'''\n[t.u]\r\nv = 1\r\n"
    )
    for text in (awkward, *(path.read_text() for path in Path(__file__).parents[3].glob("*.toml"))):
        found, lines = statements(text), text.split("\n")
        data = tomllib.loads(text)
        for each in found:
            place = data
            for key in each.path:
                place = (place[-1] if isinstance(place, list) else place)[key]
            written_key = each.path[-1].split(".")[0]
            assert written_key in lines[each.first - 1]
        keys = {each.path for each in found}
        assert {(key,) for key in data} <= {path[:1] for path in keys}
    assert [(each.path, each.first, each.last) for each in statements(awkward)] == [
        (("a",), 1, 3), (("b.c", "d"), 4, 4), (("t", "x]y"), 5, 5), (("t", "x]y", "k"), 6, 8), (("l",), 9, 9),
        (("l", "m"), 10, 11), (("t", "u"), 12, 12), (("t", "u", "v"), 13, 13),
    ]  # fmt: skip
    assert line_of(statements(awkward), ("t", "x]y", "nowhere")) == 5
