// Puts the page together, and draws again what a choice changes; what is far below is drawn when it comes near.

const parts = []; // { host, draw, shown: () => boolean, rough: height in pixels }
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const part = parts.find((one) => one.host === entry.target);
    part.near = entry.isIntersecting;
    if (part.near && part.dirty) fill(part);
  }
  document.documentElement.dataset.ready = "true"; // what is in sight is drawn
}, { rootMargin: "900px 0px" });

function fill(part) {
  part.dirty = false;
  part.host.style.minHeight = "";
  part.host.replaceChildren(...[part.draw()].flat().filter(Boolean));
  for (const one of part.host.querySelectorAll("*")) one.show?.();
}

function later(draw, rough) {
  const host = h("div", { class: "part" }), part = { host, draw, rough, near: false, dirty: true };
  host.style.minHeight = `${rough}px`;
  parts.push(part);
  near.observe(host);
  return host;
}

function jump(event, id) {
  event?.preventDefault();
  const target = document.getElementById(id), go = () => target?.scrollIntoView({ behavior: "instant" });
  for (const wait of [0, 80, 300]) setTimeout(go, wait); // what is drawn on the way moves it
  target?.focus({ preventScroll: true });
}

function trainingPart(training) {
  const { facts: about } = training, full = training.unpruned;
  const head = `${plural(about.n_seeds, "seed")}${full ? `; nothing pruned: ${full.accuracy_mean === null ? full.hole : `${percent(full.accuracy_mean)} ${full.deterministic ? "deterministic" : halfText(full.accuracy_low, full.accuracy_high)}`}` : ""}. ${about.varied}`;
  const draw_ = () => {
    const lines = training.lines.filter(shows), seen = lines.filter((line) => line.notes.length);
    if (!lines.length) return h("p", { class: "soft" }, training.lines.length ? "No method passes the filters." : "No method was run.");
    const notes = [...grouped(seen, (line) => line.notes.join("; "))].map(([text, some]) => h("li", {}, `† ${some.map((line) => line.label).join(", ")}: ${text}.`));
    const pictures = [drawBudgets(training), drawCosts(training)].filter(Boolean);
    return [h("div", { class: ratesOf(training).length < 2 ? "beside" : null }, h("div", {}, drawTable(training), notes.length ? h("ul", { class: "notes" }, notes) : null),
      pictures.length ? h("div", { class: "pictures" }, pictures) : null), drawByBackbone(training)];
  };
  return h("section", { class: "training", "data-training": training.slug, "aria-labelledby": training.slug }, h("h3", { id: training.slug, tabindex: "-1" }, `Trained: ${about.title}`), h("p", { class: "facts" }, head),
    later(draw_, 200 + 46 * training.lines.length), training.notRun.length ? h("p", { class: "soft" }, `Not run: ${training.notRun.join(", ")}.`) : null);
}

function failuresPart(section) {
  return h("details", { class: "noprint" }, h("summary", {}, `Records without a value (${section.failures.reduce((sum, row) => sum + row.n_records, 0)})`), plainTable("Every status but ok, with the reason that was recorded.", ["methods", "status", "records", "where", "reason"],
    section.failures.map((row) => [row.methods, row.status, String(row.n_records), row.where, row.reason])));
}

function sectionPart(section) {
  const { facts: about } = section;
  const crossed = section.scores.some((row) => row.comparison.endsWith(CROSS));
  const block = (id, title, draw_, rough) => h("section", { "aria-labelledby": id, class: "agreement" }, h("h3", { id, tabindex: "-1" }, title), later(draw_, rough));
  return h("section", { "data-section": section.slug, "aria-labelledby": section.slug }, h("h2", { id: section.slug, tabindex: "-1" }, about.title),
    h("p", { class: "soft" }, `Protocol ${about.protocol}${section.dates ? `, computed ${section.dates}` : ""}. Reproduce with `, h("code", {}, about.command)),
    section.trainings.map(trainingPart),
    section.architectures.length ? block(`${section.slug}-ranks`, "Do two trained networks rank the methods alike?", () => drawArchitectures(section), 160) : null,
    section.scores.length ? block(`${section.slug}-agreement`, crossed ? "Does a method score samples alike from two backbones?" : "Does a method score samples alike at two seeds?", () => [h("p", { class: "facts" }, about.varied_scores), ...drawScores(section)], 500) : null,
    section.exhibit ? block(`${section.slug}-map`, "What does a method keep? The data themselves", () => drawMap(section), 900) : null,
    section.failures.length ? failuresPart(section) : null);
}

function chips(name, values, title = (value) => value, mark = () => null) {
  if (values.length < 2) return null;
  return h("fieldset", { "data-filter": name }, h("legend", {}, { data: "Data", arch: "Trained network", kind: "Kind of method" }[name]), values.map((value) =>
    h("button", { type: "button", class: "chip", "aria-pressed": "false", "data-value": value, click: () => choose({ [name]: toggled(state[name], value) }) }, mark(value), title(value))));
}

function filterBar() {
  const rates = [...new Set(trainings.flatMap((one) => one.rates))].sort((a, b) => a - b), labels = [...new Set(trainings.flatMap((one) => one.lines.map((line) => line.label)))].sort();
  const budget = rates.length > 1 ? h("fieldset", { "data-filter": "rate" }, h("legend", {}, "Pruned"), ["", ...rates].map((rate) => h("button", { type: "button", class: "chip", "aria-pressed": "false", "data-value": rate, click: () => choose({ rate }) }, rate ? rateText(rate) : "all"))) : null;
  const search = h("input", { type: "search", id: "search", placeholder: "part of a name or summary", autocomplete: "off", input: () => choose({ q: search.value }) });
  const reference = h("select", { id: "reference", change: () => choose({ ref: reference.value }) }, h("option", { value: "" }, "the baseline"), labels.map((label) => h("option", { value: label }, label)));
  return [budget, chips("data", [...new Set(sections.map((one) => one.facts.dataset))]), chips("arch", [...new Set(trainings.map((one) => one.facts.train_arch))].sort()), chips("kind", families, (value) => value, swatch),
    h("div", { class: "controls" }, h("label", {}, "Method ", search), labels.length ? h("label", {}, "Gain over ", reference) : null,
      h("button", { type: "button", class: "chip", id: "only", "aria-pressed": "false", click: () => choose({ only: state.only ? "" : "1" }) }, "only those singled out"),
      h("button", { type: "button", id: "reset", click: () => choose(Object.fromEntries([...LISTS.map((name) => [name, []]), ...TEXTS.map((name) => [name, ""])])) }, "Reset"))];
}

function drawFilters() {
  for (const chip of document.querySelectorAll("#filters [data-filter] button")) {
    const name = chip.closest("[data-filter]").dataset.filter, given = state[name];
    chip.setAttribute("aria-pressed", String(Array.isArray(given) ? given.includes(chip.dataset.value) : given === chip.dataset.value));
  }
  const search = document.getElementById("search"), reference = document.getElementById("reference"), only = document.getElementById("only");
  if (search.value !== state.q) search.value = state.q;
  if (reference) reference.value = state.ref;
  only.setAttribute("aria-pressed", String(Boolean(state.only)));
  only.hidden = !state.pin.length;
  document.getElementById("reset").hidden = address(state) === "#";
  const seen = new Set(shownTrainings().flatMap((one) => one.lines.filter(shows).map((line) => line.label)));
  document.getElementById("count").textContent = `${plural(seen.size, "method")} in ${plural(shownTrainings().length, "table")}`;
}

/** Lets the headings of a table sort its rows, pictures and all; `value` of a cell is its first number, or its text. */
function sortable(table) {
  const value = (row, at) => row.cells[at].dataset.value ?? row.cells[at].textContent.replace(MINUS, "-");
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    if (head.classList.contains("picture")) return;
    head.replaceChildren(h("button", { type: "button", click: () => {
      const falling = head.getAttribute("aria-sort") !== "descending" && (at > 0 || head.getAttribute("aria-sort") === "ascending");
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: value(row, at), number: parseFloat(value(row, at)) }));
      rows.sort((a, b) => {
        if (at > 0 && Number.isNaN(a.number) !== Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
        const order = at > 0 && !Number.isNaN(a.number) ? a.number - b.number : a.text.localeCompare(b.text);
        return falling ? -order : order;
      });
      table.tBodies[0].append(...rows.map((one) => one.row));
    } }, ...head.childNodes));
  });
  return table;
}

/** Draws everything that depends on the choice; a button that had the focus has it again. */
function draw() {
  const sorted = document.activeElement?.dataset?.sort, within = document.activeElement?.closest?.("[data-training]")?.dataset.training;
  const pinned = document.activeElement?.classList?.contains("pin") ? document.activeElement.closest("tr").dataset.label : null;
  drawFilters();
  for (const section of sections) {
    const part = document.querySelector(`[data-section="${section.slug}"]`);
    const some = section.trainings.filter(showsTraining);
    part.hidden = !showsSection(section) || (narrowed() && !some.length);
    for (const training of section.trainings) part.querySelector(`[data-training="${training.slug}"]`).hidden = !some.includes(training);
  }
  drawAnswer();
  for (const part of parts) {
    part.dirty = true;
    if (part.near && part.host.offsetParent !== null) fill(part);
  }
  const again = within && (sorted ? `[data-training="${within}"] [data-sort="${sorted}"]` : pinned ? `[data-training="${within}"] tr[data-label="${CSS.escape(pinned)}"] .pin` : null);
  if (again) document.querySelector(again)?.focus();
}

tileStyles();
document.getElementById("filters").replaceChildren(...filterBar().filter(Boolean));
document.getElementById("contents").append(...sections.map((section) => h("li", {}, h("a", { href: `#${section.slug}`, click: (event) => jump(event, section.slug) }, section.facts.title))));
document.getElementById("tables").replaceChildren(...sections.map(sectionPart));
draw();
if (location.hash && !location.hash.includes("=")) jump(null, decodeURIComponent(location.hash.slice(1)));
addEventListener("hashchange", () => {
  if (!location.hash.includes("=") && location.hash.length > 1) return jump(null, decodeURIComponent(location.hash.slice(1)));
  state = readAddress();
  draw();
});
addEventListener("beforeprint", () => { for (const part of parts) if (part.dirty && part.host.offsetParent !== null) fill(part); });
document.getElementById("download").addEventListener("click", () => {
  const link = h("a", { download: "prunebench-board.json", href: URL.createObjectURL(new Blob([document.getElementById("board-data").textContent], { type: "application/json" })) });
  link.click();
  URL.revokeObjectURL(link.href);
});
if (!parts.length) document.documentElement.dataset.ready = "true";
