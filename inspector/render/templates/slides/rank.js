// Rank in the hand: the picture is the sum of the first r columns times rows.
Deck.slide("rank", ({ section, data, deck }) => {
  const input = section.querySelector(".scrub input"), cells = [...section.querySelectorAll(".rebuilt rect:not(.paper)")];
  const side = data.columns.length, sum = section.querySelector(".sum");
  const space = "http://www.w3.org/2000/svg";
  function show() {
    const r = Number(input.value);
    cells.forEach((cell, at) => {
      const y = Math.floor(at / side), x = at % side;
      let dark = 0;
      for (let piece = 0; piece < r; piece += 1) dark += data.columns[piece][y] * data.rows[piece][x];
      cell.setAttribute("fill-opacity", Math.min(Math.max(dark, 0), 1).toFixed(2));
    });
    // A column times a row for each piece, as many as there are.
    const wide = 420 / side;
    sum.replaceChildren(...Array.from({ length: r }, (_, at) => [[at * wide + 2, 14, 6, 90], [at * wide + 10, 6, wide - 14, 6]]).flat().map(([x, y, w, h]) => {
      const rect = document.createElementNS(space, "rect");
      for (const [name, value] of Object.entries({ x, y, width: Math.max(w, 3), height: h })) rect.setAttribute(name, value);
      return rect;
    }));
    section.querySelector(".scrub b").textContent = r;
    section.querySelector(".kept").textContent = data.told[r - 1];
    input.setAttribute("aria-valuetext", data.told[r - 1]);
  }
  input.addEventListener("input", show);
  show();
  return {};
});
