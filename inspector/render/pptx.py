"""The deck's story as a PowerPoint file with native, editable charts and tables; python-pptx is an extra."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lesson.one_model import spoken
from inspector.render import theme
from inspector.render.charts import chart
from inspector.render.deck.stories import STORIES
from inspector.safe_text import clean
from inspector.units import GB, MB, count, percent, short_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pptx.chart.chart import Chart
    from pptx.presentation import Presentation
    from pptx.slide import Slide
    from pptx.text.text import TextFrame

    from inspector.lesson import Lesson

BODY, SMALL = 20, 18
"""Points: nothing is smaller than 18, as on the HTML slides."""


def deck_pptx(lesson: Lesson, *, story: str = "lora-qlora", command: str = "inspector report") -> bytes:
    """The file's bytes. Raises InspectorError when python-pptx is not installed."""
    try:
        import pptx
    except ImportError:
        raise InspectorError(
            "PowerPoint files need python-pptx", hint="pip install 'llm-inspector[pptx]', or leave out --format"
        ) from None
    deck = _Deck(pptx.Presentation(), lesson, command)
    for group in STORIES[story]:
        for name in group:
            if name in _SLIDES:
                _SLIDES[name](deck)
    stream = io.BytesIO()
    deck.file.save(stream)
    return stream.getvalue()


class _Deck:
    """A presentation being made, 13.33 x 7.5 inches."""

    def __init__(self, file: Presentation, lesson: Lesson, command: str) -> None:
        from pptx.util import Inches

        self.file, self.lesson, self.command = file, lesson, command
        self.inches = Inches
        # 1280 x 720 pixels at 96 an inch, as the HTML slides; python-pptx's own template is 4:3.
        file.slide_width, file.slide_height = Inches(13.333), Inches(7.5)

    def slide(self, title: str, notes: str = "") -> Slide:
        """A slide with a title and speaker notes."""
        # The sixth layout of python-pptx's template is "Title Only": the rest of the slide is ours.
        slide = self.file.slides.add_slide(self.file.slide_layouts[5])
        box = slide.shapes.title
        # 12.1 inches leave 0.6 on both sides.
        box.left, box.top, box.width, box.height = map(self.inches, (0.6, 0.3, 12.1, 0.9))
        box.text = clean(title)
        _size(box.text_frame, 32, bold=True)
        if notes:
            slide.notes_slide.notes_text_frame.text = clean(notes)
        return slide

    def text(self, slide: Slide, lines: Iterable[str], top: float = 1.3, size: int = BODY) -> None:
        """Lines under each other, the width of the slide."""
        box = slide.shapes.add_textbox(*map(self.inches, (0.6, top, 12.1, 0.5)))
        box.text_frame.word_wrap = True
        box.text_frame.text = "\n".join(map(clean, lines))
        _size(box.text_frame, size)

    def table(self, slide: Slide, rows: Sequence[Sequence[str]], top: float = 1.4, size: int = SMALL) -> None:
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
        slide: Slide,
        names: Sequence[str],
        series: Mapping[str, Sequence[float]],
        *,
        colours: Sequence[str],
        title: str = "",
        # By its name: the type is python-pptx's, an extra that is imported only when a file is asked for.
        kind: str = "COLUMN_CLUSTERED",
        labels: bool = True,
    ) -> None:
        """A native bar chart; ``colours`` are of the series, or of the points when there is one series."""
        from pptx.chart.data import CategoryChartData
        from pptx.enum.chart import XL_CHART_TYPE

        data = CategoryChartData(number_format="#,##0")
        data.categories = [clean(name) for name in names]
        for name, values in series.items():
            data.add_series(name, values)
        kind = getattr(XL_CHART_TYPE, kind)
        made = slide.shapes.add_chart(kind, *map(self.inches, (0.6, 1.3, 12.1, 5.6)), data).chart
        _dress(made, colours, title=title, labels=labels)


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
        part = plot.series[number] if several else plot.series[0].points[number]
        part.format.fill.solid()
        part.format.fill.fore_color.rgb = RGBColor.from_string(colour.lstrip("#"))


def _size(frame: TextFrame, points: int, *, bold: bool = False) -> None:
    from pptx.util import Pt

    # Run by run, after the text: setting a text makes new runs, which have the layout's size.
    for paragraph in frame.paragraphs:
        for run in paragraph.runs:
            run.font.size, run.font.bold = Pt(points), bold


def _model(deck: _Deck) -> None:
    lesson = deck.lesson
    layers = sum(run.count for run in lesson.layers.decoder_runs)
    title = f"{lesson.name}: {layers} layers, {short_count(lesson.skeleton.num_parameters)} parameters"
    total = lesson.skeleton.num_parameters
    slide = deck.slide(title, f"{count(total)} x 4 bytes = {count(total * 4)} bytes.")
    groups = [group for group in lesson.memory.groups if group.parameters]
    colours = [colour for group in groups for part, colour in theme.PART_COLOURS.items() if part == group.name]
    values = {"parameters": [group.parameters for group in groups]}
    deck.bars(slide, [group.name for group in groups], values, colours=colours, title="Parameters")


def _listing(deck: _Deck) -> None:
    # With the heading 15 rows of 0.42 inches from 1.2 on: the slide's end.
    rows = [row for row in deck.lesson.layers.rows if row.parameters][:14]
    cells = [
        ("  " * row.depth + row.name, row.cls, count(row.parameters),
         percent(row.total_parameters, deck.lesson.layers.num_parameters)) for row in rows
    ]  # fmt: skip
    deck.table(deck.slide("Layer by layer"), [("module", "class", "parameters", "share"), *cells], top=1.2)


def _steps(deck: _Deck) -> None:
    row = deck.lesson.adapters
    lines = (
        "1  Freeze the weights.",
        f"2  Select target modules: {', '.join(row.target_modules)}.",
        f"3  Make two matrices for each: A, {row.r} x inputs, and B, outputs x {row.r}.",
        f"4  Apply them, W + B·A. {count(row.trainable_parameters)} parameters train, {_mb(row.weight_bytes)}.",
        "There are two matrices for every target module.",
    )
    deck.text(deck.slide("LoRA in four steps"), lines, size=26)


def _lora(deck: _Deck) -> None:
    rows = [
        (row.target_set, str(row.r), str(row.alpha), count(row.trainable_parameters), f"{row.weight_bytes / MB:,.1f}")
        for row in deck.lesson.lora.rows
    ][:14]
    deck.table(deck.slide("r, alpha, target modules"), [("targets", "r", "alpha", "parameters", "MB"), *rows], top=1.2)


def _quantization(deck: _Deck) -> None:
    lesson = deck.lesson
    lines = [
        f"{short_count(lesson.skeleton.num_parameters)} x {report.bits} bits = {report.naive_bytes / GB:,.1f} GB"
        for report in map(lesson.scheme, ("fp32", "int8", "nf4-dq"))
    ]
    lines += ["4 bits are read as a float, not as an int.", "The adapter matrices stay 32 bit."]
    deck.text(deck.slide("Quantization: as many numbers, fewer bits"), lines, size=28)


def _sizes(deck: _Deck) -> None:
    bars, made = deck.lesson.sizes, chart("sizes", deck.lesson)
    colours = [theme.ADAPTERS if bar.is_adapter else theme.BASE for bar in bars]
    stored = f": stored in {deck.lesson.stored.title}" if deck.lesson.stored else ""
    slide = deck.slide(deck.lesson.name + stored, made.alt)
    values = {"MB": [bar.nbytes / MB for bar in bars]}
    deck.bars(slide, [bar.label for bar in bars], values, colours=colours, title=made.title)


def _waterfall(deck: _Deck) -> None:
    made = chart("waterfall", deck.lesson)
    # As a table: among the charts that python-pptx can write there is no waterfall.
    deck.table(deck.slide(made.title, made.alt), [made.columns, *made.rows], top=1.2)


def _training(deck: _Deck) -> None:
    if deck.lesson.training is None:
        return
    made = chart("training", deck.lesson)
    # From the figure, which has put small kinds together: both decks show the same parts.
    series = {trace.name: [float(value) for value in trace.x] for trace in made.figure.data}
    names = [str(name) for name in made.figure.data[0].y]
    colours = [str(trace.marker.color) for trace in made.figure.data]
    slide = deck.slide("Training it: MB alive at the peak", made.alt)
    # Without labels: a thin part of a stack is no place for a number of 18 points.
    deck.bars(slide, names, series, colours=colours, kind="COLUMN_STACKED", labels=False)


def _choosing(deck: _Deck) -> None:
    report = deck.lesson.comparison
    head = ("model", "parameters", *(f"{name}, MB" for name in report.schemes), "vocabulary", "context")
    rows = [
        (spoken(row.model), short_count(row.parameters), *(f"{size.footprint_bytes / MB:,.0f}" for size in row.schemes),
         count(row.vocab_size), count(row.context_length)) for row in report.rows
    ]  # fmt: skip
    if any(row.stored for row in report.rows):
        head = (*head, "stored in")
        rows = [(*cells, row.stored or "plain weights") for cells, row in zip(rows, report.rows, strict=True)]
    deck.table(deck.slide("Choosing a base model"), [head, *rows])


def _made(deck: _Deck) -> None:
    built = deck.lesson.skeleton.built_with
    lines = (
        "Every number is computed by Inspector from the model's architecture.",
        deck.command,
        f"Built with {built}.",
    )
    deck.text(deck.slide("How these numbers were made"), lines)


def _mb(nbytes: int) -> str:
    return f"{nbytes / MB:,.1f} MB"


_SLIDES: dict[str, Callable[[_Deck], None]] = {
    "model": _model, "listing": _listing, "steps": _steps, "lora": _lora, "quantization": _quantization,
    "sizes": _sizes, "waterfall": _waterfall, "training": _training, "choosing": _choosing, "made": _made,
}  # fmt: skip
