// Three choices: parameters are r times (inputs and outputs), summed over the pressed boxes; alpha is a number alone.
Deck.slide("choices", ({ section, data, deck }) => {
  const presses = [...section.querySelectorAll("[data-target]")], all = data.targets.map((target) => target.name);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  const size = (bytes) => (bytes >= 0.95e9 ? `${deck.number(bytes / 1e9, 1)}\u00a0GB` : `${deck.number(bytes / 1e6, bytes >= 1e7 || !bytes ? 0 : 1)}\u00a0MB`);
  const factors = { "1/2": 0.5, 1: 1, 2: 2, 4: 4 };
  const now = { r: data.r, factor: "2", on: new Set(data.start) };

  function wanted(said) {
    if (said === data.usual) return data.start;
    if (said === "all-linear") return all;
    return said.split("+").filter((name) => all.includes(name));
  }
  const same = (names) => names.length === now.on.size && names.every((name) => now.on.has(name));
  const said = () => (same(data.start) ? data.usual : same(all) ? "all-linear" : [...now.on].join("+"));

  function draw() {
    let parameters = 0;
    for (const target of data.targets) {
      if (!now.on.has(target.name)) continue;
      for (const [inputs, outputs, count] of target.shapes) parameters += now.r * (inputs + outputs) * count;
    }
    const found = data.times.map((times) => data.bytes * times * parameters);
    // The axis stays for the usual choices: so twice the rank is seen to be twice the bar.
    const end = data.ends.find((most) => found[2] <= most) ?? found[2];
    section.querySelectorAll(".cost").forEach((row, at) => {
      row.querySelector("i").style.width = `${(100 * found[at]) / end}%`;
      row.querySelector("b").textContent = size(found[at]);
    });
    const whole = found.reduce((sum, bytes) => sum + bytes, 0);
    const share = `${deck.number((100 * parameters) / data.parameters, 2)}%`;
    section.querySelector(".whole").textContent = fill(data.says.whole, { whole: size(whole), share });
    const push = factors[now.factor];
    section.querySelector(".push p").textContent = fill(data.says.push, { r: now.r, alpha: now.r * push, push: deck.number(push, push < 1 ? 1 : 0) });
    section.querySelector(".push line").setAttribute("x2", 4 + 100 * push);
    section.querySelector(".push path").setAttribute("d", `M${4 + 100 * push} 8l20 12-20 12z`);
    for (const press of presses) {
      const box = data.boxes.find((one) => one.name === press.dataset.target), on = now.on.has(box.name);
      press.classList.toggle("on", on);
      press.setAttribute("aria-checked", String(on));
      section.querySelector(`[data-strip="${box.name}"]`).setAttribute("width", on ? box.width * Math.min(1, box.strip * now.r) : 0);
    }
    for (const chip of section.querySelectorAll("[data-r]")) chip.setAttribute("aria-pressed", String(Number(chip.dataset.r) === now.r));
    for (const chip of section.querySelectorAll("[data-factor]")) chip.setAttribute("aria-pressed", String(chip.dataset.factor === now.factor));
    section.dataset.parameters = parameters;
  }

  function toggle(press) {
    const name = press.dataset.target;
    if (!now.on.delete(name)) now.on.add(name);
    draw();
    deck.state.set("targets", said());
  }
  for (const press of presses) {
    press.addEventListener("click", () => {
      toggle(press);
      press.blur();
    });
    press.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      toggle(press);
      event.preventDefault();
      event.stopPropagation();
    });
  }
  for (const chip of section.querySelectorAll("[data-r]")) {
    chip.addEventListener("click", () => {
      now.r = Number(chip.dataset.r);
      draw();
      deck.state.set("r", now.r);
    });
  }
  for (const chip of section.querySelectorAll("[data-factor]")) {
    chip.addEventListener("click", () => {
      now.factor = chip.dataset.factor;
      draw();
    });
  }
  const take = (key, value) => {
    if (key === "r" && Number(value) > 0) now.r = Number(value);
    if (key === "targets" && value) now.on = new Set(wanted(value));
    draw();
  };
  for (const key of ["r", "targets"]) {
    deck.state.on(key, (value) => take(key, value));
    const kept = deck.state.get(key, null);
    if (kept) take(key, kept);
  }
  draw();
  return {};
});
