// The data themselves: a sample on a map, its pictures, what a method keeps of it, and how its scores are spread.

const fractionText = (keep) => `${+(keep * 100).toFixed(6)} %`;
const opinionLabel = (one) => labelOf(one);

function tileStyles() {
  const rules = packed.exhibits.map((one, number) => (one.sheet ? `.sheet-${number} { background-image: url("${one.sheet}"); }` : ""));
  document.head.append(h("style", {}, rules.join("\n")));
}

/** The picture of a tile, `side` pixels wide; a word where pictures may not be shown. */
function tile(exhibit, number, side) {
  const about = `${exhibit.classes[exhibit.labels[number]]}, ${exhibit.ids[number]}`;
  if (!exhibit.sheet) return h("span", { class: "tile word", role: "img", "aria-label": about, title: about }, exhibit.classes[exhibit.labels[number]]);
  const [width, height] = exhibit.tile, scale = side / width, rows = Math.ceil(exhibit.ids.length / exhibit.columns);
  const style = `width: ${side}px; height: ${height * scale}px; background-size: ${exhibit.columns * side}px ${rows * height * scale}px; ` +
    `background-position: -${(number % exhibit.columns) * side}px -${Math.floor(number / exhibit.columns) * height * scale}px`;
  return h("span", { class: `tile sheet-${packed.exhibits.indexOf(exhibit)}`, role: "img", "aria-label": about, title: about, style });
}

/** Two methods side by side: the chosen ones, else the best of the table and the best of another kind. */
function chosenOpinions(section) {
  const { exhibit, trainings: [training] } = section, rate = training && focusOf(training);
  const named = (label) => exhibit.opinions.find((one) => opinionLabel(one) === label);
  const accuracy = (one) => training?.lines.find((line) => line.label === opinionLabel(one))?.rows[rate]?.accuracy_mean ?? -1;
  const order = [...exhibit.opinions].filter((one) => familyOf(one.method) !== "random").sort((a, b) => accuracy(b) - accuracy(a));
  const first = named(state.map[0]) ?? order[0] ?? exhibit.opinions[0];
  return [first, named(state.map[1]) ?? order.find((one) => familyOf(one.method) !== familyOf(first.method)) ?? order[1] ?? first];
}

function drawMap(section) {
  const { exhibit } = section, chosen = chosenOpinions(section), keeps = Object.keys(chosen[0].kept).sort((a, b) => a - b);
  const keep = keeps.find((one) => Math.abs(1 - one - state.rate) < 1e-9 && state.rate) ?? keeps[0];
  const labels = exhibit.opinions.map(opinionLabel);
  const select = (side) => chooser(labels, opinionLabel(chosen[side]), (label) => label, (label) => choose({ map: chosen.map((one, i) => (i === side ? label : opinionLabel(one))) }));
  const stale = exhibit.stale.length ? h("p", { class: "soft" }, `The records of ${listed(exhibit.stale)} are of other scores than those that are shown here.`) : null;
  const missing = exhibit.n_mapped < exhibit.n ? ` ${plural(exhibit.n - exhibit.n_mapped, "sample")} that the backbone does not take for what they are labelled have no place on it.` : "";
  return [
    h("p", { class: "facts" }, `${exhibit.x.length} of ${exhibit.n.toLocaleString("en")} training samples, drawn by a seed and balanced over the classes, as ${exhibit.projector} lays out the features of ${exhibit.backbone}.${missing} Point at one to see it; drag to list several.`), stale,
    h("div", { class: "maps" }, chosen.map((one, side) => h("section", { "aria-label": `What ${opinionLabel(one)} keeps` }, h("label", {}, side ? "beside " : "Method ", select(side)), mapOf(exhibit, one, keep), distribution(exhibit, one, keep), extremes(exhibit, one)))),
  ];
}

function mapOf(exhibit, opinion, keep) {
  const samples = exhibit.x.map((x, number) => ({ number, x, y: exhibit.y[number], label: exhibit.labels[number], kept: opinion.kept[keep]?.[number] === "1" }));
  const kept = samples.filter((one) => one.kept), host = h("div", { class: "plot map" }), float = h("div", { class: "float", hidden: true }), brushed = h("div", { class: "brushed", "aria-live": "polite" });
  host.show = () => {
    const colours = d3.scaleOrdinal(d3.range(exhibit.classes.length), d3.schemeTableau10);
    const point = { x: "x", y: "y", stroke: literal((one) => colours(one.label)) };
    const figure = Plot.plot({
      width: Math.max(host.clientWidth, 260), height: 330, margin: 8, style: STYLE, x: { axis: null, domain: [-20, 1020] }, y: { axis: null, domain: [-20, 1020] },
      marks: [
        Plot.dot(samples.filter((one) => !one.kept), { ...point, r: 2.5, strokeOpacity: 0.55 }), Plot.dot(kept, { ...point, fill: literal((one) => colours(one.label)), r: 5 }),
        centres(exhibit, samples), Plot.dot(samples, Plot.pointer({ x: "x", y: "y", r: 9, stroke: "var(--ink)", strokeWidth: 2, maxRadius: 24 })),
      ],
    });
    const drawn = figure.matches("svg") ? figure : figure.querySelector("svg");
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", `Map of ${samples.length} samples; ${opinionLabel(opinion)} keeps ${kept.length} of them at ${fractionText(keep)}`);
    figure.addEventListener("input", () => {
      const one = figure.value;
      float.hidden = !one;
      if (!one) return;
      const better = opinion.better[one.number] / 10;
      float.replaceChildren(tile(exhibit, one.number, 84), h("span", {}, `${exhibit.classes[one.label]}, ${one.kept ? "kept" : "dropped"}`), h("span", { class: "soft" }, `${better} % of its class score higher`));
      float.style.left = `${Math.min(figure.scale("x").apply(one.x) + 14, host.clientWidth - 130)}px`;
      float.style.top = `${figure.scale("y").apply(one.y) + 8}px`;
    });
    const brush = d3.brush().extent([[0, 0], [host.clientWidth, 330]]).on("end", ({ selection }) => {
      const [x, y] = [figure.scale("x"), figure.scale("y")];
      const some = selection ? samples.filter((one) => x.apply(one.x) >= selection[0][0] && x.apply(one.x) <= selection[1][0] && y.apply(one.y) >= selection[0][1] && y.apply(one.y) <= selection[1][1]) : [];
      brushed.replaceChildren(...(some.length ? [h("p", {}, `${some.length} samples, ${some.filter((one) => one.kept).length} of them kept`), ...some.slice(0, 60).map((one) => h("span", { class: one.kept ? "kept" : "dropped" }, tile(exhibit, one.number, 32)))] : []));
    });
    d3.select(drawn).insert("g", ":first-child").call(brush);
    host.replaceChildren(figure, float);
  };
  return h("figure", {}, h("figcaption", {}, `Full: kept at ${fractionText(keep)}, ${kept.length} of the ${samples.length}. Open: dropped. Colours: classes.`), host, brushed);
}

/** The name of each class at the middle of its samples. */
function centres(exhibit, samples) {
  const middle = (some, name) => d3.median(some, (one) => one[name]);
  const found = [...grouped(samples, (one) => one.label)].map(([label, some]) => ({ text: exhibit.classes[label], x: middle(some, "x"), y: middle(some, "y") }));
  return Plot.text(found, { x: "x", y: "y", text: "text", fontWeight: 600, fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 4 });
}

function distribution(exhibit, opinion, keep) {
  const step = (opinion.high - opinion.low || 1) / opinion.counts.length;
  const bins = opinion.counts.map((count, i) => ({ x1: opinion.low + i * step, x2: opinion.low + (i + 1) * step, count, kept: opinion.kept_counts[keep]?.[i] ?? 0 }));
  const host = h("div", { class: "plot" });
  host.show = () => {
    const figure = Plot.plot({
      width: Math.max(host.clientWidth, 260), height: 130, marginLeft: 44, marginBottom: 30, style: STYLE, x: { label: "score, higher is kept first", ticks: 5 }, y: { label: "samples", ticks: 3 },
      marks: [Plot.rectY(bins, { x1: "x1", x2: "x2", y: "count", fill: "var(--rule)", insetLeft: 0.5 }), Plot.rectY(bins, { x1: "x1", x2: "x2", y: "kept", fill: colourOf(familyOf(opinion.method)), insetLeft: 0.5 }),
        Plot.tip(bins, Plot.pointerX({ x: (one) => (one.x1 + one.x2) / 2, y: "count", title: (one) => `${one.x1.toPrecision(3)} to ${one.x2.toPrecision(3)}\n${one.count} samples, ${one.kept} kept`, ...tipStyle }))],
    });
    (figure.matches("svg") ? figure : figure.querySelector("svg")).setAttribute("role", "img");
    figure.setAttribute("aria-label", `Distribution of the scores of ${opinionLabel(opinion)}`);
    host.replaceChildren(figure);
  };
  return h("figure", {}, h("figcaption", {}, `How its scores are spread over all ${exhibit.n.toLocaleString("en")} samples; coloured: kept at ${fractionText(keep)}.`), host);
}

function extremes(exhibit, opinion) {
  const row = (name, label) => h("tr", {}, h("th", { scope: "row" }, name), [opinion.best, opinion.worst].map((side) => h("td", { class: "tiles" }, side[label].map((number) => tile(exhibit, number, 30)))));
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Most and least valuable samples, ${opinionLabel(opinion)}` }, h("table", {}, h("caption", {}, `The samples of each class that ${opinionLabel(opinion)} values most, and least.`),
    h("thead", {}, h("tr", {}, ["class", "most valuable", "least valuable"].map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, exhibit.classes.map(row))));
}
