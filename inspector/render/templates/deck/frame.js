// The deck's frame: what slides register with, what they share, and the figures.
const Deck = (() => {
  "use strict";
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("deck-data").textContent);
  // A phone gets the page as it is: text that wraps beats slides that shrink.
  let roomy = window.matchMedia("(min-width: 801px) and (min-height: 481px)").matches && !data.handout;
  if (roomy) root.classList.add("deck");
  const setups = {}, made = {};
  const listeners = [];

  // What slides share, such as the rank: kept in the address after "?", so that a teacher can prepare it.
  const kept = new URLSearchParams(window.location.search);
  const state = {
    get: (key, otherwise) => kept.get(key) ?? otherwise,
    set: (key, value) => {
      if (kept.get(key) === String(value)) return;
      kept.set(key, value);
      try {
        window.history.replaceState(window.history.state, "", `?${kept}${window.location.hash}`);
      } catch {
        // A page of a sandbox has no history to write: the state lives as long as the page.
      }
      for (const [wanted, told] of listeners) if (wanted === key) told(value);
    },
    on: (key, told) => { listeners.push([key, told]); },
  };

  function slide(name, setup) { setups[name] = setup; }

  const number = (value, digits = 0) => value.toLocaleString(data.language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const text = (key, values = {}) => data.texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  const deck = { roomy, state, number, text, language: data.language, still: window.matchMedia("(prefers-reduced-motion: reduce)").matches };

  function start() {
    for (const place of document.querySelectorAll("[data-chart]")) draw(place);
    for (const [name, setup] of Object.entries(setups)) {
      const section = document.getElementById(name);
      if (section) made[name] = setup({ section, data: data.slides[name] ?? {}, deck }) ?? {};
    }
  }

  // Paper is as wide as a slide, however small the window is that it is printed from.
  function paper(on) {
    if (data.handout || deck.roomy || roomy === on) return;
    roomy = on;
    root.classList.toggle("deck", on);
    for (const place of document.querySelectorAll("[data-chart]")) {
      place.style.height = "";
      draw(place);
    }
  }

  window.addEventListener("beforeprint", () => paper(true));
  window.addEventListener("afterprint", () => paper(false));

  function draw(place) {
    // A phone turns it: the figure itself stays as it is, and may be drawn again.
    const figure = structuredClone(data.charts[place.dataset.chart]);
    const narrow = !roomy && !data.handout;
    const layout = narrow ? small(figure, place) : figure.layout;
    Plotly.newPlot(place, figure.data, layout, { displayModeBar: false, scrollZoom: false, staticPlot: narrow });
    // Its words are in the label beside it: read out as well, ticks and bars would be noise.
    for (const drawn of place.querySelectorAll("svg")) drawn.setAttribute("aria-hidden", "true");
  }

  // A phone's figure: as wide as the page, letters of 14 px, and the axis' room for them.
  function small(figure, place) {
    // Behind a question it is not laid out yet: the section's own paper says how wide it will be.
    const { layout } = figure, paper = place.closest("section"), edges = getComputedStyle(paper);
    const wide = place.clientWidth || paper.clientWidth - parseFloat(edges.paddingLeft) - parseFloat(edges.paddingRight);
    const phone = layout.meta?.phone ?? {};
    if (phone.swap) lie(figure);
    const made = { ...layout, ...phone, autosize: false, width: wide, height: phone.height ?? layout.height };
    made.font = { ...layout.font, size: 14 };
    for (const trace of figure.data) if (trace.textfont) trace.textfont = { ...trace.textfont, size: 14 };
    made.annotations = (phone.annotations ?? layout.annotations ?? []).map((note) => ({ ...note, font: { ...note.font, size: 14 } }));
    if (phone.swap || phone.names) above(figure, made);
    if (layout.title) made.title = { ...layout.title, font: { size: 17 } };
    place.style.height = `${made.height}px`;
    return made;
  }

  // Standing bars lie down, so that names have room.
  function lie(figure) {
    for (const trace of figure.data) [trace.x, trace.y, trace.orientation] = [trace.y, trace.x, "h"];
    figure.layout.xaxis = { ...figure.layout.yaxis };
    figure.layout.yaxis = { autorange: "reversed" };
    const most = Math.max(...figure.data[0].x);
    figure.layout.xaxis.range = [0, most * 1.25];
  }

  // Names stand above their bars: beside them they would take half of a phone.
  function above(figure, made) {
    const [trace] = figure.data;
    made.bargap = 0.55;
    made.yaxis = { ...made.yaxis, showticklabels: false, showgrid: false, automargin: false };
    made.margin = { l: 4, r: 8, t: 14, b: figure.layout.xaxis.title ? 36 : 8 };
    made.annotations = trace.y.map((name) => ({
      x: 0, y: name, text: name.replaceAll("<br>", " "), showarrow: false, xanchor: "left", yanchor: "bottom",
      yshift: 14, font: { ...made.font, size: 14 },
    }));
  }

  return { slide, start, draw, deck, data, made, root };
})();
