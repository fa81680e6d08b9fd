// The film: Right moves from one telling moment to the next; at home a slider stands on any part of it.
Deck.slide("film", ({ section, data, deck }) => {
  const all = (selector) => [...section.querySelectorAll(selector)];
  const scrub = section.querySelector(".scrub input"), told = section.querySelector(".told");
  const gb = (bytes) => `${deck.number(bytes / data.gb, 1)}\u00a0GB`;
  const exact = (bytes) => (bytes ? deck.number(bytes / data.gb, bytes < 0.95e9 ? 2 : 1) : "0");
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  for (const part of all(".film [data-reel]:not(button)")) part.classList.add("scripted");
  let reel = "step", frame = 0;

  const of = (name) => section.querySelector(`${name}[data-reel="${reel}"]`);
  const sum = (line) => line.reduce((all, bytes) => all + bytes, 0);

  function stand(part, line, sentence) {
    const x = (part + 0.5) * 8;
    for (const end of ["x1", "x2"]) of("figure").querySelector(".marker").setAttribute(end, x);
    for (const item of of("ul").children) {
      const at = data[reel].kinds.indexOf(item.dataset.kind);
      item.querySelector("b").textContent = exact(line[at]);
    }
    scrub.value = part;
    scrub.setAttribute("aria-valuetext", sentence);
    told.textContent = sentence;
  }

  function show(number) {
    const items = [...of("ol").children];
    frame = Math.max(0, Math.min(number, items.length - 1));
    items.forEach((item, at) => item.classList.toggle("now", at === frame));
    stand(data[reel].parts[frame], data[reel].moments[frame], `${frame + 1} / ${items.length}: ${items[frame].textContent}`);
  }

  function choose(name) {
    reel = name;
    for (const part of all(".film .scripted")) part.classList.toggle("chosen", part.dataset.reel === name);
    for (const button of all("button[data-reel]")) button.setAttribute("aria-pressed", String(button.dataset.reel === name));
    part();
    show(0);
  }

  function part() {
    const button = section.querySelector("[data-cut]"), cut = button.getAttribute("aria-pressed") === "true";
    for (const figure of all("figure.reel")) {
      const stretch = Number(figure.dataset.stretch);
      figure.classList.toggle("parting", cut);
      figure.querySelector(".areas").setAttribute("transform", cut ? `scale(1 ${stretch})` : "");
    }
  }

  for (const button of all("button[data-reel]")) button.addEventListener("click", () => choose(button.dataset.reel));
  const cutting = section.querySelector("[data-cut]");
  const turn = () => {
    cutting.setAttribute("aria-pressed", String(cutting.getAttribute("aria-pressed") !== "true"));
    part();
  };
  cutting.addEventListener("click", turn);
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "c" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (deck.roomy && section.classList.contains("present") && !section.classList.contains("asking")) turn();
  });
  scrub.addEventListener("input", () => {
    const at = Number(scrub.value), film = data[reel];
    const values = { part: at + 1, parts: data.says.parts, end: gb(sum(film.ends[at])), highest: gb(sum(film.highest[at])) };
    for (const item of of("ol").children) item.classList.remove("now");
    const near = film.parts.lastIndexOf(Math.max(...film.parts.filter((other) => other <= at), film.parts[0]));
    of("ol").children[near].classList.add("now");
    stand(at, film.highest[at], fill(data.says.part, values));
  });
  choose("step");
  return { step: (number) => { if (reel === "step") show(number); } };
});
