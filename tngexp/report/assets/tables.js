// Sorting by a column: figures as figures, words as words, missing ones last either way.

function sortable(table) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, index) => {
    const text = row.cells[index].dataset.value;
    if (text === undefined) return null;
    const figure = Number(text);
    return text === "" || Number.isNaN(figure) ? text : figure;
  };
  const words = new Intl.Collator(undefined, { numeric: true });

  function compare(one, other) {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one === "number") return -1;
    if (typeof other === "number") return 1;
    return words.compare(one, other);
  }

  headings.forEach((heading, index) => {
    heading.querySelector("button").addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, key: value(row, index) }));
      rows.sort((one, other) => {
        if (one.key === null || other.key === null) return (one.key === null) - (other.key === null);
        return (descending ? -1 : 1) * compare(one.key, other.key);
      });
      body.append(...rows.map(({ row }) => row));
    });
  });
}
