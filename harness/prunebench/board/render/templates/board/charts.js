// Pictures that are zoomed, hovered and brushed; Observable Plot draws them.

/** Draws into a host; what is brushed becomes the range of the axes.  draw: ranges to a figure. */
function zoomable(host, draw, brush, label) {
  const reset = h("button", { type: "button", class: "reset", click: () => show({}) }, "Whole range");
  const show = (ranges) => {
    const figure = draw(ranges), drawn = figure.matches("svg") ? figure : figure.querySelector("svg:last-of-type");
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", label);
    const [left, right] = figure.scale("x").range, [bottom, top] = figure.scale("y").range, horizontal = figure.scale("x").type !== "point";
    const zoom = (horizontal ? d3.brush() : d3.brushY()).extent([[left, top], [right, bottom]]).on("end", ({ selection, sourceEvent }) => {
      if (!selection || !sourceEvent) return;
      const [[x0, y0], [x1, y1]] = horizontal ? selection : [[left, selection[0]], [right, selection[1]]];
      const y = figure.scale("y"), x = figure.scale("x");
      show({ y: [y.invert(y1), y.invert(y0)], ...(horizontal ? { x: [x.invert(x0), x.invert(x1)] } : {}) });
    });
    if (brush) d3.select(drawn).insert("g", ":first-child").attr("class", "zoom").call(zoom).selectAll("*").attr("tabindex", null);
    reset.hidden = !ranges.y;
    host.replaceChildren(figure, reset);
  };
  show({});
}

const STYLE = { background: "none", color: "var(--ink)", fontFamily: "inherit", fontSize: "12px", overflow: "visible" };
const tipStyle = { fill: "var(--paper)", stroke: "var(--soft)" };
const literal = (value) => ({ value, scale: null });
const colour = (point) => (point.line.role === "baseline" ? "var(--baseline)" : colourOf(point.line.family));

/** The lines that stand out: those singled out, else the baseline and the best three of the leading group. */
function emphasised(training, lines, rate) {
  const pinned = lines.filter((line) => state.pin.includes(line.label));
  if (pinned.length) return new Set(pinned);
  if (lines.length <= 4) return new Set(lines);
  const best = [...lines].filter((line) => line.rows[rate]?.rank === 1).sort((a, b) => b.rows[rate].accuracy_mean - a.rows[rate].accuracy_mean);
  return new Set([...best.slice(0, 3), training.baseline].filter((line) => line && lines.includes(line)));
}

function drawBudgets(training) {
  const lines = training.lines.filter(shows), strong = emphasised(training, lines, focusOf(training));
  const all = lines.flatMap((line) => training.rates.map((rate) => ({ line, rate: rateText(rate), row: line.rows[rate] })))
    .map((one) => ({ ...one, y: one.row && one.row.accuracy_mean !== null ? one.row.accuracy_mean * 100 : NaN, low: (one.row?.accuracy_low ?? NaN) * 100, high: (one.row?.accuracy_high ?? NaN) * 100 }));
  const known = all.filter((one) => !Number.isNaN(one.y)), full = training.unpruned?.accuracy_mean;
  if (training.rates.length < 2 || !known.length) return null;
  const last = [...grouped(known.filter((one) => strong.has(one.line)), (one) => one.line.label).values()].map((some) => some[some.length - 1]);
  const robust = axisOf(known.map((one) => one.row), full ? [full] : []).domain().map((value) => value * 100);
  const marks = (y) => [
    Plot.gridY({ stroke: "var(--rule)", strokeOpacity: 1 }), full ? Plot.ruleY([full * 100], { stroke: "var(--soft)", strokeDasharray: "2 3" }) : null,
    Plot.areaY(all.filter((one) => strong.has(one.line)), { x: "rate", y1: "low", y2: "high", z: (one) => one.line.label, fill: literal(colour), fillOpacity: 0.16, clip: true }),
    Plot.line(all.filter((one) => !strong.has(one.line)), { x: "rate", y: "y", z: (one) => one.line.label, stroke: literal(colour), strokeOpacity: strong.size < lines.length ? 0.35 : 1, clip: true }),
    Plot.line(all.filter((one) => strong.has(one.line)), { x: "rate", y: "y", z: (one) => one.line.label, stroke: literal(colour), strokeWidth: 2.4, strokeDasharray: null, clip: true }),
    Plot.dot(known.filter((one) => one.y >= y[0] && one.y <= y[1]), { x: "rate", y: "y", r: (one) => (strong.has(one.line) ? 3.5 : 2), fill: literal(colour), fillOpacity: (one) => (strong.has(one.line) ? 1 : 0.5) }),
    Plot.text(spread(last.filter((one) => one.y >= y[0] && one.y <= y[1]), y), { x: "rate", y: "at", text: (one) => one.line.label, dx: 8, textAnchor: "start", fill: "var(--ink)" }),
    Plot.tip(known.filter((one) => one.y >= y[0] && one.y <= y[1]), Plot.pointer({ x: "rate", y: "y", title: (one) => `${one.line.label}\n${one.rate} pruned: ${percent(one.row.accuracy_mean)} ${halfText(one.row.accuracy_low, one.row.accuracy_high)}\n${one.line.family}`, ...tipStyle })),
  ];
  return picture("Accuracy against budget", `Bands: 95 % intervals.${full ? " Dotted: nothing pruned." : ""} Drag over the picture to zoom; the mark at a method's name singles it out.`, (host) =>
    zoomable(host, (ranges) => {
      const y = ranges.y ?? robust;
      return Plot.plot({ width: Math.max(host.clientWidth, 280), height: 320, marginRight: 130, marginLeft: 44, style: STYLE, x: { type: "point", domain: training.rates.map(rateText), label: "pruned" }, y: { domain: y, label: "accuracy, %", ticks: 6 }, r: { type: "identity" }, opacity: { type: "identity" }, marks: marks(y) });
    }, true, `Accuracy in % against the share that is pruned, ${training.facts.title}`));
}

/** Labels at the end of lines, moved apart where they would overlap. */
function spread(points, [low, high]) {
  const least = (high - low) / 20;
  let above = Infinity;
  return [...points].sort((a, b) => b.y - a.y).map((one) => {
    const at = Math.min(one.y, above - least);
    above = at;
    return { ...one, at };
  });
}

function drawCosts(training) {
  const rate = focusOf(training), lines = training.lines.filter(shows), strong = emphasised(training, lines, rate);
  const all = lines.map((line) => ({ line, row: line.rows[rate], cost: costOf(training, line, rate) })).filter((one) => one.row && one.row.accuracy_mean !== null && one.cost.train !== null)
    .map((one) => ({ ...one, x: Math.max(one.cost.score + one.cost.train, 1e-3), y: one.row.accuracy_mean * 100, low: one.row.accuracy_low * 100, high: one.row.accuracy_high * 100 }));
  if (all.length < 2) return null;
  let best = -1;
  const frontier = [...all].sort((a, b) => a.x - b.x || b.y - a.y).filter((one) => one.y > best && (best = one.y));
  const robust = axisOf(all.map((one) => one.row), []).domain().map((value) => value * 100);
  return picture("Accuracy against cost", `Scoring and training of one cell, ${rateText(rate)} pruned. The line: nothing is both cheaper and better. Features, projections and proxy runs are not in it.`, (host) =>
    zoomable(host, (ranges) => {
      const y = ranges.y ?? robust, inside = (one) => one.y >= y[0] && one.y <= y[1] && (!ranges.x || (one.x >= ranges.x[0] && one.x <= ranges.x[1])), seen = all.filter(inside);
      return Plot.plot({
        width: Math.max(host.clientWidth, 280), height: 320, marginLeft: 44, marginRight: 20, style: STYLE, x: { type: "log", domain: ranges.x ?? widened(d3.extent(all, (one) => one.x)), label: "seconds", tickFormat: (value) => (seconds(value)) , ticks: 5, grid: false }, y: { domain: y, label: "accuracy, %", ticks: 6 },
        marks: [
          Plot.gridY({ stroke: "var(--rule)", strokeOpacity: 1 }), Plot.line(frontier, { x: "x", y: "y", curve: "step-after", stroke: "var(--soft)", strokeDasharray: "3 3", clip: true }),
          Plot.ruleX(seen.filter((one) => one.row.accuracy_low !== null), { x: "x", y1: "low", y2: "high", stroke: literal(colour), strokeOpacity: 0.45, clip: true }), Plot.dot(seen, { x: "x", y: "y", r: 4, fill: literal(colour) }),
          ...labels(seen.filter((one) => strong.has(one.line) || frontier.includes(one)), ranges.x ?? d3.extent(all, (one) => one.x), y),
          Plot.tip(seen, Plot.pointer({ x: "x", y: "y", title: (one) => `${one.line.label}\n${percent(one.row.accuracy_mean)} ${halfText(one.row.accuracy_low, one.row.accuracy_high)}\nscoring ${duration(one.cost.score)}, training ${duration(one.cost.train)}`, ...tipStyle })),
        ],
      });
    }, true, `Accuracy in % against seconds of scoring and training, ${training.facts.title}`));
}

const seconds = (value) => (value >= 1 ? `${+value.toPrecision(3)}` : `${+value.toPrecision(1)}`);
const widened = ([low, high]) => (high / low < 1.5 ? [low / 1.3, high * 1.3] : [low / 1.1, high * 1.1]);

/** Labels of points, towards the middle of the picture, without those that would lie on others. */
function labels(points, [x0, x1], [y0, y1]) {
  const at = new Map(points.map((one) => [one, { x: Math.log(one.x / x0) / (Math.log(x1 / x0) || 1), y: (one.y - y0) / (y1 - y0) }]));
  const clear = points.filter((one, i) => points.slice(0, i).every((other) => Math.abs(at.get(one).x - at.get(other).x) > 0.3 || Math.abs(at.get(one).y - at.get(other).y) > 0.06));
  const anchor = (one) => (at.get(one).x < 0.2 ? "start" : at.get(one).x > 0.8 ? "end" : "middle");
  return ["start", "middle", "end"].map((textAnchor) => Plot.text(clear.filter((one) => anchor(one) === textAnchor), { x: "x", y: "y", text: (one) => one.line.label, dy: -10, fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 3, textAnchor }));
}

function picture(title, says, show) {
  const host = h("div", { class: "plot" });
  const figure = h("figure", {}, h("figcaption", {}, h("strong", {}, title), h("span", { class: "soft" }, says)), host);
  figure.show = () => show(host);
  return figure;
}
