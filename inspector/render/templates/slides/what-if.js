// What if: chips choose one of the dry runs that were made; nothing between them is drawn, for nothing between was run.
Deck.slide("what-if", ({ section, data, deck }) => {
  const groups = [...section.querySelectorAll("[data-chip]")];
  const place = (name) => section.querySelector(`.whatif-bar .${name}`);
  const track = place("track"), limit = place("limit"), ghost = place("before");
  const gb = (bytes, digits = 1) => `${deck.number(bytes / data.gb, digits)}\u00a0GB`;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  const now = { ...data.first };
  let before = null, shown = null;

  const key = (choice) => {
    const full = choice.method === "full";
    return data.chips.map((name) => {
      if (full && name === "r") return "0";
      if (full && name === "targets") return "";
      return choice[name];
    });
  };
  // As `Choice.key` in Python: method, card, tokens, r, targets, loss, checkpointing.
  const run = (choice) => {
    const said = Object.fromEntries(data.chips.map((name, at) => [name, key(choice)[at]]));
    return data.runs[["method", "card", "tokens", "r", "targets", "loss", "checkpointing"].map((name) => said[name]).join(".")];
  };
  // Other slides share some of these, and may say what no run has: then the one at hand stays.
  for (const name of data.chips) {
    const said = deck.state.get(name, now[name]);
    if (run({ ...now, [name]: said })) now[name] = said;
    deck.state.on(name, (value) => {
      if (value === now[name] || !run({ ...now, [name]: value })) return;
      now[name] = value;
      draw();
    });
  }
  const chosen = data.chips.map((name) => deck.state.get(name, null));
  const asked = Object.fromEntries(data.chips.map((name, at) => [name, chosen[at] ?? data.first[name]]));
  if (run(asked)) Object.assign(now, asked);

  const size = (found) => found.slice(3).reduce((sum, bytes) => sum + bytes, 0);
  const axis = (most) => [20e9, 40e9, 85e9, 130e9].find((end) => most * 1.1 <= end) ?? most * 1.15;

  function draw() {
    const found = run(now), usable = data.cards[now.card], full = size(found);
    const end = axis(Math.max(full, usable, before ? size(before) : 0));
    const wide = track.clientWidth || 1168, share = (bytes) => `${(100 * bytes) / end}%`;
    let start = 0;
    const small = [];
    track.replaceChildren(...data.parts.map((part, at) => {
      const bytes = found[3 + at], room = (wide * bytes) / end, piece = document.createElement("span");
      Object.assign(piece.style, { left: share(start), width: share(bytes), backgroundColor: part.colour, color: part.ink });
      if (part.hatch) piece.classList.add(part.hatch === "/" ? "hatch-slash" : "hatch-cross");
      start += bytes;
      if (!bytes) return null;
      const ways = [`${part.name} ${deck.number(bytes / data.gb, 1)}`, deck.number(bytes / data.gb, 1)];
      const text = ways.find((way) => 13.5 * way.length + 16 <= room);
      if (text) {
        const label = document.createElement("b");
        label.textContent = text;
        piece.append(label);
      }
      // What is under 50 MB is in the numbers alone.
      if (text !== ways[0] && bytes >= 50e6) small.push(`${part.name} ${deck.number(bytes / data.gb, 1)}`);
      return piece;
    }).filter(Boolean));
    const sum = document.createElement("span");
    sum.className = "sum";
    sum.style.left = share(full);
    sum.textContent = gb(full);
    track.append(sum);
    const line = fill(data.says.line, { card: now.card, gb: gb(usable) });
    const told = data.parts.map((part, at) => [part.name, found[3 + at]]).filter(([, bytes]) => bytes);
    track.setAttribute("aria-label", `${fill(data.says.total, { gb: gb(full, 2) })} ${told.map(([name, bytes]) => `${name} ${gb(bytes, 2)}`).join(", ")}. ${line}.`);
    limit.style.left = share(usable);
    limit.classList.toggle("end", usable / end > 0.72);
    limit.firstElementChild.textContent = line;
    place("small").textContent = small.join(" · ");
    place("verdict").textContent = found[1];
    const peak = fill(data.says.peak, { stage: found[2] });
    place("then").textContent = before ? `${fill(data.says.before, { gb: gb(size(before)) })} · ${peak}` : peak;
    ghost.style.display = before ? "block" : "none";
    if (before) ghost.style.width = share(size(before));
    section.dataset.run = key(now).join(".");
    shown = found;
    for (const group of groups) {
      for (const chip of group.querySelectorAll(".chip")) {
        const { value } = chip.dataset, name = group.dataset.chip;
        const without = now.method === "full" && (name === "r" || name === "targets");
        chip.setAttribute("aria-pressed", String(value === now[name] && !without));
        if (run({ ...now, [name]: value }) && !without) chip.removeAttribute("aria-disabled");
        else chip.setAttribute("aria-disabled", "true");
      }
    }
  }

  for (const group of groups) {
    const chips = [...group.querySelectorAll(".chip")];
    group.addEventListener("click", (event) => {
      const chip = event.target.closest(".chip");
      if (!chip || chip.getAttribute("aria-disabled") || chip.dataset.value === now[group.dataset.chip]) return;
      before = shown;
      now[group.dataset.chip] = chip.dataset.value;
      draw();
      deck.state.set(group.dataset.chip, chip.dataset.value);
    });
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      chips[(chips.indexOf(document.activeElement) + step + chips.length) % chips.length].focus();
      event.preventDefault();
      event.stopPropagation();
    });
  }
  draw();
  return { shown: draw };
});
