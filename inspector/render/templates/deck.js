// The deck's own script: draws the figures, runs the sliders, and turns the page into slides where there is room.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("deck-data").textContent);
  const root = document.documentElement;
  // A phone gets the page as it is: text that wraps beats slides that shrink.
  const roomy = window.matchMedia("(min-width: 801px) and (min-height: 481px)").matches;
  if (roomy) root.classList.add("deck");

  for (const place of document.querySelectorAll("[data-chart]")) {
    const figure = data.charts[place.dataset.chart];
    const layout = roomy ? figure.layout : small(figure.layout, place);
    Plotly.newPlot(place, figure.data, layout, { displayModeBar: false, staticPlot: false, scrollZoom: false });
  }

  function figureData(place) {
    return data.charts[place.dataset.chart].data;
  }

  function small(layout, place) {
    const made = { ...layout, autosize: true, width: undefined, height: Math.min(layout.height, 420) };
    made.font = { ...layout.font, size: 12 };
    made.annotations = (layout.annotations || []).map((note) => ({ ...note, font: { ...note.font, size: 13 } }));
    // Labels that stood beside each other now have a quarter of the room: a word a line.
    if (place.dataset.chart === "sizes") {
      figureData(place).forEach((trace) => { trace.x = trace.x.map((label) => label.replaceAll(" ", "<br>")); });
      made.margin = { ...layout.margin, b: 110 };
    }
    if (layout.title) made.title = { ...layout.title, font: { size: 18 } };
    place.style.height = `${made.height}px`;
    return made;
  }

  // LoRA: r x (inputs + outputs) parameters for every targeted module, four bytes each.
  const rank = document.getElementById("rank");
  if (rank) {
    const say = (id, text) => { document.getElementById(id).textContent = text; };
    const recompute = () => {
      const r = 2 ** Number(rank.value);
      const on = new Set([...document.querySelectorAll('input[name="target"]:checked')].map((box) => box.value));
      let parameters = 0;
      for (const target of data.targets) {
        if (!on.has(target.name)) continue;
        for (const [inputs, outputs, count] of target.shapes) parameters += r * (inputs + outputs) * count;
      }
      rank.setAttribute("aria-valuetext", String(r));
      say("rank-value", r);
      say("lora-alpha", 2 * r);
      say("lora-parameters", parameters.toLocaleString("en-US"));
      say("lora-mb", (4 * parameters / 1e6).toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 }));
      say("lora-share", (100 * parameters / data.parameters).toFixed(2) + "%");
    };
    rank.closest("form").addEventListener("input", recompute);
    rank.closest("form").addEventListener("submit", (event) => event.preventDefault());
    recompute();
  }

  if (!roomy) return;

  const speaker = document.querySelector(".speaker");
  const notes = () => {
    const found = Reveal.getCurrentSlide().querySelector("aside.notes");
    speaker.replaceChildren(...(found ? [...found.cloneNode(true).childNodes] : []));
  };
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : window.matchMedia("(prefers-color-scheme: dark)").matches;
  const actions = {
    overview: () => Reveal.toggleOverview(),
    theme: () => { root.dataset.theme = dark() ? "light" : "dark"; },
    print: () => window.print(),
    notes: () => {
      speaker.hidden = !speaker.hidden;
      document.querySelector('[data-do="notes"]').setAttribute("aria-pressed", String(!speaker.hidden));
    },
  };
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);

  Reveal.initialize({
    width: 1280, height: 720, margin: 0, minScale: 0.2, maxScale: 4, center: false, hash: true, respondToHashChanges: true,
    transition: "none", backgroundTransition: "none", slideNumber: "c/t", controls: true, controlsTutorial: false,
    scrollActivationWidth: null, pdfSeparateFragments: false, help: true,
    keyboardCondition: () => !document.activeElement.closest("input, summary, button, .panel, .scroll, .speaker"),
    keyboard: { 78: actions.notes, 84: actions.theme, 80: actions.print },
  }).then(() => {
    notes();
    Reveal.on("slidechanged", notes);
    root.dataset.ready = "yes";
  });
})();
