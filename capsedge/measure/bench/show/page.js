// A click on a header sorts by that column, a second click reverses the order; empty cells stay last.
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
