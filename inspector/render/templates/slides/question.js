// The bar grows block by block; its sum goes with its end.
Deck.slide("question", ({ section, data }) => {
  const parts = [...section.querySelectorAll(".part")], total = section.querySelector(".total");
  return {
    step: (frame) => {
      parts.forEach((part, index) => part.classList.toggle("later", index > frame));
      const end = data.ends[Math.min(frame, data.ends.length - 1)];
      total.style.left = `${end.at}%`;
      total.querySelector(".sum").textContent = end.text;
      section.querySelector(".bottom").classList.toggle("later", frame < data.ends.length - 1);
    },
  };
});
