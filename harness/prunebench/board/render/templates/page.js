"use strict";
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = head.closest("table");
    const column = head.cellIndex;
    const falling = head.getAttribute("aria-sort") === "ascending" ||
      (!head.hasAttribute("aria-sort") && head.dataset.first === "falling");
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value ?? "";
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return falling ? -order : order;
    });
    table.tBodies[0].append(...rows);
  });
}
for (const block of document.querySelectorAll("[data-linked]")) {
  const charts = block.querySelectorAll(".chart");
  const pinned = new Set();
  const show = (passing) => {
    const on = new Set(pinned);
    if (passing !== undefined) on.add(passing);
    for (const chart of charts) {
      chart.classList.toggle("focused", on.size > 0);
      for (const series of chart.querySelectorAll(".series")) series.classList.toggle("on", on.has(series.dataset.series));
    }
  };
  for (const part of block.querySelectorAll("button[data-series], tr[data-series]")) {
    const id = part.dataset.series;
    part.addEventListener("pointerenter", () => show(id));
    part.addEventListener("pointerleave", () => show());
    if (part.tagName !== "BUTTON") continue;
    part.addEventListener("focus", () => show(id));
    part.addEventListener("blur", () => show());
    part.addEventListener("click", () => {
      if (!pinned.delete(id)) pinned.add(id);
      part.setAttribute("aria-pressed", pinned.has(id));
      show();
    });
  }
}
document.getElementById("download").addEventListener("click", () => {
  const text = document.getElementById("board-data").textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "prunebench-board.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
