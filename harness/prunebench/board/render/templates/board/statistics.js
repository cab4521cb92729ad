// Paired differences as the board computes them (prunebench.stats.gains): spreads of the whole table, Holm's correction.

function logGamma(x) {
  let shift = 0;
  for (; x < 12; x++) shift -= Math.log(x);
  const y = 1 / x ** 2;
  return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + (1 - y * (1 / 30 - y * (1 / 105 - y / 140))) / (12 * x);
}

/** The regularised incomplete beta function, by its continued fraction. */
function incompleteBeta(x, a, b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  let fraction = 1, c = 1, d = 0;
  for (let i = 0; i <= 500; i++) {
    const m = i >> 1;
    const term = i === 0 ? 1 : i % 2 === 0 ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
      : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + term * d || 1e-300);
    c = 1 + term / c || 1e-300;
    fraction *= c * d;
    if (Math.abs(1 - c * d) < 1e-15) break;
  }
  return front * (fraction - 1);
}

/** The chance that Student's t with df degrees of freedom is farther from 0 than t. */
const twoSided = (t, df) => incompleteBeta(df / (df + t * t), df / 2, 0.5);

function studentQuantile(df, outside) {
  let low = 0, high = 1;
  while (twoSided(high, df) > outside) high *= 2;
  for (let step = 0; step < 80; step++) {
    const middle = (low + high) / 2;
    if (twoSided(middle, df) > outside) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function sampleVariance(values) {
  if (values.length < 2) return 0;
  const scale = Math.max(...values.map(Math.abs)) || 1, centre = mean(values.map((value) => value / scale));
  const deviations = values.map((value) => value / scale - centre);
  if (Math.max(...deviations.map(Math.abs)) < 1e-12) return 0;
  return (deviations.reduce((sum, one) => sum + one ** 2, 0) / (values.length - 1)) * scale ** 2;
}

/** Mean paired differences to a reference, each with its 95 % interval, p and whether it is significant.
 *  table: by name, values by seed at distinct observations; reference: its values by seed. */
function pairedDifferences(table, reference) {
  const names = Object.keys(table).sort().filter((name) => Object.keys(table[name]).some((seed) => seed in reference));
  const rows = names.map((name) => {
    const seeds = Object.keys(table[name]).filter((seed) => seed in reference);
    const values = seeds.map((seed) => +(table[name][seed] - reference[seed]).toFixed(12));
    return { name, n: values.length, df: values.length - 1, mean: mean(values), variance: sampleVariance(values) };
  });
  const drawn = squaredErrors([reference, ...names.map((name) => table[name])], rows), found = {};
  for (const [i, row] of rows.entries()) {
    const varies = row.df > 0 && (drawn !== null || row.variance > 0), error = Math.sqrt(row.variance / row.n);
    const p = !varies ? null : drawn ? 2 * tailOf(Math.abs(row.mean), drawn[i]) : twoSided(row.mean / error, row.df);
    const half = !varies ? 0 : drawn ? halfWidth(drawn[i]) : studentQuantile(row.df, 0.05) * error;
    const [low, high] = half > 0 ? [row.mean - half, row.mean + half] : [null, null];
    found[row.name] = { mean: row.mean, low, high, p, significant: false };
  }
  const order = Object.values(found).filter((one) => one.p !== null).sort((a, b) => a.p - b.p);
  for (const [i, one] of order.entries()) {
    if (one.p > 0.05 / (order.length - i)) break;
    one.significant = true;
  }
  return found;
}

let indexed = null;
/** The rows of cells of a training by label and fraction to keep. */
function cellRows(training, line, rate) {
  if (!indexed) {
    const columns = TRAINING.map((name) => cells.get(name)), keeps = cells.get("keep");
    const [names, projectors] = [cells.get("method"), cells.get("projector")];
    indexed = grouped(Array.from({ length: cells.rows }, (_, i) => i), (i) =>
      [...columns.map((column) => column[i]), labelOf({ method: names[i], projector: projectors[i] }), keeps[i]].join("\u0000"));
  }
  return indexed.get([training.key, line.label, line.rows[rate].keep].join("\u0000")) ?? [];
}

/** What a line measured at a rate, by seed: the mean over the scoring backbones, and the name of the observation. */
function bySeed(training, line, rate) {
  const seeds = cells.get("seed"), found = new Map();
  for (const [seed, rows] of grouped(cellRows(training, line, rate), (i) => seeds[i])) {
    const values = rows.map((i) => cells.get("accuracy")[i]).filter((value) => value !== null);
    if (values.length < line.rows[rate].n_backbones_expected) continue;
    const trained = rows.map((i) => (cells.get("train_key")[i] === null ? "" : i - cells.get("train_key")[i]));
    found.set(seed, { value: mean(values), observation: trained.join(" ") });
  }
  return found;
}

const differencesKnown = new Map();
/** The paired differences of all lines of a training to one of them, at a rate. */
function differencesTo(training, reference, rate) {
  const name = [training.key, reference.label, rate].join("\u0000");
  if (!differencesKnown.has(name)) differencesKnown.set(name, newDifferences(training, reference, rate));
  return differencesKnown.get(name);
}

function newDifferences(training, reference, rate) {
  const other = bySeed(training, reference, rate), table = {}, shared = {};
  for (const line of training.lines) {
    const row = line.rows[rate];
    if (line === reference || !row || row.status !== "ok") continue;
    const pairs = new Map(), own = [...bySeed(training, line, rate)].sort(([a], [b]) => a - b);
    for (const [seed, { value, observation }] of own) {
      const beside = other.get(seed);
      const name = beside && `${observation}|${beside.observation}`;
      if (beside && !pairs.has(name)) pairs.set(name, [seed, value]);
    }
    table[line.label] = Object.fromEntries(pairs.values());
    shared[line.label] = own.filter(([seed]) => other.has(seed)).length;
  }
  const found = pairedDifferences(table, Object.fromEntries([...other].map(([seed, { value }]) => [seed, value])));
  for (const [label, one] of Object.entries(found)) one.n_seeds = shared[label];
  return found;
}
