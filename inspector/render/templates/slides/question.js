// The bar grows block by block; its sum goes with its end.
Deck.slide("question", ({ section, data, deck }) => {
  if (!deck.roomy) return {};
  const parts = [...section.querySelectorAll(".part")], total = section.querySelector(".total");
  // The whole's own sum stays where it is, for paper; on the screen another one goes with the bar.
  const moving = document.createElement("span");
  moving.className = "sum now";
  total.append(moving);
  total.classList.add("moved");
  return {
    step: (frame) => {
      parts.forEach((part, index) => part.classList.toggle("later", index > frame));
      const end = data.ends[Math.min(frame, data.ends.length - 1)];
      total.style.setProperty("--at", `${end.at}%`);
      moving.textContent = end.text;
      section.querySelector(".bottom").classList.toggle("later", frame < data.ends.length - 1);
    },
  };
});
