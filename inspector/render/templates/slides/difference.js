// The changed word of each printed line is hidden until its turn, or until it is pressed.
Deck.slide("difference", ({ section }) => {
  const list = section.querySelector(".printed"), lines = [...list.children];
  const open = (line, on) => {
    const word = line.querySelector(".word");
    line.classList.toggle("open", on);
    // What is hidden has no name of its own to be read out.
    if (on) word.removeAttribute("aria-label");
    else word.setAttribute("aria-label", word.dataset.hidden);
  };
  list.classList.add("hiding");
  lines.forEach((line, index) => {
    open(line, index === 0);
    line.querySelector(".word").addEventListener("click", () => open(line, true));
  });
  return { step: (frame) => lines.forEach((line, index) => open(line, index <= frame)) };
});
