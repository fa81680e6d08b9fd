// In a window with room: slides, keys, the drawer, notes, the speaker's window.
(() => {
  "use strict";
  Deck.start();
  const { root, made } = Deck;
  if (!Deck.deck.roomy) {
    root.dataset.ready = "yes";
    return;
  }
  const contents = document.querySelector("nav.contents"), tools = document.querySelector("nav.tools");
  const speaker = document.querySelector("aside.speaker"), help = document.querySelector("dialog.help");
  const sections = [...document.querySelectorAll(".slides > section")];
  const current = () => Reveal.getCurrentSlide();
  const title = (section) => section.querySelector("h2").textContent;
  let desk = null, began = Date.now();

  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  const press = (name, on) => document.querySelector(`[data-do="${name}"]`).setAttribute("aria-pressed", String(on));
  const drawer = () => current().querySelector("details.drawer");
  const actions = {
    overview: () => {
      const open = contents.classList.toggle("open");
      press("overview", open);
      if (open) contents.querySelector(`a[href="#${current().id}"]`).focus();
    },
    drawer: () => {
      drawer().open = !drawer().open;
      press("drawer", drawer().open);
    },
    notes: () => {
      speaker.hidden = !speaker.hidden;
      press("notes", !speaker.hidden);
    },
    speaker: () => openDesk(),
    theme: () => { root.dataset.theme = dark() ? "light" : "dark"; },
    print: () => window.print(),
    help: () => (help.open ? help.close() : help.showModal()),
  };
  const keys = { o: "overview", d: "drawer", n: "notes", s: "speaker", t: "theme", p: "print", "?": "help" };
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => actions[button.dataset.do]());

  // Fields keep their keys; everything else leaves arrows to the slides.
  const typing = () => document.activeElement.closest("input:not([type=checkbox]):not([type=radio]), select, textarea, .drawer[open] .panel, dialog, nav.contents.open, [data-own-keys]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return closeAll();
    if (typing() && event.key !== "d" && event.key !== "o") return;
    const vote = /^Digit([1-4])$/.exec(event.code);
    if (vote && Quiz.get(current())?.vote(Number(vote[1]) - 1, event.shiftKey)) return;
    const name = keys[event.key.toLowerCase()];
    if (!name) return;
    event.preventDefault();
    actions[name]();
  });

  function closeAll() {
    contents.classList.remove("open");
    press("overview", false);
    drawer().open = false;
    press("drawer", false);
  }

  // After a click with the pointer a button has nothing more to say: kept focused, it would take the arrow keys. A
  // click made by a key has no detail, and a label hands its focus on only once the click is over.
  document.addEventListener("click", (event) => {
    if (event.detail) setTimeout(() => {
      const held = document.activeElement;
      if (held.matches("button, summary, a, input[type=checkbox], input[type=radio], .panel") && !held.closest("dialog, .contents")) held.blur();
    }, 0);
  });

  let hiding = 0;
  document.addEventListener("pointermove", () => {
    tools.classList.add("seen");
    clearTimeout(hiding);
    hiding = setTimeout(() => tools.classList.remove("seen"), 2000);
  });

  for (const link of contents.querySelectorAll("a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      contents.classList.remove("open");
      press("overview", false);
      Reveal.slide(sections.findIndex((section) => `#${section.id}` === link.hash), 0, -1);
      link.blur();
    });
  }

  function told() {
    return [...current().querySelector("details.notes dl").cloneNode(true).childNodes];
  }

  function openDesk() {
    if (desk && !desk.closed) return desk.focus();
    desk = window.open("", "inspector-speaker", "width=960,height=720");
    if (!desk) return undefined;
    began = Date.now();
    const page = desk.document;
    page.title = document.title;
    page.documentElement.lang = root.lang;
    const style = page.createElement("style");
    style.textContent = "body{font:22px/1.4 system-ui,sans-serif;margin:24px;background:#16181D;color:#F2F2F2}h1{font-size:1.3em;margin:0}dt{font-weight:700;margin-top:.8em;color:#56B4E9}dd{margin:.2em 0}#clock{float:right;font-variant-numeric:tabular-nums;font-size:1.5em}#next,#question{color:#C4C7CC}";
    page.head.replaceChildren(style);
    page.body.replaceChildren(...["clock", "title", "question", "next", "notes"].map((id) => {
      const part = page.createElement(id === "title" ? "h1" : "div");
      part.id = id;
      return part;
    }));
    page.addEventListener("keydown", (event) => {
      if (["ArrowRight", "PageDown", " "].includes(event.key)) Reveal.next();
      else if (["ArrowLeft", "PageUp"].includes(event.key)) Reveal.prev();
      else return;
      event.preventDefault();
    });
    const tick = desk.setInterval(() => {
      const passed = Math.floor((Date.now() - began) / 1000);
      const part = page.getElementById("clock");
      if (!part) return desk.clearInterval(tick);
      part.textContent = `${Math.floor(passed / 60)}:${String(passed % 60).padStart(2, "0")}`;
      return undefined;
    }, 500);
    return fillDesk();
  }

  function fillDesk() {
    if (!desk || desk.closed) return;
    const page = desk.document, next = sections[Reveal.getIndices().h + 1];
    const put = (id, text) => { page.getElementById(id).textContent = text; };
    put("title", title(current()));
    put("question", Quiz.get(current())?.question() ?? "");
    put("next", next ? `${Deck.deck.text("next")}: ${title(next)}` : "");
    page.getElementById("notes").replaceChildren(...told().map((node) => page.importNode(node, true)));
  }

  // Which frame of a slide is shown: how many of its empty fragments Reveal has passed.
  function step(section) {
    const shown = section.querySelectorAll(".frame.visible").length;
    const frame = Quiz.has(section) ? Quiz.get(section).step(shown) : shown;
    section.dataset.step = String(frame);
    made[section.id]?.step?.(frame);
  }

  function announce() {
    const section = current(), quiz = Quiz.get(section);
    const charts = [...section.querySelectorAll(".picture [role=img]")];
    const chart = charts.find((one) => !one.closest("[hidden]"))?.getAttribute("aria-label") ?? "";
    const asking = section.classList.contains("asking");
    const words = asking ? [quiz.question()] : [title(section), section.querySelector(".bottom").textContent.trim(), chart];
    document.querySelector(".announcement").textContent = words.filter(Boolean).join(". ");
  }

  function arrived() {
    const section = current();
    step(section);
    made[section.id]?.shown?.();
    speaker.replaceChildren(...told());
    press("drawer", drawer().open);
    fillDesk();
    setTimeout(announce, 0);
  }

  // Paper has the last frame of everything.
  window.addEventListener("beforeprint", () => {
    for (const section of sections) made[section.id]?.step?.(Number(section.dataset.steps));
  });
  window.addEventListener("afterprint", () => sections.forEach(step));

  const silent = Object.fromEntries([27, 66, 68, 71, 72, 74, 75, 76, 78, 79, 80, 83, 84, 86, 190, 191].map((code) => [code, null]));
  Reveal.initialize({
    width: 1280, height: 720, margin: 0, minScale: 0.2, maxScale: 4, center: false, hash: true, respondToHashChanges: true,
    transition: "none", backgroundTransition: "none", slideNumber: "c/t", controls: false, overview: false,
    scrollActivationWidth: null, pdfSeparateFragments: false, help: false, navigationMode: "linear",
    keyboardCondition: () => !typing(), keyboard: silent,
  }).then(() => {
    // Reveal has one announcement of its own, of the whole slide with its drawer, whenever it gets round to it: unread.
    const own = document.querySelector(".aria-status");
    own.setAttribute("aria-live", "off");
    own.setAttribute("aria-hidden", "true");
    Reveal.on("slidechanged", arrived);
    for (const name of ["fragmentshown", "fragmenthidden"]) Reveal.on(name, () => { step(current()); setTimeout(announce, 0); });
    for (const section of sections) step(section);
    arrived();
    root.dataset.ready = "yes";
  });
})();
