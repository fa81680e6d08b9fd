// Quantization in the hand: rows uncovered one by one, dots that may be dragged, an outlier that crowds the others.
Deck.slide("rungs", ({ section, data, deck }) => {
  const rows = [...section.querySelectorAll(".hand tbody tr")], dots = [...section.querySelectorAll(".dot")];
  const ladder = section.querySelector(".ladder svg"), scaleLine = section.querySelector(".scale");
  const now = { scheme: "nf4", outlier: false, twice: false, weights: [...data.weights] };
  const largest = data.weights.reduce((best, weight, at) => (Math.abs(weight) > Math.abs(data.weights[best]) ? at : best), 0);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  const signed = (value, digits = 4) => {
    const text = deck.number(Math.abs(value), digits);
    return /[1-9]/.test(text) ? `${value < 0 ? "\u2212" : "+"}${text}` : text;
  };
  const x = (value) => data.x[0] + ((value + 1) / 2) * data.x[1];
  const pressed = (name) => section.querySelector(`[data-${name}]`).getAttribute("aria-pressed") === "true";

  // As `kept` in Python: divided by the scale, the nearest rung, of two as near the first.
  function kept(weight, scale) {
    const levels = data.levels[now.scheme], divided = scale ? weight / scale : 0;
    let code = 0;
    levels.forEach((level, at) => { if (Math.abs(level - divided) < Math.abs(levels[code] - divided)) code = at; });
    const back = levels[code] * scale;
    return { weight, divided, rung: levels[code], bits: code.toString(2).padStart(4, "0"), back, error: back - weight };
  }

  function scale() {
    const most = Math.max(...now.weights.map(Math.abs));
    // Read back from 8 bits, as the real tensor's is; dragged weights have a scale of their own, and no such twin.
    return now.twice && most === data.scale ? data.twice : most;
  }

  function draw() {
    const own = scale();
    const found = now.weights.map((weight) => kept(weight, own));
    found.forEach((one, at) => {
      const cells = [signed(one.weight), signed(one.divided, 3), signed(one.rung, 3), one.bits, signed(one.back), signed(one.error)];
      [...rows[at].children].forEach((cell, column) => { (cell.querySelector("span") ?? cell).textContent = cells[column]; });
      rows[at].classList.toggle("moved", now.weights[at] !== data.weights[at]);
      dots[at].setAttribute("cx", x(Math.max(-1, Math.min(1, one.divided))));
      dots[at].setAttribute("aria-valuenow", one.divided.toFixed(3));
      const said = { weight: cells[0], rung: cells[2], bits: cells[3], error: cells[5] };
      dots[at].setAttribute("aria-valuetext", fill(data.says.dot, said));
    });
    const levels = data.levels[now.scheme];
    ladder.querySelectorAll(".rung").forEach((rung, at) => {
      for (const end of ["x1", "x2"]) rung.setAttribute(end, x(levels[at]));
    });
    const used = new Set(found.filter((_, at) => at !== largest).map((one) => one.rung)).size;
    scaleLine.textContent = now.outlier ? fill(data.says.crowded, { used })
      : fill(now.twice ? data.says.scale_twice : data.says.scale,
        { scale: deck.number(Math.max(...now.weights.map(Math.abs)), 4), twice: deck.number(own, 4), once: data.bits.once, both: data.bits.twice });
    section.dataset.used = used;
  }

  function move(at, divided) {
    const own = Math.max(...now.weights.map(Math.abs));
    now.weights[at] = Math.max(-1, Math.min(1, divided)) * own;
    draw();
  }
  dots.forEach((dot, at) => {
    if (at === largest) {
      dot.style.cursor = "default";
      return;
    }
    dot.addEventListener("pointerdown", (event) => {
      dot.setPointerCapture(event.pointerId);
      const drag = (moved) => {
        const box = ladder.getBoundingClientRect();
        const place = ((moved.clientX - box.left) / box.width) * ladder.viewBox.baseVal.width;
        move(at, ((place - data.x[0]) / data.x[1]) * 2 - 1);
      };
      const done = () => {
        dot.removeEventListener("pointermove", drag);
        dot.blur();
      };
      dot.addEventListener("pointermove", drag);
      dot.addEventListener("pointerup", done, { once: true });
    });
    dot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 0.02, ArrowUp: 0.02, ArrowLeft: -0.02, ArrowDown: -0.02 }[event.key];
      if (!step) return;
      move(at, now.weights[at] / Math.max(...now.weights.map(Math.abs)) + step);
      event.preventDefault();
      event.stopPropagation();
    });
  });
  for (const button of section.querySelectorAll("[data-scheme]")) {
    button.addEventListener("click", () => {
      now.scheme = button.dataset.scheme;
      for (const other of section.querySelectorAll("[data-scheme]")) other.setAttribute("aria-pressed", String(other === button));
      draw();
    });
  }
  for (const name of ["outlier", "twice"]) {
    section.querySelector(`[data-${name}]`).addEventListener("click", (event) => {
      event.currentTarget.setAttribute("aria-pressed", String(!pressed(name)));
      now.outlier = pressed("outlier");
      now.twice = pressed("twice");
      now.weights = data.weights.map((weight, at) => (now.outlier && at === largest ? data.outlier * weight : weight));
      draw();
    });
  }
  const cells = rows.map((row) => [...row.querySelectorAll(".covering")]);
  for (const cell of cells.flat()) cell.addEventListener("click", () => cell.classList.remove("covered"));
  const cover = (open) => cells.forEach((row, at) => row.forEach((cell) => cell.classList.toggle("covered", at >= open)));
  cover(data.open);
  draw();
  return { step: (frame) => cover(data.open + frame) };
});
