// The marker stands on one of the block sizes that errors were computed for.
Deck.slide("levels", ({ section, data }) => {
  const input = section.querySelector(".block input");
  const show = () => {
    const at = Number(input.value);
    for (const end of ["x1", "x2"]) section.querySelector(".at").setAttribute(end, data.x[at]);
    section.querySelector(".told").textContent = data.told[at];
    input.setAttribute("aria-valuetext", data.told[at]);
  };
  input.addEventListener("input", show);
  show();
  return {};
});
