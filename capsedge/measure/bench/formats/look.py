"""How the page looks, in light and dark and on paper, and what its tables do when a header is clicked."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #59636d; --grid: #d9dee3; --paper: #f5f6f8; --card: #ffffff;
  --warn: #fff4d6; --warn-edge: #b77900; --accent: #0072b2;
  --letters: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebee; --soft: #a3adb7; --grid: #363d45; --paper: #111417;
  --card: #1b2026; --warn: #33290f; --warn-edge: #e0a526; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(0.8rem, 3vw, 2rem) 3rem; max-width: 84rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 var(--letters); }
h1 { font-size: 1.5rem; margin: 0 0 0.2rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.2rem; }
h3 { font-size: 1rem; margin: 0 0 0.5rem; }
p { margin: 0.2rem 0 0.6rem; }
.soft, figcaption, .legend { color: var(--soft); }
code { font: 0.875em/1.45 ui-monospace, "SFMono-Regular", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere; }
.badge { font-size: 0.8rem; font-weight: 600; padding: 0.1rem 0.5rem; border: 1px solid var(--warn-edge);
  border-radius: 1rem; background: var(--warn); vertical-align: middle; white-space: nowrap; }
.doubts { background: var(--warn); border-left: 4px solid var(--warn-edge); border-radius: 4px; padding: 0.7rem 1rem;
  margin: 1rem 0; }
.doubts h2 { font-size: 1rem; margin: 0; }
.doubts ul { margin: 0.2rem 0 0; padding-left: 1.2rem; }
.card { background: var(--card); border: 1px solid var(--grid); border-radius: 8px; padding: 0.9rem 1rem; margin: 0; }
.plots { columns: 2 28rem; column-gap: 1rem; margin: 1rem 0; }
.plots .card { break-inside: avoid; margin-bottom: 1rem; }
.card > svg { display: block; width: 100%; height: auto; max-width: 36rem; margin: 0 auto; }
.card > svg text { font-family: var(--letters) !important; }
figcaption { font-size: 0.85rem; margin-top: 0.5rem; }
.legend { list-style: none; margin: 0.4rem 0 0; padding: 0; font-size: 0.85rem; }
.legend li { display: flex; align-items: center; gap: 8px; overflow-wrap: anywhere; }
.chip { flex: none; width: 26px; height: 10px; }
.cases .chip { width: 14px; position: absolute; left: 0.7rem; top: 50%; transform: translateY(-50%); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--grid); border-radius: 8px;
  margin: 0.6rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.925rem; }
th, td { padding: 0.4rem 0.7rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
th:first-child, td:first-child, .words td { text-align: left; }
.words td { white-space: normal; overflow-wrap: anywhere; }
.words th { vertical-align: top; font-weight: 500; color: var(--soft); }
tbody th { font-weight: 600; }
.cases tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 13rem; max-width: 24rem;
  position: relative; padding-left: calc(0.7rem + 21px); }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
thead .judge, td.judge { font-weight: 700; color: var(--ink); }
th button { all: unset; cursor: pointer; }
th button:hover { text-decoration: underline; }
th button:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " ▲"; font-size: 0.7em; }
th[aria-sort=descending] button::after { content: " ▼"; font-size: 0.7em; }
td small { color: var(--soft); font-size: 0.85em; display: block; }
summary { cursor: pointer; }
details > summary:has(h2) { margin-top: 2.2rem; }
details > summary h2 { display: inline; }
.how summary { color: var(--soft); font-size: 0.9rem; margin-top: 0.3rem; }
@media (max-width: 40rem) { body { padding-top: 1rem; } .card { padding: 0.7rem 0.6rem; }
  .cases tbody th { min-width: 9rem; } td, thead th { padding: 0.35rem 0.5rem; } }
@media print { body { background: none; max-width: none; } .card, .scroll { break-inside: avoid; } }
"""

# A click sorts by that column, another one turns it round; what has no figure stays last.
SCRIPT = """
for (const table of document.querySelectorAll("table.cases")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value;
    [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const difference = x - y;
      return turn * (Number.isNaN(difference) ? x.localeCompare(y) : difference);
    }).forEach(row => body.append(row));
  }));
}
"""
