// The map of the test images: their positions, the highlighted image, and the position of the current code.

const MARGIN = 46;
const HIT_RADIUS = 14;
const NEIGHBOURS = 5;
const map = { xs: [], ys: [], scale: 1, left: 0, top: 0, highlighted: null, ring: null, layer: null };

function setUpMap() {
  for (const d of pageData.order) {
    for (const id of ["axis-x", "axis-y"]) byId(id).append(element("option", { value: d }, `z${d} (${pageData.kl[d].toFixed(2)} nats)`));
  }
  byId("map-kind").onchange = (event) => { state.map.kind = event.target.value; layOutPoints(); };
  byId("axis-x").onchange = (event) => { state.map.x = Number(event.target.value); layOutPoints(); };
  byId("axis-y").onchange = (event) => { state.map.y = Number(event.target.value); layOutPoints(); };
  byId("errors-only").hidden = points.predicted === null;
  byId("errors").onchange = (event) => { state.errorsOnly = event.target.checked; paintMap(); updateMapStatus(); };
  const canvas = byId("map");
  canvas.onpointermove = (event) => highlight(nearestPoint(event.offsetX, event.offsetY, HIT_RADIUS));
  canvas.onpointerleave = () => highlight(null);
  canvas.onclick = (event) => {
    const index = nearestPoint(event.offsetX, event.offsetY, 2 * HIT_RADIUS);
    if (index !== null) loadPoint(index);
  };
  canvas.onkeydown = navigateMap;
  canvas.onblur = () => highlight(null);
  setUpLegend();
  new ResizeObserver(() => layOutPoints()).observe(canvas);
}

function setUpLegend() {
  const present = [...new Set(points.labels)].sort((a, b) => a - b);
  if (present.length === 1 && present[0] < 0) return;
  for (const label of present) {
    const shape = `<svg viewBox="-6 -6 12 12" aria-hidden="true"><path d="${markerPath(label)}" fill="${colour(label)}"/></svg>`;
    const name = element("span", { title: className(label) }, className(label));
    const button = element("button", { type: "button" }, name);
    button.insertAdjacentHTML("afterbegin", shape);
    button.dataset.label = label;
    button.onclick = () => {
      if (!state.hiddenClasses.delete(label)) state.hiddenClasses.add(label);
      paintLegend();
      paintMap();
      updateMapStatus();
    };
    byId("legend").append(element("li", {}, button));
  }
}

function paintLegend() {
  for (const button of byId("legend").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(!state.hiddenClasses.has(Number(button.dataset.label))));
  }
}

const colour = (label) => pageData.classes[label]?.colour ?? "#8593a1";

/** SVG path of a class's marker, centred at (0, 0) and 10 wide. */
function markerPath(label) {
  return {
    o: "M5 0A5 5 0 1 1 -5 0A5 5 0 1 1 5 0Z",
    "^": "M0 -5.5L5.5 4.5L-5.5 4.5Z",
    s: "M-4.5 -4.5H4.5V4.5H-4.5Z",
    D: "M0 -6L6 0L0 6L-6 0Z",
    v: "M0 5.5L5.5 -4.5L-5.5 -4.5Z",
    P: "M-2 -5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z",
  }[pageData.classes[label]?.marker ?? "o"];
}

const project = (code, axis) => code.reduce((sum, value, d) => sum + (value - pageData.pca.centre[d]) * axis[d], 0);

/** Position of a code on the map; with t-SNE, the weighted mean position of its nearest test images. */
function positionOf(code) {
  if (state.map.kind === "latents") return [code[state.map.x], code[state.map.y]];
  if (state.map.kind === "pca") return pageData.pca.axes.map((axis) => project(code, axis));
  const near = [];
  for (let i = 0; i < points.count; i++) {
    let square = 0;
    for (let d = 0; d < LATENTS; d++) square += (points.mean[i * LATENTS + d] - code[d]) ** 2;
    near.push([square, i]);
  }
  near.sort((a, b) => a[0] - b[0]);
  const sums = [0, 0, 0];
  for (const [square, i] of near.slice(0, NEIGHBOURS)) {
    const weight = 1 / (square + 1e-9);
    [points.tsne[2 * i], points.tsne[2 * i + 1], 1].forEach((value, k) => { sums[k] += weight * value; });
  }
  return [sums[0] / sums[2], sums[1] / sums[2]];
}

function layOutPoints() {
  byId("map-kind").value = state.map.kind;
  byId("axes").hidden = state.map.kind !== "latents";
  byId("axis-x").value = state.map.x;
  byId("axis-y").value = state.map.y;
  for (let i = 0; i < points.count; i++) {
    const position = state.map.kind === "tsne" ? [points.tsne[2 * i], points.tsne[2 * i + 1]] : positionOf(points.code(i));
    [map.xs[i], map.ys[i]] = position;
  }
  const canvas = byId("map");
  const size = canvas.clientWidth;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(size * ratio);
  const [low, high] = [[Math.min(...map.xs), Math.min(...map.ys)], [Math.max(...map.xs), Math.max(...map.ys)]];
  const span = Math.max(high[0] - low[0], high[1] - low[1]) || 1;
  map.scale = (size - 2 * MARGIN) / span;
  map.left = (low[0] + high[0]) / 2 - size / 2 / map.scale;
  map.top = (low[1] + high[1]) / 2 + size / 2 / map.scale;
  paintMap();
  updateMapStatus();
}

const toCanvas = (x, y) => [(x - map.left) * map.scale, (map.top - y) * map.scale];
const isVisible = (i) => !state.hiddenClasses.has(points.labels[i])
  && (!state.errorsOnly || (points.labels[i] >= 0 && points.predicted[i] !== points.labels[i]));

function nearestPoint(x, y, radius) {
  let best = null;
  let least = radius ** 2;
  for (let i = 0; i < points.count; i++) {
    const [px, py] = toCanvas(map.xs[i], map.ys[i]);
    const square = (px - x) ** 2 + (py - y) ** 2;
    if (square < least && isVisible(i)) [best, least] = [i, square];
  }
  return best;
}

/** Paint all points on a separate layer, so that moving the ring of the current code does not repaint them. */
function paintMap() {
  const canvas = byId("map");
  if (!canvas.width) return;
  map.layer = new OffscreenCanvas(canvas.width, canvas.height);
  const context = map.layer.getContext("2d");
  const ratio = canvas.width / canvas.clientWidth;
  context.scale(ratio, ratio);
  paintAxes(context, canvas.clientWidth);
  const size = Math.min(1, Math.max(0.5, 24 / Math.sqrt(points.count)));
  const shapes = new Map();
  context.globalAlpha = 0.8;
  for (let i = 0; i < points.count; i++) {
    if (!isVisible(i)) continue;
    const label = points.labels[i];
    if (!shapes.has(label)) shapes.set(label, new Path2D(markerPath(label)));
    const [x, y] = toCanvas(map.xs[i], map.ys[i]);
    context.save();
    context.translate(x, y);
    context.scale(size, size);
    context.fillStyle = colour(label);
    context.fill(shapes.get(label));
    context.restore();
  }
  paintRing();
}

const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

function paintAxes(context, size) {
  if (state.map.kind === "tsne") return;
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100].find((s) => s * map.scale > 45) ?? 200;
  const tick = (value) => String(Number(value.toFixed(2))).replace("-", "−");
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = cssColour("--soft");
  context.strokeStyle = cssColour("--line");
  context.textAlign = "center";
  for (let v = Math.ceil(map.left / step) * step; v < map.left + size / map.scale; v += step) {
    const x = toCanvas(v, 0)[0];
    if (x < MARGIN || x > size - 8) continue;
    line(context, x, 0, x, size - 28);
    context.fillText(tick(v), x, size - 17);
  }
  context.textAlign = "right";
  for (let v = Math.ceil((map.top - size / map.scale) / step) * step; v < map.top; v += step) {
    const y = toCanvas(0, v)[1];
    if (y < 12 || y > size - 34) continue;
    line(context, 44, y, size, y);
    context.fillText(tick(v), 41, y + 4);
  }
  const ratios = pageData.pca.varianceRatios.map((ratio) => `${(100 * ratio).toFixed(0)} % of variance`);
  const names = state.map.kind === "pca"
    ? [`first principal axis, ${ratios[0]}`, `second principal axis, ${ratios[1]}`]
    : [`z${state.map.x}`, `z${state.map.y}`];
  context.fillStyle = cssColour("--ink");
  context.textAlign = "center";
  context.fillText(names[0], size / 2, size - 3);
  context.save();
  context.translate(10, size / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(names[1], 0, 0);
  context.restore();
}

function line(context, ...[x1, y1, x2, y2]) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** Paint the points, the ring of the current code, and the frame of the highlighted image. */
function paintRing() {
  const canvas = byId("map");
  if (!map.layer) return;
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(map.layer, 0, 0);
  const ratio = canvas.width / canvas.clientWidth;
  context.scale(ratio, ratio);
  const size = canvas.clientWidth;
  const [x, y] = toCanvas(...positionOf(state.z)).map((value) => Math.min(size - 8, Math.max(8, value)));
  for (const [width, stroke] of [[5, cssColour("--card")], [2.5, cssColour("--ink")]]) {
    context.lineWidth = width;
    context.strokeStyle = stroke;
    context.beginPath();
    context.arc(x, y, 8, 0, 2 * Math.PI);
    context.stroke();
  }
  map.ring = [x, y];
  if (map.highlighted === null) return;
  context.lineWidth = 2;
  context.strokeStyle = cssColour("--accent");
  context.strokeRect(...toCanvas(map.xs[map.highlighted], map.ys[map.highlighted]).map((value) => value - 6), 12, 12);
}

/** Highlight a test image and show it in a tooltip; null clears the highlight. */
function highlight(index) {
  if (map.highlighted === index) return;
  map.highlighted = index;
  paintRing();
  const tip = byId("tip");
  tip.hidden = index === null;
  if (index === null) return;
  spriteSheet.draw(byId("tip-image"), index);
  byId("tip-text").textContent = pointDescription(index);
  const [x, y] = toCanvas(map.xs[index], map.ys[index]);
  const frame = byId("map").clientWidth;
  tip.style.left = `${Math.max(0, Math.min(x + 14, frame - tip.offsetWidth))}px`;
  tip.style.top = `${y + 14 + tip.offsetHeight > frame ? y - 14 - tip.offsetHeight : y + 14}px`;
}

/** Arrow keys move the highlight to the nearest image in that direction, Enter loads it. */
function navigateMap(event) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "Enter" && map.highlighted !== null) loadPoint(map.highlighted);
  if (event.key === "Escape") highlight(null);
  if (!direction) return;
  event.preventDefault();
  const [x, y] = map.highlighted === null ? map.ring : toCanvas(map.xs[map.highlighted], map.ys[map.highlighted]);
  let best = null;
  let least = Infinity;
  for (let i = 0; i < points.count; i++) {
    if (i === map.highlighted || !isVisible(i)) continue;
    const [px, py] = toCanvas(map.xs[i], map.ys[i]);
    const ahead = (px - x) * direction[0] + (py - y) * direction[1];
    const aside = Math.abs((px - x) * direction[1]) + Math.abs((py - y) * direction[0]);
    if (ahead > 0 && ahead >= aside && ahead + aside < least) [best, least] = [i, ahead + aside];
  }
  if (best === null) return;
  highlight(best);
  byId("map-status").textContent = `${pointDescription(best)}. Press Enter to load its code.`;
}

function updateMapStatus() {
  let visible = 0;
  let wrong = 0;
  let labelled = 0;
  for (let i = 0; i < points.count; i++) {
    visible += isVisible(i);
    if (points.predicted === null || points.labels[i] < 0 || state.hiddenClasses.has(points.labels[i])) continue;
    labelled += 1;
    wrong += points.predicted[i] !== points.labels[i];
  }
  const errors = labelled ? ` The probe misclassifies ${wrong.toLocaleString("en")} of ${labelled.toLocaleString("en")}.` : "";
  const ring = state.map.kind === "tsne" ? " The ring is at the nearest neighbours of the current code." : " The ring is the current code.";
  byId("map-status").textContent = `${visible.toLocaleString("en")} test images.${errors}${ring}`;
}
