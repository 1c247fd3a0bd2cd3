// Figures whose parameters a reader moves. A notebook leaves the data beside a picture (novelty_utils/evaluation/movable.py);
// here a drawing takes the picture's place on the screen. Without this script, and in print, the picture stays.
const TAGS = "http://www.w3.org/2000/svg";

function add(parent, tag, attributes, text) {
  const made = document.createElementNS(TAGS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}

// Round numbers from low to high, about five of them.
function ticks(low, high) {
  const rough = (high - low) / 5;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((n) => n * ten >= rough) * ten;
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) found.push(Number((n * step).toPrecision(6)));
  return found;
}

// Axes of a drawing of 640 × 320: x and y turn values into places; to draw anew, clear() first.
function axes(panel, [x0, x1], [y0, y1], xlabel, ylabel) {
  const svg = add(panel, "svg", { viewBox: "0 0 640 320", role: "img" });
  const x = (value) => 58 + (570 * (value - x0)) / (x1 - x0);
  const y = (value) => 272 - (260 * (value - y0)) / (y1 - y0);
  for (const a of ticks(x0, x1)) add(svg, "text", { x: x(a), y: 290, "text-anchor": "middle" }, a);
  for (const b of ylabel ? ticks(y0, y1) : []) {
    add(svg, "text", { x: 52, y: y(b) + 4, "text-anchor": "end" }, b);
    add(svg, "line", { x1: 58, x2: 628, y1: y(b), y2: y(b), class: "grid" });
  }
  add(svg, "text", { x: 343, y: 312, "text-anchor": "middle" }, xlabel);
  add(svg, "text", { x: 17, y: 142, "text-anchor": "middle", transform: "rotate(-90 17 142)" }, ylabel);
  const drawn = add(svg, "g", {});
  return { svg, x, y, drawn, clear: () => drawn.replaceChildren() };
}

const line = (plot, xs, ys, attributes) =>
  add(plot.drawn, "polyline", { points: xs.map((x, n) => `${plot.x(x)},${plot.y(ys[n])}`).join(" "), fill: "none", ...attributes });

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

// The share of pairs, one value of each list, in which the second is larger; ties count half.
function auroc(normal, novel) {
  const sorted = [...normal].sort((a, b) => a - b);
  const below = (value, equal) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value || (equal && sorted[middle] === value)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return mean(novel.map((value) => (below(value, false) + below(value, true)) / 2)) / sorted.length;
}

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const [place, low] = [share * (sorted.length - 1), Math.floor(share * (sorted.length - 1))];
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

function slider(panel, words, { min, max, step, value, show = String }, moved) {
  const label = panel.querySelector("form").appendChild(document.createElement("label"));
  label.textContent = `${words} `;
  const input = label.appendChild(Object.assign(document.createElement("input"), { type: "range", min, max, step, value }));
  const output = label.appendChild(document.createElement("output"));
  const read = () => Number(input.value);
  const tell = () => (output.value = show(read()));
  input.addEventListener("input", () => (tell(), moved()));
  tell();
  return read;
}

function choice(panel, words, options, moved) {
  const label = panel.querySelector("form").appendChild(document.createElement("label"));
  label.textContent = `${words} `;
  const select = label.appendChild(document.createElement("select"));
  for (const option of options) select.appendChild(Object.assign(document.createElement("option"), { textContent: option }));
  select.addEventListener("input", moved);
  return () => select.value;
}

const KINDS = {
  // NLN: the AUROC of every K and α, by class.
  neighbours(panel, data, tell) {
    const draw = () => {
      const { auroc: grid, rivals } = data.panels[where()];
      const [k, a] = [K(), alpha()];
      plot.clear();
      grid[k][0].forEach((_, n) => line(plot, data.alpha, grid[k].map((row) => row[n]), { class: "thin" }));
      line(plot, data.alpha, grid[k].map(mean), { class: "normal" });
      for (const [n, value] of Object.values(rivals).entries()) line(plot, [0, 1], [value, value], { class: `rival${n}` });
      add(plot.drawn, "circle", { cx: plot.x(data.alpha[a]), cy: plot.y(mean(grid[k][a])), r: 6, class: "mark" });
      const told = Object.entries(rivals).map(([name, value]) => `${name}: ${value.toFixed(1)}`);
      tell(`K = ${data.K[k]}, α = ${data.alpha[a]}: mean AUROC ${mean(grid[k][a]).toFixed(1)}. ${told.join(". ")}.`);
    };
    const plot = axes(panel, [0, 1], data.range, "α: left codes alone, right decoded images alone", "AUROC in percent");
    const where = choice(panel, "Data", Object.keys(data.panels), draw);
    const K = slider(panel, "K", { min: 0, max: data.K.length - 1, step: 1, value: data.start[0], show: (n) => data.K[n] }, draw);
    const alpha = slider(panel, "α", { min: 0, max: data.alpha.length - 1, step: 1, value: data.start[1], show: (n) => data.alpha[n] }, draw);
    const names = ["NLN, mean over classes", ...Object.keys(Object.values(data.panels)[0].rivals)];
    const key = (name, n) => `<span class="${n ? `rival${n - 1}` : "normal"}">${name}</span>`;
    panel.querySelector(".key").innerHTML = names.map(key).join(" ");
    draw();
  },

  // CRBND: a threshold on the logit, and the share of outliers in the test. F1 is that of the normal class.
  threshold(panel, data, tell) {
    const [low, high] = data.range;
    const bars = 40;
    const heights = (values) => {
      const count = Array(bars).fill(0);
      for (const v of values) count[Math.min(bars - 1, Math.max(0, Math.floor((bars * (v - low)) / (high - low))))] += 1 / values.length;
      return count;
    };
    const all = Object.entries(data.logits).map(([name, values]) => [name, heights(values)]);
    const draw = () => {
      const [r, t] = [share() / 100, cut()];
      plot.clear();
      const weight = { normal: 1 - r, novel: r, "own negatives": 0.5 };
      for (const [name, counts] of all) {
        const kind = name.replace(" ", "-");
        counts.forEach((count, n) => {
          const [left, right] = [n, n + 1].map((m) => plot.x(low + (m * (high - low)) / bars));
          const top = plot.y(Math.min(1, (count * weight[name]) / tallest));
          add(plot.drawn, "rect", { x: left, width: right - left, y: top, height: plot.y(0) - top, class: kind });
        });
      }
      add(plot.drawn, "line", { x1: plot.x(t), x2: plot.x(t), y1: plot.y(0), y2: plot.y(1), class: "mark" });
      const above = (values) => mean(values.map((v) => (v >= t ? 1 : 0)));
      const [kept, missed] = [(1 - r) * above(data.logits.normal), r * above(data.logits.novel)];
      const f1 = (2 * kept) / (kept + missed + (1 - r));
      const trivial = (2 * (1 - r)) / (2 - r);
      tell(
        `${share()} % outliers, threshold ${t.toFixed(1)}: F1 ${f1.toFixed(3)}; calling everything normal: ${trivial.toFixed(3)}. ` +
          `Called normal: ${(100 * above(data.logits.normal)).toFixed(0)} % of the normal, ${(100 * above(data.logits.novel)).toFixed(0)} % of the novel images.`,
      );
    };
    const tallest = Math.max(...all.filter(([name]) => name !== "own negatives").flatMap(([, counts]) => counts));
    const plot = axes(panel, data.range, [0, 1], "logit of f", "");
    const share = slider(panel, "Share of outliers", { min: 1, max: 60, step: 1, value: 10, show: (r) => `${r} %` }, draw);
    const cut = slider(panel, "Threshold", { min: low, max: high, step: 0.1, value: 0, show: (t) => t.toFixed(1) }, draw);
    const key = panel.querySelector(".key");
    for (const [name] of all) key.insertAdjacentHTML("beforeend", `<span class="${name.replace(" ", "-")}">${name}</span> `);
    draw();
  },

  // ADe-GAN: the weight of the two parts of the score.
  parts(panel, data, tell) {
    const groups = { normal: [], novel: [] };
    const inside = (value, axis) => Math.min(data.ranges[axis][1], Math.max(data.ranges[axis][0], value));
    data.y.forEach((y, n) => groups[y ? "novel" : "normal"].push([data.a[n], data.b[n]]));
    const draw = () => {
      const w = weight();
      const score = ([a, b]) => (1 - w) * a + w * b;
      const [normal, novel] = [groups.normal.map(score), groups.novel.map(score)];
      const t = quantile(normal, 0.9);
      plot.clear();
      for (const [name, points] of Object.entries(groups))
        for (const [a, b] of points) add(plot.drawn, "circle", { cx: plot.x(inside(a, 0)), cy: plot.y(inside(b, 1)), r: 2.5, class: name });
      const border = (a) => (w ? (t - (1 - w) * a) / w : NaN);
      const ends = w ? data.ranges[0].map((a) => [a, border(a)]) : data.ranges[1].map((b) => [t, b]);
      line(plot, ends.map(([a]) => a), ends.map(([, b]) => b), { class: "mark" });
      const found = mean(novel.map((s) => (s > t ? 1 : 0)));
      tell(
        `Weight of the ${data.names[1]} ${w.toFixed(2)}: AUROC ${auroc(normal, novel).toFixed(3)}, ` +
          `${(100 * found).toFixed(0)} % of the novel images found at 10 % false alarms (beyond the line).`,
      );
    };
    const plot = axes(panel, data.ranges[0], data.ranges[1], data.names[0], data.names[1]);
    const weight = slider(panel, `Weight of the ${data.names[1]}`, { min: 0, max: 1, step: 0.05, value: 0.5, show: (w) => w.toFixed(2) }, draw);
    panel.querySelector(".key").innerHTML = '<span class="normal">normal</span> <span class="novel">novel</span>';
    draw();
  },

  // ICS: where ρ cuts the training images, sorted by the similarity of their reconstructions.
  split(panel, data, tell) {
    const { similar, sprite } = data;
    const strip = panel.appendChild(document.createElement("div"));
    strip.className = "strip";
    const show = (n, kind) => {
      for (const row of [0, 1]) {
        const tile = strip.children[row === 0 ? 0 : 1].appendChild(document.createElement("i"));
        tile.className = kind;
        tile.style.backgroundImage = `url(${sprite})`;
        tile.style.backgroundSize = `${100 * similar.length}% 200%`;
        tile.style.backgroundPosition = `${(100 * n) / (similar.length - 1)}% ${100 * row}%`;
      }
    };
    const draw = () => {
      const border = Math.max(1, Math.round((rho() / 100) * similar.length));
      strip.replaceChildren(document.createElement("div"), document.createElement("div"));
      for (let n = Math.max(0, border - 6); n < Math.min(similar.length, border + 6); n++) show(n, n < border ? "atypical" : "typical");
      plot.clear();
      line(plot, similar.map((_, n) => (100 * n) / similar.length), similar, { class: "normal" });
      const at = plot.x(rho());
      add(plot.drawn, "line", { x1: at, x2: at, y1: plot.y(data.range[0]), y2: plot.y(data.range[1]), class: "mark" });
      const count = Math.max(1, Math.round((rho() / 100) * data.images));
      tell(`ρ = ${rho()} %: ${count} of ${data.images} images are atypical, those with a similarity below ${similar[border].toFixed(2)}.`);
    };
    const plot = axes(panel, [0, 100], data.range, "training images in percent, least similar first", "similarity");
    const rho = slider(panel, "ρ", { min: 1, max: 60, step: 1, value: data.start, show: (r) => `${r} %` }, draw);
    panel.querySelector(".key").innerHTML =
      '<span class="atypical">atypical</span> <span class="typical">typical</span>: the images next to the border, above their reconstructions';
    draw();
  },
};

for (const script of document.querySelectorAll("script.movable")) {
  const before = (one) => one.compareDocumentPosition(script) & Node.DOCUMENT_POSITION_FOLLOWING;
  const picture = [...document.querySelectorAll("article figure img")].filter(before).pop();
  if (!picture) continue;
  const panel = document.createElement("div");
  panel.className = "movable";
  panel.innerHTML = '<form></form><p class="key"></p><output aria-live="polite"></output>';
  panel.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  const still = picture.closest("figure > *") ?? picture;
  still.classList.add("still");
  picture.loading = "eager"; // it is not seen, but printed
  still.before(panel);
  const data = JSON.parse(script.textContent);
  KINDS[script.dataset.kind](panel, data, (words) => (panel.querySelector(":scope > output").value = words));
  panel.querySelector("svg")?.setAttribute("aria-label", picture.alt);
}
