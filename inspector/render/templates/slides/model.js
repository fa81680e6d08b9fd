// A pressed box says in a line what it does, its shape, its parameters, its bytes in 32, 16 and 4 bits.
Deck.slide("model", ({ section, data, deck }) => {
  // On a phone the layer stands below the column: nothing is scrolled sideways.
  if (!deck.roomy && window.matchMedia("(max-width: 600px)").matches) {
    section.querySelector("svg").setAttribute("viewBox", "0 0 662 900");
    section.querySelector(".drawing").classList.add("upright");
  }
  const place = section.querySelector(".pressed");
  const rects = [...section.querySelectorAll(".layer rect.box")];
  rects.forEach((rect, index) => {
    const box = data.boxes[index];
    const press = () => {
      for (const other of rects) other.classList.toggle("held", other === rect);
      const name = document.createElement("b");
      name.textContent = `${box.name} `;
      const sizes = document.createElement("span");
      sizes.textContent = `${box.shape} = ${box.parameters}: ${box.sizes}`;
      place.classList.add("said");
      place.replaceChildren(name, box.what, document.createElement("br"), sizes);
    };
    rect.addEventListener("click", press);
  });
  return {};
});
