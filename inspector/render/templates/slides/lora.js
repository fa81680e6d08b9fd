// One drawing, five frames; a page to read keeps the last one and all sentences.
Deck.slide("lora", ({ section }) => {
  const drawn = section.querySelector(".lora"), items = [...section.querySelectorAll(".lora .frames li")];
  return {
    step: (frame) => {
      drawn.dataset.frame = String(Math.min(frame, items.length - 1));
      items.forEach((item, at) => item.classList.toggle("now", at === frame));
    },
  };
});
