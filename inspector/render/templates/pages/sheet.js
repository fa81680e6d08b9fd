// A page to read: draws its figures, switches its theme, sorts and filters its tables. It computes no number.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;

  for (const place of document.querySelectorAll("[data-chart]")) drawFigure(Plotly, place, data.charts[place.dataset.chart]);

  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.querySelector('[data-do="theme"]').addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; });

  // Sorting: by a cell's data-value where it has one, else by its text; a second press turns the order round.
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim().toLowerCase() : Number(cell.dataset.value);
  };
  for (const button of document.querySelectorAll("table.sortable thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const body = button.closest("table").tBodies[0];
      const turned = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const column = head.cellIndex;
      const rows = [...body.rows].map((row, index) => [key(row, column), index, row]);
      rows.sort((a, b) => turned * (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) || a[1] - b[1]);
      body.append(...rows.map((row) => row[2]));
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", turned === 1 ? "ascending" : "descending");
    });
  }

  // Filtering: every chosen word must be in the row, and its data attributes must be those chosen in the lists.
  for (const form of document.querySelectorAll("form.controls")) {
    const rows = [...document.getElementById(form.dataset.table).tBodies[0].rows];
    const shown = form.querySelector("output");
    const filter = () => {
      const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const lists = [...form.querySelectorAll("select")].filter((list) => list.value);
      let count = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word)) || lists.some((list) => row.dataset[list.name] !== list.value);
        count += row.hidden ? 0 : 1;
      }
      shown.textContent = `${count} of ${rows.length} rows`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }
  root.dataset.ready = "yes";
})();
