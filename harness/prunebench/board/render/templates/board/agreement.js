// Agreement: of a method's scores between backbones and between seeds, and of two architectures about the methods.

const MEASURES = {
  score_rho: "Spearman within a class", score_rho_pooled: "Spearman over all samples", score_pearson: "Pearson over all samples",
};
const measureTitle = (name) => MEASURES[name] ?? words(name.replace(/^score_/, "")).replace(/^./, (letter) => letter.toUpperCase());
const CONTROL = "control_", NOISE = "noise_", CROSS = "cross_backbone", SEEDS = "seed_to_seed";

const measuresOf = (section) => [...new Set(section.scores.map((row) => row.quantity))];
const measureOf = (section) => (measuresOf(section).includes(state.measure) ? state.measure : measuresOf(section)[0]);

/** One line per method: its mean across backbones, between seeds and to the control, and the pairs behind them. */
function scoreLines(section) {
  const rows = section.scores.filter((row) => row.quantity === measureOf(section));
  return [...grouped(rows, labelOf)].map(([label, own]) => {
    const of = (kind) => own.find((row) => row.comparison === kind && row.a === MEAN) ?? null;
    const [cross, seed] = [of(CROSS), of(SEEDS)];
    return {
      label, method: own[0].method, family: familyOf(own[0].method), cross, seed, control: of(CONTROL + CROSS),
      pairs: own.filter((row) => row.a !== MEAN && !row.comparison.includes(NOISE)), noise: own.filter((row) => row.a === MEAN && row.comparison.startsWith(NOISE)),
      ceiling: cross ? cross.ceiling : seed?.deterministic ? 1 : seed?.value ?? null, notes: folded([...new Set(own.flatMap((row) => row.caveat.split("; ")).filter(Boolean))]),
    };
  }).filter((line) => shows(line) && (line.cross || line.seed?.value !== null && line.seed || line.control || line.noise.length)).sort((a, b) => (b.cross?.value ?? -2) - (a.cross?.value ?? -2) || (b.ceiling ?? -2) - (a.ceiling ?? -2) || a.label.localeCompare(b.label));
}

function agreementCell(section, row, about) {
  if (!row) return h("td", {}, NONE);
  const text = row.status === "deterministic" ? "deterministic" : row.value === null ? (row.status === "hole" ? row.reason.split(";")[0] : words(row.status)) : decimal(row.value);
  return h("td", { class: row.value === null && row.status !== "deterministic" ? "hole" : null, title: row.reason, "data-value": row.value === null ? null : row.value.toFixed(6) }, number(text, () => openComparison(section, row, row.quantity), about),
    row.low === null ? null : h("span", { class: "half" }, ` [${decimal(row.low)}, ${decimal(row.high)}]`));
}

function agreementForest(line, axis) {
  const at = (value) => axis(value).toFixed(1), pairs = line.pairs.filter((row) => row.comparison === CROSS && row.value !== null);
  const grid = axis.ticks(5).map((tick) => vertical(axis(tick), tick === 0 ? "base" : "grid")).join("");
  const value = line.cross?.value ?? null, ceiling = line.ceiling;
  return svg(`${grid}${value !== null && ceiling !== null ? `<line class="gap" x1="${at(value)}" x2="${at(ceiling)}" y1="11" y2="11"/>` : ""}` +
    pairs.map((row) => `<line class="pair" style="color: ${colourOf(line.family)}" x1="${at(row.value)}" x2="${at(row.value)}" y1="6" y2="16"/>`).join("") +
    (ceiling === null ? "" : `<circle class="ceiling" cx="${at(ceiling)}" cy="11" r="4"/>`) +
    (value === null ? "" : `<path class="mark" style="color: ${colourOf(line.family)}" d="M${at(value)} 5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>`));
}

function drawScores(section) {
  const lines = scoreLines(section);
  if (!lines.length) return [h("p", { class: "soft" }, "No method passes the filters.")];
  const crossed = lines.some((line) => line.cross), control = lines.some((line) => line.control), levels = levelsOf(lines), names = measuresOf(section);
  const values = lines.flatMap((line) => [line.cross?.value, line.ceiling, ...line.pairs.filter((row) => row.comparison === CROSS).map((row) => row.value)]).filter((value) => value !== null && value !== undefined);
  const axis = d3.scaleLinear([Math.min(0, d3.min(values) ?? 0), Math.max(1, d3.max(values) ?? 1)], [EDGE, WIDTH - EDGE]);
  const heads = ["method", "", ...(crossed ? ["across backbones"] : []), "between seeds", ...(crossed ? ["ceiling", "share of it"] : []), ...(control ? ["untrained control"] : []), ...levels.map((level) => `noise ${level}`)];
  const row = (line) => h("tr", {}, h("th", { scope: "row" }, h("span", { class: "head" }, swatch(line.family), named(line), line.notes.length ? h("span", { title: line.notes.join("; ") }, "†") : null), h("span", { class: "tag" }, line.family)),
    h("td", { class: "picture" }, agreementForest(line, axis)), crossed ? agreementCell(section, line.cross, `${line.label}, across backbones`) : null, agreementCell(section, line.seed, `${line.label}, between seeds`),
    crossed ? [h("td", {}, decimal(line.ceiling)), h("td", { title: line.cross?.reason }, decimal(line.cross?.ratio))] : null, control ? agreementCell(section, line.control, `${line.label}, untrained control`) : null,
    levels.map((level) => agreementCell(section, line.noise.find((one) => one.comparison === NOISE + level), `${line.label}, noise ${level}`)));
  const head = (text) => h("th", { scope: "col", class: text ? null : "picture" }, text || [h("span", { class: "shared" }, crossed ? "◆ across backbones, | one pair, ○ ceiling" : "○ between seeds"), axisHeadOf(axis)]);
  const caption = `${measureTitle(measureOf(section))}: how far two scores of one method rank the same images alike, with the 95 % interval over seeds.${crossed ? " The ceiling is what two seeds of one backbone reach: 1 for a deterministic method." : ""}${control ? " The control is a network that has learnt nothing." : ""}`;
  const select = names.length > 1 ? h("label", {}, "Measure ", chooser(names, measureOf(section), measureTitle, (name) => choose({ measure: name }))) : null;
  return [
    h("div", { class: "controls" }, select),
    h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Agreement of scores" }, gridKeys(sortable(h("table", { class: "results" }, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads.map(head))), h("tbody", {}, lines.map(row)))))),
    levels.length > 1 ? drawNoise(lines, levels) : null, crossed ? drawHeatMaps(section, lines) : null,
  ];
}

const levelsOf = (lines) => [...new Set(lines.flatMap((line) => line.noise.map((row) => row.comparison.slice(NOISE.length))))].sort((a, b) => a - b);

/** How agreement of the scores with those of clean features falls with the noise. */
function drawNoise(lines, levels) {
  const known = lines.flatMap((line) => line.noise.filter((row) => row.value !== null).map((row) => ({ line, x: Number(row.comparison.slice(NOISE.length)), y: row.value, row })));
  const last = d3.max(known, (one) => one.x), ends = known.filter((one) => one.x === last);
  return picture("Agreement under noise", "Noise of the features, as a share of their mean standard deviation.", (host) => host.replaceChildren(Plot.plot({
    width: Math.max(Math.min(host.clientWidth, 720), 280), height: 320, marginRight: 170, marginLeft: 44, style: STYLE, x: { label: "noise", ticks: levels.map(Number) }, y: { label: "agreement", nice: true },
    marks: [
      Plot.gridY({ stroke: "var(--rule)", strokeOpacity: 1 }), Plot.line(known, { x: "x", y: "y", z: (one) => one.line.label, stroke: { value: (one) => colourOf(one.line.family), scale: null } }),
      Plot.dot(known, { x: "x", y: "y", r: 3, fill: { value: (one) => colourOf(one.line.family), scale: null } }), Plot.text(spread(ends, d3.extent(known, (one) => one.y)), { x: "x", y: "at", text: (one) => one.line.label, dx: 8, textAnchor: "start", fill: "var(--ink)" }),
      Plot.tip(known, Plot.pointer({ x: "x", y: "y", title: (one) => `${one.line.label}\nnoise ${one.x}: ${decimal(one.y)}`, ...tipStyle })),
    ],
  })));
}

const axisHeadOf = (axis) => svg(axis.ticks(4).map((tick) => `<text class="tick" x="${axis(tick).toFixed(1)}" y="16" text-anchor="middle">${decimal(tick)}</text>`).join(""), "Axis of agreement");

function chooser(names, chosen, title, change) {
  const select = h("select", { change: () => change(select.value) }, names.map((name) => h("option", { value: name }, title(name))));
  select.value = chosen;
  return select;
}

/** One matrix for the chosen method, and a small one for each method to choose by. */
function drawHeatMaps(section, lines) {
  const matrices = lines.filter((line) => line.pairs.some((row) => row.a !== row.b));
  if (!matrices.length) return null;
  const chosen = matrices.find((line) => line.label === state.scored) ?? matrices[0];
  const small = matrices.length > 1 ? h("div", { class: "small-maps" }, matrices.map((line) => h("button", { type: "button", "aria-pressed": String(line === chosen), click: () => choose({ scored: line.label }) }, smallMap(line), h("span", {}, line.label)))) : null;
  return h("div", {}, h("h4", {}, "Backbone against backbone"), small, largeMap(section, chosen));
}

function matrixOf(line) {
  const found = new Map(line.pairs.flatMap((row) => [[`${row.a}\u0000${row.b}`, row], [`${row.b}\u0000${row.a}`, row]]));
  const controls = new Set(line.pairs.filter((row) => row.comparison === CONTROL + SEEDS).map((row) => row.a));
  const counts = d3.rollup(line.pairs.filter((row) => row.comparison.startsWith(CONTROL)).flatMap((row) => [row.a, row.b]), (v) => v.length, (name) => name);
  const names = [...new Set(line.pairs.flatMap((row) => [row.a, row.b]))];
  const control = (name) => controls.has(name) || (counts.get(name) ?? 0) >= names.length - 1 && names.length > 2;
  names.sort((a, b) => control(a) - control(b) || a.localeCompare(b));
  return { names, at: (a, b) => found.get(`${a}\u0000${b}`) };
}
const shade = (row, a, b) => (row?.status === "deterministic" ? 1 : Math.min(Math.max(row?.value ?? 0, 0), 1));

function smallMap(line) {
  const { names, at } = matrixOf(line), side = 64 / names.length;
  const host = document.createElement("span");
  host.innerHTML = `<svg viewBox="0 0 64 64" width="64" height="64" aria-hidden="true">${names.flatMap((a, y) => names.map((b, x) =>
    `<rect x="${(x * side).toFixed(2)}" y="${(y * side).toFixed(2)}" width="${(side - 0.5).toFixed(2)}" height="${(side - 0.5).toFixed(2)}" class="${at(a, b) ? "heat-mark" : "heat-hole"}" fill-opacity="${at(a, b) ? (0.06 + 0.9 * shade(at(a, b))).toFixed(2) : 1}"/>`)).join("")}</svg>`;
  return host.firstChild;
}

function largeMap(section, line) {
  const { names, at } = matrixOf(line);
  const cell = (a, b) => {
    const row = at(a, b);
    if (!row) return h("td", { class: "hole" }, "not run");
    const fixed = row.status === "deterministic", value = fixed ? "1" : row.value === null ? words(row.status) : decimal(row.value);
    const beside = a === b ? (fixed ? "fixed" : "seeds") : row.ceiling === null ? "" : `of ${decimal(row.ceiling)}`;
    return h("td", { class: row.value === null && !fixed ? "hole" : "heat", style: `background: color-mix(in srgb, var(--warm) ${(shade(row) * 45).toFixed(0)}%, var(--paper))` }, number(value, () => openComparison(section, row, row.quantity), a === b ? `two seeds of ${a}` : `${a} and ${b}`), h("span", { class: "shared" }, beside));
  };
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Backbone against backbone, ${line.label}` }, gridKeys(h("table", { class: "heatmap" }, h("caption", {}, `${line.label}: agreement of its scores, and the ceiling of the pair below. On the diagonal two seeds of one backbone, which is its ceiling.`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "backbone"), names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, names.map((a) => h("tr", {}, h("th", { scope: "row" }, a), names.map((b) => cell(a, b))))))));
}

function drawArchitectures(section) {
  const rows = section.architectures.filter((row) => !state.rate || row.pruning_rate === state.rate);
  const title = { method_tau: "Kendall's tau", method_rho: "Spearman's rho" };
  return plainTable("How far two trained networks rank the methods alike, with the 95 % interval of the agreement that they would have without seed noise. The ceiling is what seed noise would leave of equal rankings; the share is the agreement without seed noise, from halves of the seeds: right on average, but noisy, so that one of them says less than the interval.",
    ["networks", "pruned", "statistic", "agreement", "ceiling", "share of it", "methods", "seeds"], rows.map((row) => [`${row.a}, ${row.b}`, rateText(row.pruning_rate), title[row.quantity] ?? words(row.quantity),
      row.value === null ? words(row.status) : `${decimal(row.value)}${row.low === null ? "" : ` [${decimal(row.low)}, ${decimal(row.high)}]`}`, decimal(row.ceiling), decimal(row.ratio), String(row.n_methods ?? NONE), String(row.n_seeds ?? NONE)]));
}
