// What a person would complain about on the slide shown: text too small, cut off, on other text or a gridline, off its mark.
// A page to read (a phone) is scrolled, its titles wrap, and wide drawings have their own scroll bar.
const [scope, smallest, reading] = arguments;
const root = document.querySelector(scope);
const complaints = [];
const pieces = [];
const seen = (element) => {
  const style = getComputedStyle(element);
  return style.visibility !== "hidden" && style.display !== "none" && style.opacity !== "0";
};
const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
let words = 0;
while (walker.nextNode()) {
  const node = walker.currentNode;
  const holder = node.parentElement;
  if (!node.textContent.trim() || holder.closest("details, script, style, title") || !seen(holder)) continue;
  const small = !reading && holder.closest(".source, .slide-number, .tools") ? 18 : smallest;
  const style = getComputedStyle(holder);
  const range = document.createRange();
  range.selectNodeContents(node);
  let shown = false;
  for (const box of range.getClientRects()) {
    if (box.width < 1 || box.height < 1) continue;
    shown = true;
    const text = node.textContent.trim().slice(0, 40);
    if (reading && box.right > innerWidth + 1 && !holder.closest(".panel")) complaints.push(`beyond the page's side: ${text}`);
    const drawn = holder instanceof SVGElement ? parseFloat(style.fontSize) * Math.hypot(holder.getScreenCTM().b, holder.getScreenCTM().d) : parseFloat(style.fontSize);
    if (drawn < small - 0.05) complaints.push(`too small, ${drawn.toFixed(1)} px: ${text}`);
    if (!reading && (box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1)) complaints.push(`off the screen: ${text}`);
    for (let outer = holder; outer && outer !== document.body; outer = outer.parentElement) {
      const cut = getComputedStyle(outer);
      if (cut.overflowX === "visible" && cut.overflowY === "visible") continue;
      if (reading && cut.overflowX === "auto") break;
      const edge = outer.getBoundingClientRect();
      if (box.right > edge.right + 1 || box.bottom > edge.bottom + 1 || box.left < edge.left - 1 || box.top < edge.top - 1) {
        complaints.push(`cut off by ${outer.tagName} ${outer.getAttribute("class")}: ${text}`);
      }
    }
    // A line box is taller than its letters: compare their middle two thirds.
    pieces.push({ text, node, holder, left: box.left, right: box.right, top: box.top + box.height / 6, bottom: box.bottom - box.height / 6 });
  }
  // Words that are read, not labels of a picture: numbers, ticks and code are looked at.
  if (shown && !holder.closest("svg, .chart, .stacks, code, table, button, .chips, .source, .legend, .scores")) words += node.textContent.trim().split(/\s+/).length;
}
if (words > 45 && !reading) complaints.push(`${words} words`);
for (let i = 0; i < pieces.length; i++) {
  for (let j = i + 1; j < pieces.length; j++) {
    const [a, b] = [pieces[i], pieces[j]];
    if (a.node === b.node) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const tall = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && tall > 1) complaints.push(`overlap: ${a.text} / ${b.text}`);
  }
}
const title = root.querySelector("h2");
if (title && seen(title) && !reading) {
  const range = document.createRange();
  range.selectNodeContents(title);
  if (range.getClientRects().length > 1 || title.scrollWidth > title.clientWidth) complaints.push(`title: ${title.textContent}`);
}
// A line under a text strikes it through, unless its bar or its own paper lies between.
const lines = [...root.querySelectorAll(".gridlayer path, .stacks .line")].filter(seen).map((line) => line.getBoundingClientRect());
const papered = (element) => {
  for (let outer = element; outer && outer !== root; outer = outer.parentElement) {
    if (outer.matches(".track, .chart")) return false;
    if (!/, 0\)$|transparent/.test(getComputedStyle(outer).backgroundColor)) return true;
  }
  return false;
};
const filled = [...root.querySelectorAll(".bars .point > path, .annotation rect.bg")].filter((one) => Number(getComputedStyle(one).fillOpacity) > 0).map((one) => one.getBoundingClientRect());
for (const piece of pieces) {
  const inside = filled.some((bar) => bar.left <= piece.left + 1 && bar.right >= piece.right - 1 && bar.top <= piece.top + 1 && bar.bottom >= piece.bottom - 1);
  if (inside || papered(piece.holder)) continue;
  for (const line of lines) {
    const through = line.left < piece.right - 1 && line.right > piece.left + 1 && line.top < piece.bottom - 1 && line.bottom > piece.top + 1;
    if (through) complaints.push(`on a gridline: ${piece.text}`);
  }
}
// A tick's label stands at the middle of its bar: plotly measures it without what our style sheet does to it.
const middle = (box) => (box.top + box.bottom) / 2;
for (const chart of root.querySelectorAll(".chart")) {
  if (!seen(chart)) continue;
  const bars = [...chart.querySelectorAll(".bars .point > path")].map((bar) => bar.getBoundingClientRect());
  const data = chart.data[0];
  if (data.type === "bar" && data.orientation === "h" && bars.length) {
    for (const label of chart.querySelectorAll(".ytick text")) {
      const off = Math.min(...bars.map((bar) => Math.abs(middle(bar) - middle(label.getBoundingClientRect()))));
      if (off > 1.5) complaints.push(`${off.toFixed(1)} px off its bar: ${label.textContent}`);
    }
  }
  for (const item of chart.querySelectorAll(".legend .traces")) {
    const [word, mark] = [item.querySelector("text"), item.querySelector(".legendpoints path, .legendundefined path, .layers path")];
    if (!word || !mark) continue;
    const off = Math.abs(middle(word.getBoundingClientRect()) - middle(mark.getBoundingClientRect()));
    if (off > 1.5) complaints.push(`${off.toFixed(1)} px off its mark: ${word.textContent}`);
  }
}
for (const part of root.querySelectorAll(".part")) {
  if (seen(part) && part.getBoundingClientRect().width > 4 && parseFloat(getComputedStyle(part).borderTopWidth) < 1) complaints.push("a part without outline");
}
return [...new Set(complaints)];
