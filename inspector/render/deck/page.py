"""One self-contained file: slides from templates, vendored scripts inside, and a policy that allows nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inspector.lesson.one_model import spoken
from inspector.render.assets import PLOTLY, TEMPLATES, THEME, VENDOR, environment, policy
from inspector.render.charts import CHART_NAMES, chart
from inspector.render.deck.slides import context
from inspector.render.deck.stories import STORIES

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.render.charts import Chart

SCRIPTS = (
    VENDOR / "reveal" / "reveal.js",
    PLOTLY,
    # Last, for it calls the other two.
    TEMPLATES / "deck.js",
)
# Ours after Reveal's: of two rules as strong, the later one holds.
STYLES = (VENDOR / "reveal" / "reveal.css", THEME, TEMPLATES / "deck.css")


def deck_html(lesson: Lesson, *, story: str = "lora-qlora", command: str = "inspector report") -> str:
    """The whole page.

    Args:
        lesson: the numbers.
        story: a key of `STORIES`.
        command: the command line that writes the same page, printed on the last slide.
    """
    wanted = {slide for group in STORIES[story] for slide in group}
    if lesson.training is None:
        # Dry runs do not ship for every model, and a deck can be had of any.
        wanted.discard("training")
    charts = {name: chart(name, lesson) for name in CHART_NAMES if name in wanted}
    scripts = [path.read_text(encoding="utf-8") for path in SCRIPTS]
    page: str = (
        environment()
        .get_template("deck.html.j2")
        .render(
            **context(lesson),
            charts=charts,
            story=STORIES[story],
            title=_title(lesson, story),
            command=command,
            policy=policy(scripts),
            scripts=scripts,
            styles="\n".join(path.read_text(encoding="utf-8") for path in STYLES),
            data=_data(lesson, charts),
        )
    )
    return page


def _title(lesson: Lesson, story: str) -> str:
    if story == "compare":
        return "Base models side by side: " + ", ".join(spoken(row.model) for row in lesson.comparison.rows)
    subject = {"sizes": "what its weights take", "finetune": "what training it takes"}
    return f"{lesson.name}: {subject.get(story, 'the memory of LoRA and QLoRA')}"


def _data(lesson: Lesson, charts: dict[str, Chart]) -> dict[str, Any]:
    """What the page's script reads: the figures, and the shapes the sliders compute from."""
    return {
        # Through plotly's own encoder, which knows what its figures are made of.
        "charts": {name: json.loads(made.figure.to_json()) for name, made in charts.items()},
        "parameters": lesson.skeleton.num_parameters,
        "targets": [{"name": target.name, "shapes": target.shapes} for target in lesson.targets],
    }
