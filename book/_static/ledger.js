// The tables of the ledger: which rows are seen.
const form = document.querySelector("form.ledger");
const rows = [...document.querySelectorAll("table.ledger tbody tr")];
// Not the last cell: every command names its paper.
const text = (row) => [...row.cells].slice(0, -1).map((cell) => cell.textContent).join(" ").toLowerCase();
const texts = new Map(rows.map((row) => [row, text(row)]));

function wanted(row) {
  const asked = form.verdict.value;
  const fits = asked === "attempted" ? row.dataset.verdict !== "not attempted" : asked === "all" || row.dataset.verdict === asked;
  const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  return fits && words.every((word) => texts.get(row).includes(word));
}

function show() {
  for (const row of rows) row.hidden = !wanted(row);
  form.querySelector("output").value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
}

form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
show();
