"""The deck's story as a PowerPoint file with native, editable charts and tables; python-pptx is an extra."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lesson.texts import texts
from inspector.memory_kinds import MemoryKind
from inspector.render import theme
from inspector.render.charts.sizes import bar_label
from inspector.render.deck.slides import told
from inspector.safe_text import clean
from inspector.units import GB, MB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pptx.chart.chart import Chart
    from pptx.dml.fill import FillFormat
    from pptx.presentation import Presentation
    from pptx.slide import Slide as Page
    from pptx.text.text import TextFrame

    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.render.deck.bars import Stacks
    from inspector.render.deck.slide import Slide

PATTERNS = {
    "/": "WIDE_UPWARD_DIAGONAL", "\\": "WIDE_DOWNWARD_DIAGONAL", "x": "OUTLINED_DIAMOND", "-": "NARROW_HORIZONTAL",
    "|": "NARROW_VERTICAL", ".": "DOTTED_GRID",
}  # fmt: skip
"""What PowerPoint calls the hatches that tell kinds of one colour apart."""
BODY, SMALL = 20, 18
"""Points: nothing is smaller than 18, as on the HTML slides."""


def deck_pptx(
    lesson: Lesson, *, story: str = "lora-qlora", command: str = "inspector report", language: str = "en"
) -> bytes:
    """The file's bytes. Raises InspectorError when python-pptx is not installed."""
    try:
        import pptx
    except ImportError:
        raise InspectorError(
            "PowerPoint files need python-pptx", hint="pip install 'llm-inspector[pptx]', or leave out --format"
        ) from None
    say = texts(language)
    deck = _Deck(pptx.Presentation(), lesson, say)
    for slide in told(lesson, say, story=story, command=command):
        if slide.quiz:
            deck.question(slide)
        _DRAWN.get(slide.name, _as_table)(deck, slide)
    stream = io.BytesIO()
    deck.file.save(stream)
    return stream.getvalue()


class _Deck:
    """A presentation being made, 13.33 x 7.5 inches."""

    def __init__(self, file: Presentation, lesson: Lesson, say: Texts) -> None:
        from pptx.util import Inches

        self.file, self.lesson, self.say = file, lesson, say
        self.inches = Inches
        # 1280 x 720 pixels at 96 an inch, as the HTML slides; python-pptx's own template is 4:3.
        file.slide_width, file.slide_height = Inches(13.333), Inches(7.5)
        _recolour(file)

    def slide(self, title: str, spoken: str = "") -> Page:
        """A slide with a title and speaker notes."""
        # The sixth layout of python-pptx's template is "Title Only": the rest of the slide is ours.
        slide = self.file.slides.add_slide(self.file.slide_layouts[5])
        box = slide.shapes.title
        # 12.1 inches leave 0.6 on both sides.
        box.left, box.top, box.width, box.height = map(self.inches, (0.6, 0.3, 12.1, 0.9))
        box.text = clean(title)
        _size(box.text_frame, 28, bold=True)
        if spoken:
            slide.notes_slide.notes_text_frame.text = "\n".join(map(clean, spoken.splitlines()))
        return slide

    def finding(self, slide: Slide) -> Page:
        """A slide of the story with its finding, its number to remember and its notes in four parts."""
        page = self.slide(slide.title, _spoken(slide, self.say))
        if slide.remember[0]:
            self.text(page, [f"{slide.remember[0]}  {slide.remember[1]}"], top=6.7, size=24)
        return page

    def question(self, slide: Slide) -> None:
        """Its question on a slide before it."""
        if slide.quiz is None:
            return
        options = [f"{'ABCD'[number]}  {option.text}" for number, option in enumerate(slide.quiz.options)]
        self.text(self.slide(slide.quiz.question), options, top=1.6, size=28)

    def text(self, slide: Page, lines: Iterable[str], top: float = 1.3, size: int = BODY) -> None:
        """Lines under each other, the width of the slide."""
        box = slide.shapes.add_textbox(*map(self.inches, (0.6, top, 12.1, 0.5)))
        box.text_frame.word_wrap = True
        box.text_frame.text = "\n".join(map(clean, lines))
        _size(box.text_frame, size)

    def table(self, slide: Page, rows: Sequence[Sequence[str]], top: float = 1.4, size: int = SMALL) -> None:
        """A table, its first row the heading."""
        # A line of 18 points with its spacing is 0.3 inches, and a cell keeps 0.05 above and below it.
        height = 0.42 * len(rows)
        place = map(self.inches, (0.6, top, 12.1, height))
        made = slide.shapes.add_table(len(rows), len(rows[0]), *place).table
        for line, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                made.cell(line, column).text = clean(cell)
                _size(made.cell(line, column).text_frame, size, bold=line == 0)

    def bars(
        self,
        slide: Page,
        names: Sequence[str],
        series: Mapping[str, Sequence[float]],
        *,
        colours: Sequence[str],
        hatches: Sequence[str] = (),
        title: str = "",
        # By its name: the type is python-pptx's, an extra that is imported only when a file is asked for.
        kind: str = "COLUMN_CLUSTERED",
        labels: bool = True,
    ) -> None:
        """A native bar chart; ``colours`` are of the series, or of a single one's points where they are several."""
        from pptx.chart.data import CategoryChartData
        from pptx.enum.chart import XL_CHART_TYPE, XL_TICK_LABEL_POSITION

        data = CategoryChartData(number_format="#,##0")
        data.categories = [clean(name) for name in names]
        for name, values in series.items():
            data.add_series(name, values)
        made = slide.shapes.add_chart(
            getattr(XL_CHART_TYPE, kind), *map(self.inches, (0.6, 1.3, 12.1, 5.3)), data
        ).chart
        _dress(made, colours, title=title, labels=labels)
        for series_made, hatch in zip(made.plots[0].series, hatches, strict=False):
            _hatch(series_made.format.fill, hatch)
        if kind.startswith("BAR"):
            # PowerPoint counts lying bars from below, and puts the axis of numbers with the first.
            made.category_axis.reverse_order = True
            made.value_axis.tick_label_position = XL_TICK_LABEL_POSITION.HIGH


def _dress(made: Chart, colours: Sequence[str], *, title: str, labels: bool) -> None:
    from pptx.dml.color import RGBColor
    from pptx.enum.chart import XL_LEGEND_POSITION
    from pptx.util import Pt

    made.font.size = Pt(SMALL)
    made.has_title = bool(title)
    if title:
        made.chart_title.text_frame.text = title
    plot = made.plots[0]
    several = len(plot.series) > 1
    made.has_legend = several
    if several:
        made.legend.position = XL_LEGEND_POSITION.BOTTOM
        # Else the legend lies over the bars (`c:overlay`; without a word it counts as set).
        made.legend.include_in_layout = False
    plot.has_data_labels = labels
    if labels:
        # Linked, the labels would follow the cells of the embedded sheet instead.
        plot.data_labels.number_format, plot.data_labels.number_format_is_linked = "#,##0", False
    for number, colour in enumerate(colours):
        part = plot.series[0].points[number] if not several and len(colours) > 1 else plot.series[number]
        part.format.fill.solid()
        part.format.fill.fore_color.rgb = RGBColor.from_string(colour.lstrip("#"))


def _hatch(fill: FillFormat, hatch: str) -> None:
    """Lines of ink over a solid colour; without a hatch it stays as it is."""
    from pptx.dml.color import RGBColor
    from pptx.enum.dml import MSO_PATTERN

    if hatch:
        colour = fill.fore_color.rgb
        fill.patterned()
        fill.pattern = getattr(MSO_PATTERN, PATTERNS[hatch])
        fill.fore_color.rgb, fill.back_color.rgb = RGBColor.from_string(theme.LIGHT["paper"].lstrip("#")), colour


def _recolour(file: Presentation) -> None:
    """The theme's colours, which tables take and what a teacher adds: the palette's."""
    from pptx.opc.constants import RELATIONSHIP_TYPE

    part = file.slide_master.part.part_related_by(RELATIONSHIP_TYPE.THEME)
    accents = (theme.BASE, theme.ADAPTERS, theme.OPTIMIZER, theme.LOGITS, theme.CONSTANTS, theme.GREY)
    xml = part.blob.decode("utf-8")
    for number, colour in enumerate(accents, 1):
        tag = f"a:accent{number}"
        xml = re.sub(f"<{tag}>.*?</{tag}>", f'<{tag}><a:srgbClr val="{colour[1:]}"/></{tag}>', xml, flags=re.DOTALL)
    part._blob = xml.encode("utf-8")


def _size(frame: TextFrame, points: int, *, bold: bool = False) -> None:
    from pptx.util import Pt

    # Run by run, after the text: setting a text makes new runs, which have the layout's size.
    for paragraph in frame.paragraphs:
        for run in paragraph.runs:
            run.font.size, run.font.bold = Pt(points), bold


def _spoken(slide: Slide, say: Texts) -> str:
    """The notes in their four parts, as plain lines."""
    notes = slide.notes
    asked = [f"{question} {answer}" for question, answer in notes.if_asked]
    parts = (("say", [notes.say]), ("ask", [notes.ask]), ("if_asked", asked), ("arithmetic", notes.arithmetic))
    return "\n".join(line for name, lines in parts if lines for line in (say(f"frame.{name}"), *lines, ""))


def _as_table(deck: _Deck, slide: Slide) -> None:
    """What has no native chart is the first table of its drawer, as many rows as there is room for."""
    page, table = deck.finding(slide), slide.numbers[0]
    # With the heading 12 rows of 0.42 inches from 1.3 on: the line with the number comes after.
    deck.table(page, [table.columns, *table.rows[:11]], top=1.3)


def _sizes(deck: _Deck, slide: Slide) -> None:
    bars = deck.lesson.sizes
    colours = [theme.ADAPTERS if bar.is_adapter else theme.BASE for bar in bars]
    names = [bar_label(deck.lesson, bar, deck.say) for bar in bars]
    values = {"MB": [bar.nbytes / MB for bar in bars]}
    deck.bars(deck.finding(slide), names, values, colours=colours, title=slide.chart.title)


def _stacks(deck: _Deck, slide: Slide) -> None:
    """The stacked bars of a slide, each kind a series in its colour."""
    made: Stacks | None = slide.given.get("stacks")
    if made is None or not made.bars:
        _as_table(deck, slide)
        return
    kinds = {part.kind: (part.colour, part.hatch) for bar in made.bars for part in bar.parts}
    words = {kind.value: deck.say(f"kinds.{kind.name.lower()}") for kind in MemoryKind}
    series = {
        words.get(kind, kind): [
            sum(part.width for part in bar.parts if part.kind == kind) * made.end / GB for bar in made.bars
        ]
        for kind in kinds
    }
    names = [f"{bar.name}: {bar.total}" if bar.name else bar.total for bar in made.bars]
    colours, hatches = zip(*kinds.values(), strict=True)
    # Without labels: a thin part of a stack is no place for a number of 18 points.
    page = deck.finding(slide)
    deck.bars(page, names, series, colours=colours, hatches=hatches, title="GB", kind="BAR_STACKED", labels=False)


_DRAWN: dict[str, Callable[[_Deck, Slide], None]] = {
    "sizes": _sizes, "methods": _stacks, "before": _stacks, "training": _stacks, "question": _stacks, "ways": _stacks,
}  # fmt: skip
