// Where a number comes from: its records, seeds, versions, commit, machine and command.

const dialog = document.getElementById("detail");
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

function openDialog(title, ...content) {
  const close = h("button", { type: "button", class: "close", "aria-label": "Close", click: () => dialog.close() }, "×");
  dialog.replaceChildren(h("div", {}, h("header", {}, h("h2", { id: "detail-title" }, title), close), ...content));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

const facts = (pairs) => h("dl", {}, pairs.filter(([, value]) => value !== "" && value !== null)
  .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const distinct = (values) => [...new Set(values)].filter((value) => value !== null && value !== "" && value !== NONE);

function plainTable(caption, heads, rows) {
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, h("table", {}, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map(([head, ...row]) => h("tr", {}, h("th", { scope: "row" }, head), row.map((cell) => h("td", {}, cell)))))));
}

const quoted = (word) => (/^[\w.+=/-]+$/.test(word) ? word : `'${word}'`);
function commandFor(section, line, more) {
  const about = aboutMethod(line.method), suite = section.facts.command.match(/prunebench run (\S+)/)?.[1] ?? section.facts.suite;
  const kept = section.facts.command.match(/ --(?:registry|data) (?:'[^']*'|\S+)/g) ?? [];
  return `prunebench run ${suite} --scorer ${quoted(line.method)}${more}${kept.join("")}${about.plugin && !about.plugin.startsWith("prunebench ") ? `  # with ${about.plugin}` : ""}`;
}

/** What stands in the fields of some records, each distinct value once, as facts. */
function madeOf(records, rows) {
  const values = (name) => distinct(rows.map((i) => records.get(name)[i]));
  const dates = values("started").map((text) => text.slice(0, 10)).sort();
  const dirty = rows.some((i) => records.get("git_dirty")[i]);
  return facts([
    ["Scorer", values("scorer").map((name, n) => `${name}, version ${values("scorer_version")[n] ?? values("scorer_version")[0]}`).join("; ")],
    ["Parameters", values("scorer_params").join("; ")],
    ["Selector", values("selector").map((name) => [name, ...values("selector_params")].join(", ")).join("; ")],
    ["Plugin", values("scorer_dist").join("; ")], ["Projector version", values("projector_version").join("; ")],
    ["prunebench", values("prunebench_version").join(", ")],
    ["Commit", values("git_commit").map((text) => text.slice(0, 12)).join(", ") + (dirty ? ", from a changed tree" : "")],
    ["Machine", values("machine_class").join(", ")], ["Run", values("run_id").join(", ")],
    ["Date", dates.length > 1 ? `${dates[0]} to ${dates[dates.length - 1]}` : dates.join("")],
    ["Replaced a result", values("superseded").join("; ")],
  ]);
}

function recordFile(section, method) {
  const path = `${section.facts.suite}/${section.facts.dataset}/${method}.jsonl`;
  return h("p", {}, "Records: ", h("a", { href: `../${path}` }, path), ", fingerprint of the data ", h("code", {}, section.facts.dataset_fingerprint), ".");
}

const command = (text) => h("p", {}, "Compute it again: ", h("code", {}, text));

function openCell(training, line, rate) {
  const { section } = training, row = line.rows[rate], rows = cellRows(training, line, rate);
  const value = (name, i) => cells.get(name)[i];
  const interval = row.accuracy_low === null ? "" : ` [${percent(row.accuracy_low)}, ${percent(row.accuracy_high)}]`;
  const rank = row.rank === null ? "none" : `${row.rank}; the seeds leave ${row.rank_low} to ${row.rank_high} open`;
  openDialog(
    `${line.label}, ${rateText(rate)} pruned`,
    h("p", { class: "soft" }, `${section.facts.title}; trained: ${training.facts.title}`),
    facts([
      ["Accuracy", row.accuracy_mean === null ? row.hole : `${percent(row.accuracy_mean)} %${interval}${row.deterministic ? ", deterministic" : ""}`],
      ["Rank", row.accuracy_mean === null ? "" : rank],
      ["Seeds", `${row.n_seeds} of ${row.n_seeds_expected}, ${plural(row.n_observations, "distinct observation")}`],
      ["Not finished", row.status_reason], ["What the seeds varied", training.facts.varied],
      ["Said against it", [row.caveat, row.versions].filter(Boolean).join("; ")], ["Diagnostics", row.diagnostics],
    ]),
    row.accuracy_mean === null ? null : pairedPanel(training, line, rate),
    plainTable("The records behind it; a key finds its line in the file.", ["seed", "scored with", "accuracy, %", "scoring", "training", "key"],
      rows.map((i) => [String(value("seed", i)), value("score_backbone", i),
        value("accuracy", i) === null ? words(value("status", i)) : (value("accuracy", i) * 100).toFixed(2),
        duration(value("seconds_score", i)), duration(value("seconds_train", i)), h("code", {}, value("key", i))])),
    rows.length ? madeOf(cells, rows) : null, recordFile(section, line.method),
    command(commandFor(section, line, ` --keep ${row.keep} --seeds ${row.n_seeds_expected} --arch ${quoted(training.facts.train_arch)}`)),
    h("p", {}, h("button", { type: "button", click: () => openMethod(line) }, `About ${line.label}`)),
  );
}

/** The paired difference of a line to any other of its table. */
function pairedPanel(training, line, rate) {
  const others = training.lines.filter((one) => one !== line && one.rows[rate]?.accuracy_mean !== null && one.rows[rate]);
  if (!others.length) return null;
  const said = h("p", { id: "paired", "aria-live": "polite" }), chosen = referenceOf(training);
  const tell = (other) => said.replaceChildren(...differenceText(training, line, other, rate));
  const select = h("select", { change: () => tell(others.find((one) => one.label === select.value)) },
    others.map((one) => h("option", { value: one.label }, one.label)));
  select.value = others.includes(chosen) ? chosen.label : others[0].label;
  tell(others.find((one) => one.label === select.value));
  return h("div", { class: "paired" }, h("label", {}, "Paired difference to ", select), said);
}

function differenceText(training, line, other, rate) {
  const found = gainOf(training, line, rate, other);
  if (!found) return ["There is no difference to this one: they share no seed, or one has a hole."];
  const between = found.low === null ? "without an interval" : `95 % interval [${points(found.low)}, ${points(found.high)}]`;
  const verdict = found.low === null ? "" : found.significant ? ", which holds after Holm's correction over the table" : ", not told apart from 0 after Holm's correction over the table";
  return [h("strong", {}, `${points(found.mean)} points`), ` ${between}, over ${plural(found.n_seeds, "shared seed")}${verdict}.`];
}

function openMethod(line) {
  const about = aboutMethod(line.method);
  const ran = trainings.filter((training) => training.lines.some((one) => one.label === line.label));
  const rows = ran.flatMap((training) => training.rates.map((rate) => [training, rate, training.lines.find((one) => one.label === line.label)]))
    .filter(([, rate, one]) => one.rows[rate]);
  openDialog(
    line.label, h("p", {}, about.summary || "The plugin of this method is not installed where the page was written."),
    facts([["Kind", familyOf(line.method)], ["Paper", about.paper], ["Plugin", about.plugin], ["Said against it", (line.notes ?? []).join("; ")]]),
    about.page ? h("p", {}, h("a", { href: about.page }, "Its page in the reference"), ": what it computes, its parameters, and where it differs from the paper.") : null,
    rows.length ? plainTable("Everywhere it ran", ["data set", "trained", "pruned", "accuracy, %", "rank", "gain, points"],
      rows.map(([training, rate, one]) => {
        const row = one.rows[rate], gain = gainOf(training, one, rate, training.baseline);
        return [training.section.facts.dataset, training.facts.train_arch, rateText(rate), row.accuracy_mean === null ? row.hole : `${percent(row.accuracy_mean)} ${halfText(row.accuracy_low, row.accuracy_high)}`,
          row.rank === null ? NONE : String(row.rank), gain ? points(gain.mean) : NONE];
      })) : null,
    ...distinct(ran.map((training) => training.section.key)).map((key) => recordFile(sections.find((one) => one.key === key), line.method)),
  );
}

function openComparison(section, row, measure) {
  const get = (name) => comparisons.get(name), field = packed.measures[measure];
  const sides = (i) => [get("backbone_a")[i], get("backbone_b")[i]].sort().join("\u0000");
  const control = row.comparison.startsWith("control_");
  const seeds = row.comparison.endsWith("seed_to_seed");
  const rows = Array.from({ length: comparisons.rows }, (_, i) => i).filter((i) => SECTION.every((name) => get(name)[i] === section.facts[name]) &&
    labelOf({ method: get("method")[i], projector: get("projector")[i] }) === labelOf(row) &&
    (row.a === MEAN ? (get("backbone_a")[i] === get("backbone_b")[i]) === seeds && Boolean(get("backbone_control")[i]) === control
      : sides(i) === [row.a, row.b].sort().join("\u0000")));
  const pair = row.a === MEAN ? "mean over all pairs" : row.a === row.b ? `two seeds of ${row.a}` : `${row.a} and ${row.b}`;
  openDialog(
    `${labelOf(row)}: ${pair}`, h("p", { class: "soft" }, `${section.facts.title}; ${measureTitle(measure)}`),
    facts([
      ["Value", row.value === null ? words(row.status) : decimal(row.value) + (row.low === null ? "" : ` [${decimal(row.low)}, ${decimal(row.high)}]`)],
      ["Ceiling", row.ceiling === null ? "" : decimal(row.ceiling)], ["Share of the ceiling", row.ratio === null ? "" : decimal(row.ratio)],
      ["Observations", String(row.n_observations ?? 0)], ["What the seeds varied", section.facts.varied_scores], ["Remarks", row.reason], ["Said against it", row.caveat],
    ]),
    plainTable("The records behind it; a key finds its line in the file.", ["backbones", "seeds", "value", "samples", "key"], rows.map((i) => [
      distinct([get("backbone_a")[i], get("backbone_b")[i]]).join(", "), distinct([String(get("seed_a")[i]), String(get("seed_b")[i])]).join(", "),
      get(field)?.[i] === null ? words(get("status")[i]) : decimal(get(field)[i]), String(get("n")[i] ?? NONE), h("code", {}, get("key")[i])])),
    rows.length ? madeOf(comparisons, rows) : null, recordFile(section, "agreement"), command(section.facts.command),
  );
}
