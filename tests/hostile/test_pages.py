"""Names from files in what Inspector shows, as pages, charts, tables and JSON: none takes hold of anything."""

import csv
import io
import json
from html.parser import HTMLParser

import pytest

from inspector.cli.main import run
from inspector.render.csvio import csv_text
from inspector.safe_text import clean
from tests.hostile.conftest import UNSAFE
from tests.hostile.test_hostile_safetensors import packed

EVIL = "<script>alert(1)</script>\x1b[31m\u202e\x9b\r\n&\"'"
NAMES = {
    True: [
        "model.embed_tokens.weight", f"model.layers.0.{EVIL}.weight",
        "model.layers.0.</script><img src=x onerror=alert(3)>.weight", "=cmd|' /C calc'!A0.weight", "lm_head.weight",
    ],
    False: [
        "model.embed_tokens.weight", "model.layers.0.up_proj.weight", "model.layers.0.down_proj.weight",
        "other.weight", "lm_head.weight",
    ],
}  # fmt: skip


@pytest.fixture
def model(tmp_path):
    """A folder of safetensors, with hostile names or with harmless ones."""

    def make(*, hostile):
        folder = tmp_path / ("<script>alert(2)<!-- \u202e\x1b[31m" if hostile else "plain")
        folder.mkdir()
        rows = [
            {"dtype": "BF16", "shape": [8, 8], "data_offsets": [128 * number, 128 * number + 128]}
            for number in range(5)
        ]
        header = dict(zip(NAMES[hostile], rows, strict=True))
        (folder / "model.safetensors").write_bytes(packed(header, bytes(128 * 5)))
        return folder

    return make


class Tags(HTMLParser):
    """Every element of a page, and every attribute that could run something."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag in {"script", "img", "iframe", "object", "embed", "link", "base", "form", "meta"}:
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize(
    "words", [["report", "MODEL"], ["report", "MODEL", "--deck", "sizes"], ["chart", "sizes", "MODEL"]]
)
def test_a_page_runs_nothing_that_a_file_says(words, model, tmp_path, capsys):
    tags = []
    for hostile in (False, True):
        out = tmp_path / f"{hostile}.html"
        folder = str(model(hostile=hostile))
        assert run([folder if word == "MODEL" else word for word in words] + ["-o", str(out)]) == 0
        text = out.read_text(encoding="utf-8")
        tags.append(Tags(text).found)
        if hostile and words[0] == "report":  # plotly's own code has such characters
            assert not UNSAFE & set(text)
        assert "<script>alert" not in text
    assert tags[0] == tags[1]
    capsys.readouterr()


@pytest.mark.parametrize(
    "words",
    [["layers"], ["layers", "--csv"], ["memory", "--by", "module"], ["memory", "--by", "module", "--csv"],
     ["checkpoint"], ["checkpoint", "--csv"], ["lora"], ["layers", "--filter", "\x1b[31m"]],
)  # fmt: skip
def test_a_terminal_is_told_names_without_their_codes(words, model, capsys):
    command, *options = words
    assert run([command, str(model(hostile=True)), *options]) in {0, 2}
    out, err = capsys.readouterr()
    assert not UNSAFE & set(out + err)


def strings(value):
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_json_has_the_names_as_they_are_in_plain_letters(model, capsys):
    assert run(["layers", str(model(hostile=True)), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert not UNSAFE & set(out)
    assert EVIL in "".join(strings(json.loads(out)))


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(name):
    rows = list(csv.reader(io.StringIO(csv_text([{"name": name, "bytes": -5}]))))
    assert rows[1][0][0] not in "=+-@\t\r"
    assert rows[1][1] == "-5"


def test_what_is_unsafe_is_replaced_and_nothing_else():
    assert clean("a\x1b\u202eb\n\u2066") == "a\N{REPLACEMENT CHARACTER}" * 1 + "\N{REPLACEMENT CHARACTER}b" + (
        "\N{REPLACEMENT CHARACTER}" * 2
    )
    assert clean("Größe 模型 model.layers.0-31") == "Größe 模型 model.layers.0-31"


def test_a_warning_names_a_model_without_its_codes(model, tmp_path, capsys):
    """The folder's name is in the line about a damaged cache."""
    folder = model(hostile=True)
    (folder / "config.json").write_text('{"model_type": "\\u001b[31mnobody\\u202eknows"}')
    assert run(["layers", str(folder)]) == 0
    err = capsys.readouterr().err
    assert "knows no architecture" in err
    assert not UNSAFE & set(err)
    assert err.count("\n") == 1
