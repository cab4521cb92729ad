// The answer that the page opens with: which methods lead at each budget, over all tables that are shown.

const MOST_ROWS = 12;

/** What each method did at a rate over some trainings: in how many tables it ran, in how many it is in the leading group. */
function standings(shown, rate) {
  const found = new Map();
  for (const training of shown) {
    for (const line of training.lines.filter(shows)) {
      const row = line.rows[rate];
      if (!row || row.rank === null) continue;
      const one = found.get(line.label) ?? { label: line.label, line, places: [], gains: [], led: 0 };
      const gain = gainOf(training, line, rate);
      one.places.push(training);
      one.led += row.rank === 1;
      if (gain) one.gains.push(gain.mean);
      found.set(line.label, one);
    }
  }
  for (const one of found.values()) one.gain = one.gains.length ? mean(one.gains) : null;
  return [...found.values()].sort((a, b) => b.led / b.places.length - a.led / a.places.length || b.places.length - a.places.length ||
    (b.gain ?? -9) - (a.gain ?? -9) || a.label.localeCompare(b.label));
}

function leadersOf(training, rate) {
  const ranked = training.lines.filter((line) => line.rows[rate]?.rank);
  const leaders = ranked.filter((line) => line.rows[rate].rank === 1).sort((a, b) => b.rows[rate].accuracy_mean - a.rows[rate].accuracy_mean);
  return { ranked, leaders };
}

const named = (line) => h("button", { type: "button", class: "plain", click: () => openMethod(line) }, line.label);

function inWords(names, most = 5) {
  const shown = names.slice(0, most).map(named), parts = [];
  shown.forEach((name, i) => parts.push(i === 0 ? "" : i === shown.length - 1 && names.length <= most ? " and " : ", ", name));
  if (names.length > most) parts.push(` and ${names.length - most} more`);
  return parts;
}

/** One budget in a few sentences. */
function sentences(shown, rate) {
  const tables = shown.filter((training) => leadersOf(training, rate).ranked.length > 1);
  if (!tables.length) return null;
  const found = standings(tables, rate), total = tables.length;
  const methods = found.filter((one) => one.line.role !== "baseline");
  const everywhere = methods.filter((one) => one.places.length === total && one.led === total);
  const said = [];
  if (total === 1) {
    const { leaders, ranked } = leadersOf(tables[0], rate), [best] = leaders;
    if (leaders.length === 1) said.push(named(best), ` leads alone with ${percent(best.rows[rate].accuracy_mean)} %, of ${ranked.length} methods.`);
    else said.push(`The seeds do not tell ${leaders.length} of ${ranked.length} methods apart from the best; the highest mean is that of `, named(best), ` with ${percent(best.rows[rate].accuracy_mean)} %.`);
  } else if (everywhere.length) {
    const most = total === 2 ? "both tables" : `all ${total} tables`;
    said.push(...inWords(everywhere.map((one) => one.line)), ` ${everywhere.length === 1 ? "is" : "are"} in the leading group of ${most}.`);
  } else {
    const always = methods.filter((one) => one.led === one.places.length && one.places.length > 1), most = d3.max(always, (one) => one.places.length);
    const these = always.filter((one) => one.places.length === most), [best] = methods.filter((one) => one.places.length > 1);
    said.push(`No method is in the leading group of all ${total} tables. `);
    if (these.length) said.push(...inWords(these.map((one) => one.line)), ` ${these.length === 1 ? "is" : "are"} in it in each of the ${most} that ${these.length === 1 ? "it" : "they"} ran in.`);
    else if (best) said.push(named(best.line), ` is in it in ${best.led} of the ${best.places.length} that it ran in.`);
  }
  const reference = found.find((one) => one.line.role === "baseline");
  if (reference) {
    const led = reference.led === reference.places.length ? `${total > 1 ? "of all of them" : "too"}` : reference.led ? `in ${reference.led} of ${reference.places.length}` : "in none";
    const gains = found.filter((one) => one.gain !== null && one.places.length >= total / 2).sort((a, b) => b.gain - a.gain);
    said.push(` ${reference.label}, the baseline, is in the leading group ${led}.`);
    if (gains.length && gains[0].gain <= 0) said.push(` No method${total > 1 ? " that ran in half of them or more" : ""} gains over ${state.ref || reference.label} on average.`);
    else if (gains.length) said.push(` The largest mean gain over ${state.ref || reference.label}${total > 1 ? " of a method that ran in half of them or more" : ""}: ${points(gains[0].gain)} points (`, named(gains[0].line), ").");
  }
  return { said, tables, found };
}

/** The network that is trained, with its recipe where a suite trains it by several. */
function trainedBy(training) {
  const same = training.section.trainings.filter((other) => other.facts.train_arch === training.facts.train_arch);
  return training.facts.train_arch + (same.length > 1 ? ` by ${training.facts.recipe}` : "");
}

function bestOfTable(training, rate) {
  const { leaders, ranked } = leadersOf(training, rate), [best] = leaders, row = best.rows[rate];
  const ties = leaders.length < 2 ? `, alone among ${ranked.length}` : ranked.length === 2 ? ", tied with the only other" : `, tied with ${leaders.length - 1} of ${ranked.length - 1} others`;
  return h("li", {}, h("a", { href: `#${training.slug}`, click: (event) => jump(event, training.slug) }, `${training.section.facts.dataset}, ${trainedBy(training)}`),
    h("span", { class: "soft" }, ` (${training.section.facts.suite}): `), named(best), ` ${percent(row.accuracy_mean)} ${halfText(row.accuracy_low, row.accuracy_high)}`, h("span", { class: "soft" }, ties));
}

function drawAnswer() {
  const shown = shownTrainings(), rates = [...new Set(shown.flatMap(ratesOf))].sort((a, b) => b - a);
  const cards = rates.map((rate) => [rate, sentences(shown, rate)]).filter(([, found]) => found);
  document.getElementById("answer").replaceChildren(...(cards.length ? cards.map(([rate, { said, tables }]) =>
    h("article", { class: "card" }, h("h3", {}, `Prune ${rateText(rate)}`, h("span", { class: "soft" }, ` keep ${rateText(1 - rate)}`)), h("p", {}, said),
      h("ul", {}, tables.slice(0, 6).map((training) => bestOfTable(training, rate))), tables.length > 6 ? h("p", { class: "soft" }, `and ${tables.length - 6} more tables below`) : null))
    : [h("p", { class: "soft" }, trainings.length ? "No table with two ranked methods passes the filters." : "Nothing is trained in these records: they compare scores alone.")]));
  drawAcross(shown, rates);
}

/** Method against table: the paired gain in each, with a frame around those of the leading group. */
function drawAcross(shown, rates) {
  const rate = state.rate || rates.find((one) => shown.filter((training) => training.rates.includes(one)).length > 1) || rates[0];
  const tables = shown.filter((training) => training.rates.includes(rate) && leadersOf(training, rate).ranked.length > 1);
  const rows = standings(tables, rate).filter((one) => one.places.length > 1 || tables.length === 1);
  const host = document.getElementById("across");
  if (tables.length < 2 || tables.length > 16 || !rows.length) return host.replaceChildren();
  const gains = rows.flatMap(({ label }) => tables.map((training) => training.lines.find((line) => line.label === label)).map((line, i) => line && gainOf(tables[i], line, rate)?.mean)).filter((gain) => gain);
  const most = d3.quantile(gains.map(Math.abs).sort(d3.ascending), 0.9) || 0.01;
  const cell = (label, training) => {
    const line = training.lines.find((one) => one.label === label), row = line?.rows[rate];
    if (!row || row.accuracy_mean === null) return h("td", { class: "hole" }, row ? row.hole : "not run");
    const gain = gainOf(training, line, rate), share = gain ? Math.min(Math.abs(gain.mean) / most, 1) * 42 : 0;
    const text = gain ? points(gain.mean) : line === referenceOf(training) ? "reference" : NONE;
    return h("td", { class: row.rank === 1 ? "heat lead" : "heat", style: `background: color-mix(in srgb, var(--${gain?.mean < 0 ? "cold" : "warm"}) ${share.toFixed(0)}%, var(--paper))` },
      number(text, () => openCell(training, line, rate), `${label}, ${training.section.facts.dataset}, ${training.facts.train_arch}`, gain?.significant));
  };
  const all = rows.length > MOST_ROWS && !state.q && !state.kind.length;
  host.replaceChildren(h("h3", {}, `Method against table, ${rateText(rate)} pruned`), h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Method against table" }, gridKeys(h("table", { class: "heatmap" },
    h("caption", {}, `Paired gain over ${state.ref || "the baseline"} in points; bold where it holds after Holm's correction; framed: in the leading group of its table.${all ? ` The first ${MOST_ROWS} of ${rows.length} methods that ran in two tables or more; a filter shows others.` : ""}`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "method"), h("th", { scope: "col" }, "leads"), tables.map((training) => h("th", { scope: "col" }, training.section.facts.dataset, h("span", { class: "shared" }, trainedBy(training)), h("span", { class: "shared" }, training.section.facts.suite))))),
    h("tbody", {}, rows.slice(0, all ? MOST_ROWS : 60).map((one) => h("tr", {}, h("th", { scope: "row" }, swatch(one.line.family), named(one.line)), h("td", {}, `${one.led} of ${one.places.length}`), tables.map((training) => cell(one.label, training)))))))));
}
