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
