// A pressed bar says the flag to type and what it costs.
Deck.slide("ways", ({ section, data }) => {
  const place = section.querySelector(".pressed");
  const bars = [...section.querySelectorAll(".stack")];
  bars.forEach((bar, index) => {
    const press = () => {
      const way = data.ways[index];
      for (const other of bars) other.classList.toggle("held", other === bar);
      const flag = document.createElement("code");
      flag.textContent = way.flag;
      place.classList.add("said");
      place.replaceChildren(`${way.name}: `, flag, way.cost ? ` (${way.cost})` : "");
    };
    bar.querySelector(".track").addEventListener("click", press);
  });
  return {};
});
