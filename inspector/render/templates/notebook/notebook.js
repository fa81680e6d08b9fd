// Draws the figures of the reports that a notebook shows. Each carries plotly packed; a page unpacks it once.
const unpacked = async (packed) => {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};

// Run as a script of the page, without the module loaders that notebooks have: they would take plotly for themselves.
// Another plotly that the notebook has loaded stays what it was.
const loaded = async (packed) => {
  const code = await unpacked(packed);
  const before = window.Plotly;
  const script = document.createElement("script");
  script.textContent = `(function (module, exports, define) {${code}\n})();`;
  document.head.append(script);
  script.remove();
  const ours = window.Plotly;
  if (before) window.Plotly = before;
  return ours;
};

const draw = async (report) => {
  const of = (name) => report.querySelector(`script.inspector-${name}`).textContent;
  window.inspectorPlotly ??= loaded(of("plotly"));
  const [plotly, figures] = await Promise.all([window.inspectorPlotly, unpacked(of("figures"))]);
  const charts = JSON.parse(figures);
  for (const place of report.querySelectorAll("[data-chart]")) {
    place.textContent = "";
    place.style.height = `${charts[place.dataset.chart].layout.height}px`;
    await drawFigure(plotly, place, charts[place.dataset.chart]);
    // A tab that is hidden while its cell runs has no width, and a side bar changes it: the window's own size tells neither.
    new ResizeObserver(() => { if (place.clientWidth) plotly.Plots.resize(place); }).observe(place);
  }
  report.dataset.inspector = "drawn";
};

// A figure that cannot be drawn leaves the sentence that stands in its place, and the tables.
for (const report of document.querySelectorAll('[data-inspector="waiting"]')) {
  report.dataset.inspector = "drawing";
  draw(report).catch((error) => {
    report.dataset.inspector = "failed";
    console.error("inspector:", error);
  });
}
