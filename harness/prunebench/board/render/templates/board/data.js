"use strict";
// The tables of the board out of their packed columns, and what the page makes of them: sections, trainings, lines.

const packed = JSON.parse(document.getElementById("board-data").textContent);
const MINUS = "\u2212", NONE = "-", MEAN = "mean";
const SECTION = ["suite", "dataset", "protocol", "dataset_fingerprint"];
const TRAINING = [...SECTION, "train_arch", "recipe", "recipe_digest"];

function unpacked(column, rows) {
  if (column.text !== undefined) {
    return Array.from({ length: rows }, (_, i) => column.text.slice(i * column.width, (i + 1) * column.width));
  }
  let values = column.values;
  if (column.runs) {
    values = [];
    for (let i = 0; i < column.runs.length; i += 2) for (let n = column.runs[i + 1]; n > 0; n--) values.push(column.runs[i]);
  }
  if (column.scale) return values.map((value) => (value === null ? null : value / column.scale));
  return column.words ? values.map((value) => column.words[value]) : values;
}

/** A table whose columns are unpacked when they are first read: table.get(name)[row], table.row(row). */
function tableOf(name) {
  const { rows, columns } = packed[name], known = new Map();
  const get = (column) => {
    if (!known.has(column)) known.set(column, columns[column] ? unpacked(columns[column], rows) : new Array(rows).fill(null));
    return known.get(column);
  };
  const row = (index) => Object.fromEntries(Object.keys(columns).map((column) => [column, get(column)[index]]));
  return { rows, get, row, all: () => Array.from({ length: rows }, (_, index) => row(index)) };
}

const place = (row, names) => names.map((name) => row[name]).join("\u0000");
const labelOf = (row) => (row.projector === NONE ? row.method : `${row.method} + ${row.projector}`);
const grouped = (items, key) => {
  const found = new Map();
  for (const item of items) {
    const name = key(item);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(item);
  }
  return found;
};
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

const signed = (text, value) => (/[1-9]/.test(text) ? (value < 0 ? MINUS : "+") : "") + text;
const percent = (value) => (value === null || value === undefined ? NONE : (value * 100).toFixed(1));
const points = (value) => signed(Math.abs(value * 100).toFixed(1), value);
const decimal = (value) => {
  if (value === null || value === undefined) return NONE;
  const text = Math.abs(value).toFixed(2);
  return (value < 0 && text !== "0.00" ? MINUS : "") + text;
};
const rateText = (rate) => `${+(rate * 100).toFixed(10)} %`;
const halfText = (low, high) => (low === null ? "" : `±${percent((high - low) / 2)}`);
const duration = (seconds) => {
  if (seconds === null || Number.isNaN(seconds)) return NONE;
  if (seconds < 0.001) return "< 0.001 s";
  if (seconds < 60) return `${seconds < 0.1 ? seconds.toFixed(3) : +seconds.toPrecision(2)} s`;
  return seconds < 5400 ? `${+(seconds / 60).toPrecision(2)} min` : `${+(seconds / 3600).toPrecision(2)} h`;
};
const listed = (parts) => (parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`);
const words = (text) => text.replaceAll("_", " ");
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

/** An element with attributes (functions are listeners) and children: elements, texts, or nothing. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const cells = tableOf("cells"), comparisons = tableOf("comparisons");
const methods = new Map(tableOf("methods").all().map((row) => [row.scorer, row]));
const scorers = new Map();
for (const records of [comparisons, cells]) {
  const names = records.get("method"), by = records.get("scorer");
  for (let i = 0; i < records.rows; i++) scorers.set(names[i], by[i]);
}
const aboutMethod = (name) => methods.get(scorers.get(name)) ?? { family: "", summary: "", paper: "", plugin: "", page: "" };
const familyOf = (name) => aboutMethod(name).family || "other";

function lineOf(rows) {
  const [first] = rows, own = rows.filter((row) => [NONE, MEAN].includes(row.score_backbone));
  const byRate = (some) => Object.fromEntries(some.map((row) => [row.pruning_rate, row]));
  const backbones = grouped(rows.filter((row) => !own.includes(row)), (row) => row.score_backbone);
  const notes = [...new Set(rows.flatMap((row) => [...row.caveat.split("; "), row.versions]).filter(Boolean))];
  return {
    label: labelOf(first), method: first.method, role: first.role, family: familyOf(first.method), notes: folded(notes),
    rows: byRate(own), backbones: new Map([...backbones].map(([name, some]) => [name, byRate(some)])),
  };
}

/** Sentences that differ in their numbers alone as one, with ranges. */
function folded(sentences) {
  const number = /(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.]*\w)/g;
  return [...grouped(sentences, (text) => text.replace(number, "#")).values()].map((alike) => {
    const found = alike.map((text) => text.match(number) ?? []);
    let at = 0;
    return alike[0].replace(number, () => {
      const values = [...new Set(found.map((some) => some[at]))].sort((a, b) => a.replaceAll(",", "") - b.replaceAll(",", ""));
      at += 1;
      return values.length > 2 ? `${values[0]} to ${values[values.length - 1]}` : values.join(" and ");
    });
  }).sort();
}

const rowsByTable = grouped(tableOf("accuracy").all(), (row) => place(row, TRAINING));
const trainings = tableOf("tables").all().map((facts) => {
  const rows = rowsByTable.get(place(facts, TRAINING)) ?? [];
  const lines = [...grouped(rows.filter((row) => row.role !== "unpruned"), labelOf).values()].map(lineOf);
  const run = lines.filter((line) => Object.values(line.rows).some((row) => row.hole !== "not run"));
  return {
    facts, key: place(facts, TRAINING), lines: run,
    notRun: lines.filter((line) => !run.includes(line)).map((line) => line.label),
    rates: [...new Set(lines.flatMap((line) => Object.keys(line.rows)))].sort((a, b) => a - b),
    unpruned: rows.find((row) => row.role === "unpruned" && [NONE, MEAN].includes(row.score_backbone)),
    baseline: lines.find((line) => line.role === "baseline"),
  };
});
const correlations = grouped(tableOf("rank_correlation").all(), (row) => place(row, SECTION));
const started = new Map();
for (const records of [cells, comparisons]) {
  const columns = SECTION.map((name) => records.get(name)), dates = records.get("started");
  for (let i = 0; i < records.rows; i++) {
    const key = columns.map((column) => column[i]).join("\u0000"), day = dates[i].slice(0, 10), [first, last] = started.get(key) ?? [day, day];
    if (day) started.set(key, [first && first < day ? first : day, last > day ? last : day]);
  }
}
const failures = grouped(tableOf("failures").all(), (row) => place(row, SECTION));
const sections = tableOf("sections").all().map((facts) => {
  const key = place(facts, SECTION), rows = correlations.get(key) ?? [];
  return {
    facts, key, dates: [...new Set(started.get(key) ?? [])].join(" to "), trainings: trainings.filter((one) => place(one.facts, SECTION) === key),
    architectures: rows.filter((row) => row.comparison === "archs"), scores: rows.filter((row) => row.comparison !== "archs"),
    failures: failures.get(key) ?? [],
    exhibit: packed.exhibits.find((one) => SECTION.every((name) => one[name] === facts[name])),
  };
});
sections.forEach((section, number) => {
  const slug = section.facts.title.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "").toLowerCase() || "section";
  section.slug = sections.slice(0, number).some((other) => other.slug === slug) ? `${slug}-${number + 1}` : slug;
  section.trainings.forEach((training, n) => Object.assign(training, { section, slug: `${section.slug}-${n + 1}` }));
});
