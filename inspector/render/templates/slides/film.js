// The film: Right moves from one telling moment to the next; at home a slider stands on any part of it.
// The page of a dry run has it too, with a frame of its own that does what the deck's does here.
Deck.slide("film", ({ section, data, deck }) => {
  const all = (selector) => [...section.querySelectorAll(selector)];
  const scrub = section.querySelector(".scrub input"), told = section.querySelector(".told");
  const { unit } = data;
  const size = (bytes) => `${deck.number(bytes / unit.bytes, 1)}\u00a0${unit.name}`;
  const exact = (bytes) => (bytes ? deck.number(bytes / unit.bytes, bytes < 0.95 * unit.bytes ? unit.small : 1) : "0");
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  for (const part of all(".film [data-reel]:not(button)")) part.classList.add("scripted");
  // A phone shows it whole: letters as large as a thumb's width allows, and a stage's name only where it has room.
  if (!deck.roomy && window.matchMedia("(max-width: 600px)").matches) {
    for (const svg of all("figure.reel svg")) {
      svg.setAttribute("viewBox", svg.dataset.small);
      svg.closest("figure").classList.add("small");
      for (const name of svg.querySelectorAll(".stage + text")) {
        const line = name.previousElementSibling;
        name.toggleAttribute("hidden", 25 * name.textContent.length > line.x2.baseVal.value - line.x1.baseVal.value);
      }
    }
  }
  const first = section.querySelector("figure.reel").dataset.reel;
  let reel = first, frame = 0;

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
    const values = { part: at + 1, parts: data.says.parts, end: size(sum(film.ends[at])), highest: size(sum(film.highest[at])) };
    for (const item of of("ol").children) item.classList.remove("now");
    const near = film.parts.lastIndexOf(Math.max(...film.parts.filter((other) => other <= at), film.parts[0]));
    of("ol").children[near].classList.add("now");
    stand(at, film.highest[at], fill(data.says.part, values));
  });
  choose(first);
  return { step: (number) => { if (reel === first) show(number); } };
});
