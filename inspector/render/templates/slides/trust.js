// Three sentences to be finished: a press on a gap fills it.
Deck.slide("trust", ({ section }) => {
  section.querySelector(".gaps").classList.add("hiding");
  for (const gap of section.querySelectorAll(".gap")) {
    gap.setAttribute("aria-label", gap.dataset.hidden);
    gap.addEventListener("click", () => {
      gap.classList.add("open");
      gap.removeAttribute("aria-label");
    });
  }
  return {};
});
