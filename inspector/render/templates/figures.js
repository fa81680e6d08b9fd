// Draws one figure of a page or a notebook. It computes no number.

// What is alive at a point: the stacked traces' own values, largest first, in the text that hovering shows.
function aliveAt(traces, index) {
  return traces.filter((trace) => trace.stackgroup && trace.y[index] > 0)
    .map((trace) => [trace.y[index], trace.name])
    .sort((a, b) => b[0] - a[0])
    .map(([level, name]) => `${level.toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ${name}`)
    .join("<br>");
}

function drawFigure(plotly, place, { data: traces, layout }) {
  for (const trace of traces) {
    if (trace.name !== "allocated" || !trace.text) continue;
    trace.customdata = trace.x.map((_, index) => aliveAt(traces, index));
    trace.hovertemplate = trace.hovertemplate.replace("<extra>", "<br>%{customdata}<extra>");
  }
  if (window.matchMedia("(max-width: 600px)").matches) {
    layout.font = { ...layout.font, size: 12 };
    layout.hoverlabel = { ...layout.hoverlabel, font: { ...layout.hoverlabel.font, size: 11 } };
    layout.dragmode = false;
  }
  return plotly.newPlot(place, traces, layout, { displayModeBar: false, responsive: true, scrollZoom: false });
}
