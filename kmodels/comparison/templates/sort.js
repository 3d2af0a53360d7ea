// Makes the headings of sortable tables into buttons; without a script the tables stay as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].innerText.trim();
  const compare = (a, b) => {
    if (a === "–" || b === "–") return (a === "–") - (b === "–");
    return a - b || String(a).localeCompare(String(b));
  };
  headings.forEach((heading, column) => {
    if (heading.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const first = heading.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        const sign = order === "ascending" || x === "–" || y === "–" ? 1 : -1;
        return sign * compare(x, y);
      });
      body.append(...rows);
    });
  });
}
