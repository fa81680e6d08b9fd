"""Every number on the stage stands in the slide's drawer, rounded the same way, and a slide speaks in one unit."""

import html
import json
import re

import pytest

from inspector.lenses.compare import COURSE_CANDIDATES
from inspector.lesson import lesson
from inspector.lesson.texts import texts
from inspector.render.deck import deck_html
from inspector.render.deck.slides import told
from inspector.sources.resolve import resolve
from inspector.units import short_count

# What is measured in something: a number with a unit, a decimal point, or in the thousands.
NUMBER = r"(?<![\w.,])(?:\d[\d,]*\d|\d)(?:\.\d+)?(?:\s?(?:GB|MB|%|[BMK]\b))?"
ADAPTERS_ARE_IN_MB = {"film"}
"""Slides in GB on which adapters, half a hundredth of one, are told in MB."""
MODELS = ["llama-3.1-8b", "gpt2", "gemma-2-9b"]


def plain(markup):
    """The words of some markup, those of attributes left out, and numbers that are a paper's name."""
    markup = re.sub(r"arXiv \d+\.\d+", "", markup)
    markup = re.sub(r"<(script|style|title)\b.*?</\1>", " ", markup, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", markup)).replace("\N{NO-BREAK SPACE}", " ")


def of_figure(figure):
    """What a chart writes on the stage: the numbers at its bars and its annotations."""
    layout = figure["layout"]
    said = [note["text"] for note in layout.get("annotations", [])]
    for trace in figure["data"]:
        said += trace.get("text", []) if isinstance(trace.get("text"), list) else []
        said += [trace["name"]] if layout.get("showlegend") and trace.get("name") else []
    return plain(" ; ".join(said))


def measured(text):
    """Numbers that measure something, without those that name a thing: a card, a precision, a model, a rank."""
    found = re.findall(NUMBER, text)
    return {
        number.replace(" ", "")
        for number in found
        if re.search(r"GB|MB|%|[BMK]$|\.\d", number) or len(number.replace(",", "")) > 4
    }


def bare(number):
    return re.sub(r"(GB|MB)$", "", number)


def rounded(text):
    """What the drawer's bytes and counts are on a stage."""
    known = measured(text) | {number.replace(" ", "") for number in re.findall(NUMBER, text)}
    for number in list(known):
        digits = re.fullmatch(r"[\d,]+", number)
        if digits and len(number) > 4:
            whole = int(number.replace(",", ""))
            known |= {short_count(whole), f"{whole / 1e9:.1f}", f"{whole / 1e9:.2f}"}
            known |= {f"{whole / 1e6:,.0f}", f"{whole / 1e6:,.1f}", f"{round(whole, -3):,}"}
        elif re.fullmatch(r"\d+\.\d\d(GB)?", number):
            known.add(f"{float(bare(number)):.1f}")
    return known


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    models = [request.param, *(model for model in COURSE_CANDIDATES if request.param not in model.lower())]
    return lesson(resolve(request.param), [resolve(model) for model in models[:4]])


def test_every_number_of_the_stage_is_in_the_drawer(made):
    page = deck_html(made)
    figures = json.loads(re.search(r'id="deck-data">(.*?)</script>', page, re.DOTALL)[1])["charts"]
    named = measured(made.name) | {"8B", "9B", "7B", "14B", "16GB"}
    for slide in told(made, texts(), story="lora-qlora"):
        section = re.search(rf'<section id="{slide.name}".*?</section>', page, re.DOTALL)[0]
        stage, drawer = section.split('<details class="drawer">')
        stage = stage[stage.index('<div class="face">') :]
        said = plain(stage) + " ; " + " ; ".join(of_figure(figures[chart.name]) for chart in slide.charts)
        known = rounded(plain(drawer.split('<details class="notes">')[0]))
        known |= {bare(number) for number in known}
        missing = {number for number in measured(said) - named if number not in known and bare(number) not in known}
        assert not missing, (slide.name, missing)


def test_a_slide_speaks_in_one_unit(made):
    """GB or MB; the axis of the course's chart is in MB, and adapters always are."""
    page = deck_html(made)
    for slide in told(made, texts(), story="lora-qlora"):
        section = re.search(rf'<section id="{slide.name}".*?</section>', page, re.DOTALL)[0]
        stage = plain(section[section.index('<div class="face">') :].split('<details class="drawer">')[0])
        # The title of the course's chart says in GB what its axis has in MB.
        stage = stage.replace(slide.title.replace("\N{NO-BREAK SPACE}", " "), "")
        units = set(re.findall(r"\d\s?(GB|MB|GiB|MiB)\b", stage))
        if slide.name in ADAPTERS_ARE_IN_MB:
            units -= {"MB"}
        assert len(units) <= 1, (slide.name, units)
