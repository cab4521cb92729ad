// How much methods vary from seed to seed, as the board computes it (prunebench.stats.spreads).

const DRAWS = 2000, STEP = 0.15, USUAL_WIDTH = 0.6;
const steps = (from, to, step) => Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);
const total = (values) => values.reduce((sum, one) => sum + one, 0);

function digamma(x) {
  let shift = 0;
  for (; x < 12; x++) shift -= 1 / x;
  const y = 1 / x ** 2;
  return shift + Math.log(x) - 0.5 / x - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))));
}

/** Chebyshev's polynomials of log(erfc(x) / t) + x ** 2 in t = 2 / (2 + x), to eleven digits of erfc. */
const ERFC = [-1.302653719782, 0.6419697923565, 0.01947647320419, -0.009561514786809, -0.0009465953444818,
  0.0003668394978529, 4.252332480723e-5, -2.027857811259e-5, -1.624290004567e-6, 1.303655835095e-6, 1.562644152537e-8,
  -8.523809684575e-8, 6.529054237429e-9, 5.059342765247e-9, -9.913642898049e-10, -2.273651523465e-10,
  9.646800452473e-11, 2.39373478304e-12];

/** The chance that a standard normal number is above z, which is not negative. */
function normalTail(z) {
  const x = z / Math.SQRT2, t = 2 / (2 + x), y = 4 * t - 2;
  let last = 0, one = 0;
  for (let i = ERFC.length - 1; i > 0; i--) {
    const next = y * one - last + ERFC[i];
    last = one;
    one = next;
  }
  return (t / 2) * Math.exp(-x * x + (ERFC[0] + y * one) / 2 - last);
}

// The loops below are plain, since a page has very many of them to do.

function tailOf(gap, squared) {
  let sum = 0;
  for (const one of squared) sum += normalTail(gap / Math.sqrt(one));
  return sum / squared.length;
}

function halfWidth(squared) {
  let found = 0;
  for (let round = 0; round < 50; round++) {
    let density = 0;
    for (const one of squared) density += Math.exp(-(found ** 2) / one / 2) / Math.sqrt(2 * Math.PI * one);
    const step = (tailOf(found, squared) - 0.025) / (density / squared.length);
    found += step;
    if (Math.abs(step) <= 1e-12 * found) break;
  }
  return found;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), at = sorted.length >> 1;
  return sorted.length % 2 ? sorted[at] : (sorted[at - 1] + sorted[at]) / 2;
}

/** The variance of each row once the effect of the seed is taken off.  rows: values by seed. */
function residualVariances(rows) {
  const seeds = [...new Set(rows.flatMap(Object.keys))], centres = rows.map((row) => mean(Object.values(row)));
  const effects = Object.fromEntries(seeds.map((seed) =>
    [seed, median(rows.flatMap((row, i) => (seed in row ? [row[seed] - centres[i]] : [])))]));
  return rows.map((row) => {
    const left = Object.entries(row).map(([seed, value]) => value - effects[seed]), centre = mean(left);
    const free = Math.max(1 - 1 / rows.length, 0.5) * Math.max(left.length - 1, 1);
    const variance = total(left.map((one) => (one - centre) ** 2)) / free;
    return variance > 1e-24 ? variance : 0;
  });
}

/** A grid of log standard deviations, and for each row how probable each of them is. */
function posterior(variances, df) {
  const known = variances.map((variance, i) => variance > 0 && df[i] > 0);
  const logs = variances.flatMap((variance, i) =>
    (known[i] ? [(Math.log(variance) - digamma(df[i] / 2) + Math.log(df[i] / 2)) / 2] : []));
  const centre = mean(logs);
  const grid = steps(Math.min(Math.min(...logs) - 1.5, centre - 4.5), Math.max(Math.max(...logs) + 1.5, centre + 4.5), STEP);
  const likelihood = variances.map((variance, i) => {
    if (!known[i]) return grid.map(() => 1);
    const row = grid.map((log) => -df[i] * (log + (variance / 2) * Math.exp(-2 * log))), most = Math.max(...row);
    return row.map((one) => Math.exp(one - most));
  });
  const priors = steps(0.05, 1.6, 0.1).flatMap((width) => steps(-1.5, 1.6, STEP).map((off) => {
    const row = grid.map((log) => Math.exp(-(((log - centre - off) / width) ** 2) / 2)), sum = total(row);
    return { width, row: row.map((one) => one / sum) };
  }));
  const marginal = likelihood.map((own) => priors.map(({ row }) => {
    let sum = 0;
    for (let k = 0; k < grid.length; k++) sum += own[k] * row[k];
    return Math.max(sum, 1e-300);
  }));
  const weights = priors.map(({ width }, j) => total(marginal.map((row) => Math.log(row[j]))) - (width / USUAL_WIDTH) ** 2 / 2);
  const most = Math.max(...weights);
  const found = likelihood.map((own, i) => {
    const sums = new Float64Array(grid.length);
    for (const [j, { row }] of priors.entries()) {
      const weight = Math.exp(weights[j] - most) / marginal[i][j];
      for (let k = 0; k < grid.length; k++) sums[k] += weight * row[k];
    }
    const mass = own.map((one, k) => one * sums[k]), sum = total(mass);
    return mass.map((one) => one / sum);
  });
  return { grid, found };
}

const strataKnown = [];
/** The middles of DRAWS equal parts of [0, 1], in an order that differs from row to row. */
const strataOf = (row) => (strataKnown[row] ??= newStrata(row));

function newStrata(row) {
  const keys = Uint32Array.from({ length: DRAWS }, (_, i) => row * DRAWS + i).map((key) => {
    key = Math.imul(key ^ (key >>> 16), 0x7feb352d);
    key = Math.imul(key ^ (key >>> 15), 0x846ca68b);
    return key ^ (key >>> 16);
  });
  return Uint16Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b] || a - b).reduce((found, at, i) => {
    found[i] = (at + 0.5) / DRAWS;
    return found;
  }, new Float64Array(DRAWS));
}

function varianceDraws(variances, df) {
  const { grid, found } = posterior(variances, df);
  return found.map((mass, row) => {
    let sum = 0;
    const middles = mass.map((one) => (sum += one) - one / 2), last = grid.length - 1;
    return strataOf(row).map((at) => {
      const above = d3.bisectRight(middles, at);
      if (above === 0 || above > last) return Math.exp(2 * grid[above ? last : 0]);
      const share = (at - middles[above - 1]) / (middles[above] - middles[above - 1]);
      return Math.exp(2 * (grid[above - 1] + share * (grid[above] - grid[above - 1])));
    });
  });
}

/** Draws of the squared error of each difference to the first of `rows`; null with fewer than 5 spreads to learn from. */
function squaredErrors(rows, differences) {
  if (!differences.length) return null;
  const variances = residualVariances(rows);
  if (variances.filter((one) => one > 0).length < 5) return null;
  const [first, ...others] = varianceDraws(variances, rows.map((row) => Object.keys(row).length - 1));
  return others.map((draws, i) => draws.map((one, k) => (one + first[k]) / differences[i].n));
}
