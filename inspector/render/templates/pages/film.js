// What the film asks of the deck's frame, on a page that has no deck: numbers, and no stage with room.
const Deck = {
  slide(name, setup) {
    const section = document.querySelector(`[data-part="${name}"]`);
    const data = JSON.parse(document.getElementById("page-data").textContent);
    const number = (value, digits = 0) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    if (section) setup({ section, data: data[name], deck: { roomy: false, number } });
  },
};
