// The adapters' bar is of the rank and the targets that slides share, where they were counted; else it stays.
Deck.slide("sizes", ({ section, data, deck }) => {
  const place = section.querySelector(".chart"), [bars] = Deck.data.charts.sizes.data;
  function follow() {
    const said = data.followed[`${deck.state.get("r", data.r)}.${deck.state.get("targets", data.targets)}`];
    if (!said || said.label === bars.x.at(-1)) return;
    [bars.x, bars.y, bars.text] = [[bars.x, said.label], [bars.y, said.mb], [bars.text, said.text]].map(([all, last]) => [...all.slice(0, -1), last]);
    place.setAttribute("aria-label", said.alt);
    Deck.draw(place);
  }
  for (const name of ["r", "targets"]) deck.state.on(name, follow);
  follow();
  return {};
});
