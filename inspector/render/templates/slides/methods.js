// A kind pressed in the legend is lifted in every bar: the others fade. The bars are of the rank and the targets that
// slides share, where runs were made with them; else those shown stay, and say what they are of.
Deck.slide("methods", ({ section, data, deck }) => {
  function follow() {
    const key = `${deck.state.get("r", data.r)}.${deck.state.get("targets", data.targets)}`, said = data.followed[key];
    if (!said) return;
    for (const one of section.querySelectorAll("[data-follow]")) one.hidden = one.dataset.follow !== key;
    section.querySelector("h2").textContent = said.title;
    section.querySelector(".remember").textContent = said.remember[0];
    section.querySelector(".statement").textContent = said.remember[1];
  }
  for (const name of ["r", "targets"]) deck.state.on(name, follow);
  follow();

  const buttons = [...section.querySelectorAll("[data-lift]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const lifted = button.getAttribute("aria-pressed") !== "true";
      for (const other of buttons) other.setAttribute("aria-pressed", String(lifted && other === button));
      for (const part of section.querySelectorAll(".part")) {
        part.classList.toggle("faded", lifted && part.dataset.kind !== button.dataset.lift);
      }
    });
  }
  return {};
});
