// What a person would complain about on the slide shown: text too small, cut off, or on top of other text.
const [scope, smallest] = arguments;
const root = document.querySelector(scope);
const complaints = [];
const pieces = [];
const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
  const holder = node.parentElement;
  if (!node.textContent.trim() || holder.closest("aside.notes, script, style, .panel, .aria-status, title")) continue;
  const style = getComputedStyle(holder);
  if (style.visibility === "hidden" || style.display === "none" || style.opacity === "0") continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects()) {
    if (box.width < 1 || box.height < 1) continue;
    const text = node.textContent.trim().slice(0, 40);
    const drawn = holder instanceof SVGElement ? parseFloat(style.fontSize) * holder.getScreenCTM().d : parseFloat(style.fontSize);
    if (drawn < smallest - 0.05) complaints.push(`too small, ${drawn.toFixed(1)} px: ${text}`);
    if (box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1) complaints.push(`off the screen: ${text}`);
    for (let outer = holder; outer && outer !== document.body; outer = outer.parentElement) {
      const cut = getComputedStyle(outer);
      if (cut.overflowX === "visible" && cut.overflowY === "visible") continue;
      const edge = outer.getBoundingClientRect();
      if (box.right > edge.right + 1 || box.bottom > edge.bottom + 1 || box.left < edge.left - 1 || box.top < edge.top - 1) {
        complaints.push(`cut off by ${outer.tagName} ${outer.getAttribute("class")}: ${text}`);
      }
    }
    // A line box is taller than its letters: compare their middle two thirds.
    pieces.push({ text, node, left: box.left, right: box.right, top: box.top + box.height / 6, bottom: box.bottom - box.height / 6 });
  }
}
for (const part of document.querySelectorAll(".tools button, .reveal .controls button.enabled, .reveal .slide-number")) {
  const box = part.getBoundingClientRect();
  if (box.width) pieces.push({ text: part.getAttribute("class") || part.textContent, node: part, left: box.left, right: box.right, top: box.top, bottom: box.bottom, fixed: true });
}
for (let i = 0; i < pieces.length; i++) {
  for (let j = i + 1; j < pieces.length; j++) {
    const [a, b] = [pieces[i], pieces[j]];
    if (a.node === b.node || (a.fixed && b.fixed)) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const tall = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && tall > 1) complaints.push(`overlap: ${a.text} / ${b.text}`);
  }
}
return [...new Set(complaints)];
