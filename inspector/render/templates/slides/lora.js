// One drawing, five frames; a page to read keeps the last one and all sentences.
Deck.slide("lora", ({ section, deck }) => {
  // On a phone the strips stand below the layer they belong to: nothing is scrolled sideways.
  if (!deck.roomy && window.matchMedia("(max-width: 600px)").matches) {
    section.querySelector("svg").setAttribute("viewBox", "0 0 590 770");
    section.querySelector(".lora").classList.add("upright");
  }
  const drawn = section.querySelector(".lora"), items = [...section.querySelectorAll(".lora .frames li")];
  return {
    step: (frame) => {
      drawn.dataset.frame = String(Math.min(frame, items.length - 1));
      items.forEach((item, at) => item.classList.toggle("now", at === frame));
    },
  };
});
