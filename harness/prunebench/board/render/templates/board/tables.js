// The table of a training: every method as a number, and as a mark with its interval in the same row.

const WIDTH = 250, EDGE = 9;

/** A number that opens where it comes from; in a table one of them is in the order of the tab key, arrows reach the others. */
const number = (text, open, about, strong = false) =>
  h("button", { type: "button", class: strong ? "number strong" : "number", "aria-label": `${text}, ${about}`, click: open }, text);

function gridKeys(table) {
  const buttons = () => [...table.querySelectorAll("tbody button")];
  buttons().forEach((button, i) => { button.tabIndex = i ? -1 : 0; });
  table.addEventListener("focusin", (event) => {
    if (!event.target.matches("tbody button")) return;
    for (const button of buttons()) button.tabIndex = button === event.target ? 0 : -1;
  });
  table.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const cell = event.target.closest("tbody td, tbody th");
    if (!step || !cell) return;
    event.preventDefault();
    const rows = [...table.tBodies[0].rows];
    let [y, x] = [rows.indexOf(cell.parentElement), cell.cellIndex];
    for (y += step[0], x += step[1]; rows[y] && x >= 0 && x < cell.parentElement.cells.length; y += step[0], x += step[1]) {
      const next = rows[y].cells[x]?.querySelector("button");
      if (next) return next.focus();
    }
  });
  return table;
}

/** The range of an axis from what most lines have; what lies beyond is clipped, and drawn with an arrow. */
function axisOf(rows, also) {
  const means = rows.map((row) => row.accuracy_mean).sort(d3.ascending);
  const [low, high] = [d3.quantile(means, 0.25), d3.quantile(means, 0.75)], room = Math.max(3 * (high - low), 0.01);
  const inside = [...means, ...also].filter((value) => value >= low - room && value <= high + room);
  const ends = rows.flatMap((row) => (row.accuracy_low === null ? [] : [row.accuracy_low, row.accuracy_high]));
  const [least, most] = d3.extent(inside), beyond = Math.max((most - least) / 3, 0.005);
  const first = Math.max(d3.min([least, ...ends]), least - beyond, 0), last = Math.min(d3.max([most, ...ends]), most + beyond, 1);
  return d3.scaleLinear([first, last > first ? last : first + 0.01], [EDGE, WIDTH - EDGE]).nice(4);
}

const svg = (inside, label) => {
  const host = document.createElement("span");
  host.innerHTML = `<svg class="forest" viewBox="0 0 ${WIDTH} 22" width="${WIDTH}" height="22" ${label ? `role="img"` : `aria-hidden="true"`}>${inside}</svg>`;
  if (label) host.firstChild.setAttribute("aria-label", label);
  return host.firstChild;
};
const vertical = (x, css) => `<line class="${css}" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="-6" y2="28"/>`;
const arrow = (x, side) => `<path class="mark" d="M${x} 11l${-7 * side} -5v10z"/>`;

function forest(line, row, axis, guides) {
  const lines = guides.map(([value, css]) => (value >= axis.domain()[0] && value <= axis.domain()[1] ? vertical(axis(value), css) : "")).join("");
  if (!row || row.accuracy_mean === null) return svg(lines);
  const [first, last] = axis.domain(), clip = (value) => axis(Math.min(Math.max(value, first), last));
  const side = row.accuracy_mean < first ? -1 : row.accuracy_mean > last ? 1 : 0;
  const at = clip(row.accuracy_mean).toFixed(1);
  const whisker = row.accuracy_low === null ? "" : `<line class="whisker" x1="${clip(row.accuracy_low).toFixed(1)}" x2="${clip(row.accuracy_high).toFixed(1)}" y1="11" y2="11"/>`;
  const mark = side ? arrow(side < 0 ? 1 : WIDTH - 1, side) : `<circle class="mark" cx="${at}" cy="11" r="4.2"/>`;
  return svg(`${lines}<g style="color: ${line.role === "baseline" ? "var(--baseline)" : colourOf(line.family)}">${whisker}${mark}</g>`);
}

function axisHead(axis) {
  return svg(axis.ticks(4).map((tick) => `<text class="tick" x="${axis(tick).toFixed(1)}" y="16" text-anchor="middle">${+(tick * 100).toFixed(6)}</text>`).join(""), "Axis of accuracy in %");
}

/** The columns of numbers of a training: what stands in a row, by what it is sorted, and which way at first. */
function columnsOf(training) {
  const rates = ratesOf(training).map((rate) => ({
    name: rate, head: `${rateText(rate)} pruned`, falling: true, value: (line) => line.rows[rate]?.accuracy_mean ?? null,
    cell: (line) => accuracyCell(training, line, rate),
  }));
  const measured = packed.metrics.flatMap((metric) => (metric.scope === "cell" ? ratesOf(training) : training.rates.slice(0, 1)).map((rate) => ({
    name: `${metric.column}@${rate}`, head: metric.title + (metric.scope === "cell" ? `, ${rateText(rate)}` : ""), says: metric.says, falling: metric.falling,
    value: (line) => line.rows[rate]?.[metric.column] ?? null, cell: (line) => h("td", {}, line.rows[rate]?.[metric.column]?.toFixed(3) ?? NONE),
  }))).filter((column) => training.lines.some((line) => column.value(line) !== null));
  const rate = focusOf(training);
  const cost = { name: "cost", head: "scoring time", says: "Scoring alone, the mean over cells: features, projections and proxy runs are shared and not in it.", falling: false,
    value: (line) => costOf(training, line, rate).score, cell: (line) => h("td", {}, duration(costOf(training, line, rate).score)) };
  return [...rates, ...measured, cost];
}

const costsKnown = new Map();
/** Mean seconds of scoring and of training over the finished cells of a line at a rate. */
function costOf(training, line, rate) {
  const name = [training.key, line.label, rate].join("\u0000");
  if (!costsKnown.has(name)) {
    const rows = line.rows[rate] ? cellRows(training, line, rate).filter((i) => cells.get("accuracy")[i] !== null) : [];
    const over = (column) => (rows.length ? mean(rows.map((i) => cells.get(column)[i])) : null);
    costsKnown.set(name, { score: over("seconds_score"), train: over("seconds_train") });
  }
  return costsKnown.get(name);
}

function accuracyCell(training, line, rate) {
  const row = line.rows[rate];
  if (!row || row.accuracy_mean === null) {
    return h("td", { class: "hole", title: row?.status_reason }, row ? number(row.hole, () => openCell(training, line, rate), `${line.label}, ${rateText(rate)} pruned`) : "not run");
  }
  const gain = gainOf(training, line, rate), half = row.deterministic ? "deterministic" : halfText(row.accuracy_low, row.accuracy_high);
  const rank = row.rank === null ? "" : row.rank_low === row.rank_high ? `rank ${row.rank}` : `rank ${row.rank_low}–${row.rank_high}`;
  const few = gain && gain.n_seeds < row.n_seeds ? `, ${plural(gain.n_seeds, "shared seed")}` : "";
  return h("td", { "data-value": row.accuracy_mean.toFixed(6) }, number(percent(row.accuracy_mean), () => openCell(training, line, rate), `${line.label}, ${rateText(rate)} pruned`),
    half ? h("span", { class: "half" }, ` ${half}`) : null,
    h("span", { class: "second" }, rank ? h("span", { class: "rank" }, rank) : null,
      gain ? h("span", { class: gain.significant ? (gain.mean > 0 ? "gain up" : "gain down") : "gain" }, `${points(gain.mean)}${gain.low === null ? "" : ` ${halfText(gain.low, gain.high)}`}${few}`) : null));
}

function sortedLines(training, columns) {
  const [name, way] = state.sort.split(":"), focus = focusOf(training);
  const column = columns.find((one) => one.name === name) ?? columns.find((one) => one.name === focus);
  const falling = name === "method" ? way === "falling" : name === column.name ? way === "falling" : true;
  const value = name === "method" ? (line) => line.label : column.value;
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a.label.localeCompare(b.label);
    const compared = typeof x === "string" ? x.localeCompare(y) : x - y;
    return (falling ? -compared : compared) || a.label.localeCompare(b.label);
  };
  return { lines: training.lines.filter(shows).sort(order), by: name === "method" ? "method" : column.name, falling };
}

function sortHead(name, head, says, by, falling, first) {
  const active = by === name;
  const next = active ? !falling : first;
  return h("th", { scope: "col", "aria-sort": active ? (falling ? "descending" : "ascending") : null, title: says },
    h("button", { type: "button", "data-sort": name, click: () => choose({ sort: `${name}:${next ? "falling" : "rising"}` }) }, head));
}

function drawTable(training) {
  const columns = columnsOf(training), { lines, by, falling } = sortedLines(training, columns), focus = focusOf(training);
  const rows = lines.map((line) => line.rows[focus]).filter((row) => row && row.accuracy_mean !== null);
  const full = training.unpruned?.accuracy_mean ?? null, base = training.baseline?.rows[focus]?.accuracy_mean ?? null;
  const axis = rows.length ? axisOf(rows, []) : d3.scaleLinear([0, 1], [EDGE, WIDTH - EDGE]);
  const guides = [...axis.ticks(4).map((tick) => [tick, "grid"]), ...(full === null ? [] : [[full, "full"]]), ...(base === null ? [] : [[base, "base"]])];
  const span = columns.length + 2, body = [];
  let group = null;
  for (const line of lines) {
    const rank = by === focus ? line.rows[focus]?.rank ?? null : undefined;
    if (rank !== undefined && rank !== group) {
      const tied = lines.filter((one) => one.rows[focus]?.rank === rank).length;
      const text = rank === null ? "Without a rank" : `Rank ${rank}: ${tied === 1 ? "one method" : `${tied} methods that the seeds do not tell apart`}`;
      if (body.length || rank !== null) body.push(h("tr", { class: "group" }, h("th", { scope: "rowgroup", colspan: span }, h("span", {}, text))));
      group = rank;
    }
    const pinned = state.pin.includes(line.label);
    body.push(h("tr", { "data-label": line.label, class: pinned ? "pinned" : null },
      h("th", { scope: "row" }, h("span", { class: "head" },
        h("button", { type: "button", class: "pin", "aria-pressed": String(pinned), "aria-label": `Single out ${line.label} in all pictures`, style: `color: ${colourOf(line.family)}`, click: () => choose({ pin: toggled(state.pin, line.label) }) }),
        named(line), line.notes.length ? h("span", { title: line.notes.join("; ") }, "†") : null), h("span", { class: "tag" }, line.role === "baseline" ? "baseline" : line.family)),
      h("td", { class: "picture" }, forest(line, line.rows[focus], axis, guides)), columns.map((column) => column.cell(line))));
  }
  const reference = referenceOf(training);
  const caption = `Test accuracy in %: the mean over seeds ± half the width of its 95 % interval, and the range of ranks that the seeds leave open.${reference ? ` Beside the rank: the paired gain over ${reference.label} at the same seeds, in points, coloured and bold where it holds after Holm's correction. Paired differences decide, not whether two intervals overlap.` : ""}`;
  const about = `${rateText(focus)} pruned${full === null ? "" : ", dotted: nothing pruned"}${base === null ? "" : `, dashed: ${training.baseline.label}`}`;
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Accuracy, ${training.facts.title}` }, gridKeys(h("table", { class: "results" }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, sortHead("method", "method", null, by, falling, false), h("th", { scope: "col", class: "picture" }, h("span", { class: "shared" }, about), axisHead(axis)),
      columns.map((column) => sortHead(column.name, column.head, column.says, by, falling, column.falling)))), h("tbody", {}, body))));
}

/** Rows: methods; columns: the backbone that scored the samples. */
function drawByBackbone(training) {
  const names = [...new Set(training.lines.flatMap((line) => [...line.backbones.keys()]))], rate = focusOf(training);
  const lines = training.lines.filter((line) => line.backbones.size && shows(line));
  if (names.length < 2 || !lines.length) return null;
  const values = lines.flatMap((line) => names.map((name) => line.backbones.get(name)?.[rate]?.accuracy_mean)).filter((value) => value !== null && value !== undefined);
  const share = d3.scaleLinear(d3.extent(values), [0, 42]);
  const cell = (line, name) => {
    const row = line.backbones.get(name)?.[rate];
    if (!row || row.accuracy_mean === null) return h("td", { class: "hole" }, row?.hole ?? "not run");
    return h("td", { class: "heat", style: `background: color-mix(in srgb, var(--warm) ${share(row.accuracy_mean).toFixed(0)}%, var(--paper))` }, number(percent(row.accuracy_mean), () => openCell(training, line, rate), `${line.label} scored with ${name}`), h("span", { class: "half" }, ` ${halfText(row.accuracy_low, row.accuracy_high)}`));
  };
  return h("details", { class: "noprint" }, h("summary", {}, `Scored with one backbone, trained ${training.facts.train_arch}: does a score transfer?`),
    h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "By scoring backbone" }, gridKeys(h("table", { class: "heatmap" }, h("caption", {}, `Test accuracy in % of ${training.facts.train_arch}, ${rateText(rate)} pruned, by the backbone that scored the samples.`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "method"), names.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, lines.map((line) => h("tr", {}, h("th", { scope: "row" }, line.label), names.map((name) => cell(line, name)))))))));
}
