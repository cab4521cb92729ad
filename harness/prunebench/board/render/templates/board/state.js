// What the reader has chosen. It is in the address, so that a link shows the same page to somebody else.

const LISTS = ["data", "arch", "kind", "pin", "map"], TEXTS = ["rate", "q", "ref", "sort", "measure", "only", "scored"];
let state = readAddress();

function readAddress() {
  const given = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const lists = LISTS.map((name) => [name, (given.get(name) ?? "").split(",").filter(Boolean)]);
  return Object.fromEntries([...lists, ...TEXTS.map((name) => [name, given.get(name) ?? ""])]);
}

function address(chosen) {
  const given = new URLSearchParams();
  for (const name of [...LISTS, ...TEXTS]) if (chosen[name].length) given.set(name, [chosen[name]].flat().join(","));
  return `#${given.toString().replaceAll("%2C", ",")}`;
}

/** Takes over a choice, writes it into the address and draws what depends on it. */
function choose(changes) {
  state = { ...state, ...changes };
  const next = address(state);
  history.replaceState(null, "", next === "#" ? location.pathname + location.search : next);
  draw();
}

const toggled = (list, name) => (list.includes(name) ? list.filter((one) => one !== name) : [...list, name]);

function shows(line) {
  const terms = state.q.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const searched = [line.label, line.family, aboutMethod(line.method).summary].join(" ").toLowerCase();
  return (!terms.length || terms.some((term) => searched.includes(term))) &&
    (!state.kind.length || state.kind.includes(line.family)) && (!state.only || !state.pin.length || state.pin.includes(line.label));
}
const showsTraining = (training) => (!state.arch.length || state.arch.includes(training.facts.train_arch)) &&
  (!state.rate || training.rates.includes(state.rate));
const showsSection = (section) => !state.data.length || state.data.includes(section.facts.dataset);
const narrowed = () => state.arch.length || state.rate;
const shownTrainings = () => sections.filter(showsSection).flatMap((one) => one.trainings).filter(showsTraining);
const ratesOf = (training) => (state.rate ? [state.rate] : training.rates);

/** The rate that pictures of a training are about: the chosen one, else the one that it is sorted by, else the largest. */
function focusOf(training) {
  const [column] = state.sort.split(":");
  const rates = ratesOf(training);
  return rates.includes(column) ? column : rates[rates.length - 1];
}

/** The line that differences are taken to in a training: the chosen one where it ran, else the baseline. */
const referenceOf = (training) => training.lines.find((line) => line.label === state.ref) ?? training.baseline;

/** The difference of a line to the reference at a rate, as the board stores it or as it is computed here; or null. */
function gainOf(training, line, rate, reference = referenceOf(training)) {
  const row = line.rows[rate];
  if (!reference || line === reference || !row || !reference.rows[rate]) return null;
  if (reference === training.baseline) {
    return row.gain_mean === null ? null
      : { mean: row.gain_mean, low: row.gain_low, high: row.gain_high, significant: Boolean(row.gain_significant), n_seeds: row.gain_n_seeds };
  }
  return differencesTo(training, reference, rate)[line.label] ?? null;
}

const families = [...new Set(trainings.flatMap((one) => one.lines.map((line) => line.family)).concat(
  sections.flatMap((section) => section.scores.map((row) => familyOf(row.method)))))].sort();
const HUES = [2, 1, 6, 3, 0, 5, 4, 7]; // neighbours in the alphabet far apart
const colourOf = (family) => (["random", "other"].includes(family) ? "var(--baseline)"
  : `var(--c${HUES[families.filter((one) => !["random", "other"].includes(one)).indexOf(family) % 8]})`);
const swatch = (family) => h("span", { class: "swatch", style: `background: ${colourOf(family)}`, "aria-hidden": "true" });
