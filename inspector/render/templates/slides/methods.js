// A kind pressed in the legend is lifted in every bar: the others fade.
Deck.slide("methods", ({ section }) => {
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
