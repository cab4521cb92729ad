const plane = document.getElementById("plane");
if (plane) {
  const points = JSON.parse(document.getElementById("points").textContent);
  const drawing = plane.querySelector("svg"), ring = plane.querySelector(".ring");
  const tile = document.getElementById("tile"), said = document.getElementById("said");
  const box = drawing.viewBox.baseVal, chosen = document.getElementById("of-class");
  let at = -1, pinned = false;
  const shown = (i) => !chosen || chosen.value === "" || points.class[i] === Number(chosen.value);
  const nearest = (x, y, far) => {
    let best = -1, least = far * far;
    for (let i = 0; i < points.x.length; i++) {
      const d = (points.x[i] - x) ** 2 + (points.y[i] - y) ** 2;
      if (d < least && shown(i)) { least = d; best = i; }
    }
    return best;
  };
  const show = (i) => {
    if (i < 0 || i === at) return;
    at = i;
    ring.setAttribute("cx", points.x[i]);
    ring.setAttribute("cy", points.y[i]);
    ring.classList.remove("none");
    if (tile) {
      const place = points.places[i];
      tile.hidden = place < 0;
      const scale = tile.offsetWidth;
      tile.style.backgroundSize = `${points.columns * scale}px auto`;
      tile.style.backgroundPosition = `${-(place % points.columns) * scale}px ${-Math.floor(place / points.columns) * scale}px`;
      tile.setAttribute("aria-label", `picture of ${points.ids[i]}`);
    }
    const name = points.classes[points.class[i]], rank = points.rank[i];
    const lines = [points.ids[i], name && `class ${name}`,
      `${points.kept[i] ? "kept" : "dropped"}: ${points.reasons[points.reason[i]]}`, rank && `rank ${rank}`,
      points.often.length && `kept in ${Math.round(100 * points.often[i])} % of runs`, points.for[i] && `${points.for[i]} is kept and stands for it`];
    said.replaceChildren(...lines.filter(Boolean).map((text) => {
      const line = document.createElement("p"), inside = document.createElement("bdi");
      inside.textContent = text;
      line.append(inside);
      return line;
    }));
  };
  const under = (event) => {
    const frame = drawing.getBoundingClientRect(), unit = box.width / frame.width;
    return nearest((event.clientX - frame.left) * unit, (event.clientY - frame.top) * unit, 28 * unit);
  };
  plane.addEventListener("pointermove", (event) => { if (!pinned) show(under(event)); });
  plane.addEventListener("click", (event) => {
    const found = under(event);
    pinned = found >= 0 && !(pinned && found === at);
    show(found);
  });
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (event.key === "Escape") pinned = false;
    if (!step) return;
    event.preventDefault();
    if (at < 0) return show(nearest(box.width / 2, box.height / 2, Infinity));
    let best = -1, least = Infinity;
    for (let i = 0; i < points.x.length; i++) {
      const dx = points.x[i] - points.x[at], dy = points.y[i] - points.y[at];
      const along = dx * step[0] + dy * step[1], aside = Math.abs(dx * step[1]) + Math.abs(dy * step[0]);
      if (along > 0 && along + 2 * aside < least && shown(i)) { least = along + 2 * aside; best = i; }
    }
    show(best);
  });
  if (chosen) chosen.addEventListener("change", () => {
    plane.classList.toggle("one", chosen.value !== "");
    for (const path of plane.querySelectorAll(".of-class")) {
      const kept = path.classList.contains("kept") ? 1 : 0;
      let dots = "";
      if (chosen.value !== "") points.x.forEach((x, i) => {
        if (shown(i) && points.kept[i] === kept) dots += `M${x} ${points.y[i]}h0`;
      });
      path.setAttribute("d", dots);
    }
  });
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
