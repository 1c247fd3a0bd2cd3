// The tables of the ledger: which rows are seen, and what becomes of them under a reader's own rule.
const find = document.querySelector("form.ledger");
const rule = document.querySelector("form.rule");
const rows = [...document.querySelectorAll("table.ledger tbody tr")];
// Not the last cell: every command names its paper.
const text = (row) => [...row.cells].slice(0, -1).map((cell) => cell.textContent).join(" ").toLowerCase();
const texts = new Map(rows.map((row) => [row, text(row)]));
const judged = new Map(rows.filter((row) => row.dataset.rule).map((row) => [row, JSON.parse(row.dataset.rule)]));

// --- which rows are seen

function wanted(row) {
  const asked = find.verdict.value;
  const fits = asked === "attempted" ? row.dataset.verdict !== "not attempted" : asked === "all" || row.dataset.verdict === asked;
  const words = find.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  return fits && words.every((word) => texts.get(row).includes(word));
}

function show() {
  for (const row of rows) row.hidden = !wanted(row);
  find.querySelector("output").value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
}

// --- verdicts: the same rule as in novelty_utils/ledger/verdicts.py, with other constants

function interval(one, sigma) {
  if (!one.parts) return [one.low, one.high]; // over classes: no assumed deviation takes part
  const of = ([weight, seeds, images, deviation, assumed, floor]) =>
    weight * ((assumed ? Math.max(sigma * deviation, floor) : deviation) ** 2 * seeds + images);
  const half = Math.sqrt(one.parts.map(of).reduce((a, b) => a + b, 0));
  return [one.difference - half, one.difference + half];
}

function verdict(one, [low, high], times) {
  const margin = times * one.margin;
  const inside = -margin <= low && high <= margin;
  if (one.kind === "few") return "mixed within noise";
  if (one.kind === "greater") return high < 0 || inside ? one.outside : low > 0 ? "reproduced" : "mixed within noise";
  if (inside) return "reproduced";
  if (low > margin) return one.better ? "better" : one.outside;
  return high < -margin ? one.outside : "mixed within noise";
}

const signed = (value) => (value < 0 ? "-" : "+") + Math.abs(value).toFixed(3);

function judge() {
  const [times, sigma] = [rule.margin, rule.sigma].map((input) => input.value / input.defaultValue);
  const points = (value) => `${Number(value.toFixed(2))} points`;
  rule.margin.nextElementSibling.value = `${points(3 * times)} for a class, ${points(2 * times)} for a mean`;
  rule.sigma.nextElementSibling.value = points(2 * sigma);
  const own = times !== 1 || sigma !== 1;
  let moved = 0;
  for (const [row, one] of judged) {
    const ends = interval(one, sigma);
    const found = verdict(one, ends, times);
    row.dataset.verdict = found;
    row.cells[one.cell].textContent = found === one.verdict ? found : `${found} (was: ${one.verdict})`;
    row.cells[one.cell].classList.toggle("moved", found !== one.verdict);
    row.cells[one.cell + 1].dataset.own = own && one.kind !== "few" ? `by your rule from ${signed(ends[0])} to ${signed(ends[1])}` : "";
    moved += found !== one.verdict;
  }
  rule.querySelector("output.moved").value = own ? `${moved} of ${judged.size} verdicts change.` : "This is the committed rule.";
  count();
  show();
}

function count() {
  const table = document.querySelector("table.count");
  const papers = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.dataset.paper);
  for (const line of table.tBodies[0].rows) {
    const mine = rows.filter((row) => row.dataset.verdict === line.dataset.verdict);
    const counts = papers.map((paper) => mine.filter((row) => !paper || row.dataset.paper === paper).length);
    counts.forEach((number, place) => (line.cells[place + 1].textContent = number));
    line.hidden = !mine.length;
  }
}

find.addEventListener("input", show);
rule.addEventListener("input", judge);
rule.addEventListener("reset", () => setTimeout(judge));
for (const form of [find, rule]) form.addEventListener("submit", (event) => event.preventDefault());
judge();
