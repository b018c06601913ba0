// The decoded image, what it came from, and its class probabilities.

const MOST_BARS = 12;
const timings = [];
let wanted = false;
let busy = false;
let shownImage = null;
let shownShares = null;
let settling = 0;

const nextFrame = () => new Promise((resolve) => { requestAnimationFrame(resolve); });

/** Show a code: `from` says what it is. */
function show(z, from) {
  state.z = Float32Array.from(z);
  state.from = from;
  redraw();
}

async function redraw() {
  wanted = true;
  if (busy) return;
  busy = true;
  try {
    while (wanted) {
      await nextFrame();
      wanted = false;
      const begun = performance.now();
      const code = state.z.slice();
      const found = await networks.decode(code);
      shownImage = { z: code, pixels: found.images };
      shownShares = found.probabilities;
      paint(byId("image"), found.images);
      paintSliders();
      paintShares();
      paintPlace();
      timings.push(performance.now() - begun);
    }
  } finally {
    busy = false;
  }
  clearTimeout(settling);
  settling = setTimeout(settle, 150);
}

/** What may wait until nothing moves. */
function settle() {
  byId("told").textContent = told();
  byId("resample").disabled = byId("mean").disabled = state.source === null;
  const recent = timings.slice(-20).sort((a, b) => a - b);
  byId("redraw-time").textContent = `${recent[Math.floor(recent.length / 2)].toFixed(1)} ms a redraw`;
  paintSource();
  paintStrips();
}

function told() {
  const words = {
    zero: () => (drawn ? "All latents at 0." : "The middle of the prior."),
    prior: () => (drawn ? "A sample from the learned prior." : `A sample from the prior at temperature ${state.temperature.toFixed(2)}.`),
    moved: () => "Moved by hand.",
    walk: () => `${Math.round(100 * state.walk.share)} % of the way from A to B, ${state.walk.path}.`,
    sum: () => "A − B + C.",
    own: () => "The mean code of your image.",
    another: () => "Another code of the same image, drawn from q(z|x).",
    point: () => `The mean code of ${imageWords(state.from.index)}.`,
  }[state.from.kind]();
  return shownShares === null ? words : `${words} Read as ${best(shownShares)}.`;
}

function best(shares) {
  const top = shares.indexOf(Math.max(...shares));
  return `${className(top)} (${percent(shares[top])})`;
}

const percent = (share) => `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)}\u00a0%`;

function imageWords(index) {
  const label = points.labels[index];
  return `test image ${index + 1}${label >= 0 ? `, labelled ${className(label)}` : ""}`;
}

/** The same, and what the probe takes it for where it errs. */
function pointWords(index) {
  const label = points.labels[index];
  const wrong = points.predicted && label >= 0 && points.predicted[index] !== label;
  return `${imageWords(index)}${wrong ? `, read as ${className(points.predicted[index])}` : ""}`;
}

function paintSource() {
  const { source } = state;
  byId("source").hidden = source === null;
  if (source === null) return;
  if (source.index === null) {
    paint(byId("source-image"), source.pixels);
    byId("source-name").textContent = "your image";
  } else {
    sheet.draw(byId("source-image"), source.index);
    byId("source-name").textContent = pointWords(source.index);
  }
}

/** Up to 12 classes in their order; of more, the likeliest first. */
function paintShares() {
  if (shownShares === null) return;
  let order = about.classes.map((_, index) => index);
  if (order.length > MOST_BARS) order = order.sort((a, b) => shownShares[b] - shownShares[a]).slice(0, MOST_BARS);
  const label = state.source?.index != null ? points.labels[state.source.index] : -1;
  const rows = byId("probabilities").children;
  order.forEach((index, row) => {
    const [name, bar, share] = rows[row].children;
    name.textContent = name.title = className(index);
    bar.firstChild.style.width = `${100 * shownShares[index]}%`;
    bar.firstChild.style.background = about.classes[index].colour;
    share.textContent = percent(shownShares[index]);
    rows[row].classList.toggle("label", index === label);
  });
}

function makeShares() {
  if (about.head === null) return;
  byId("classes").hidden = false;
  byId("head-words").textContent = `${about.head}. Bold: the image's label.`;
  const longest = Math.max(...about.classes.map(({ name }) => name.length));
  byId("probabilities").style.setProperty("--longest", `${longest + 1}ch`);
  about.classes.slice(0, MOST_BARS).forEach(() => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("span"));
    byId("probabilities").append(element("li", {}, element("span", { class: "name" }), bar, element("span", { class: "share" })));
  });
}

function loadPoint(index) {
  state.source = pointSource(index);
  show(points.code(index), { kind: "point", index });
}

/** A code from N(0, I) at the temperature, or one of those that were drawn from the learned prior. */
function sampled() {
  if (!drawn) return state.z.map(() => state.temperature * gaussian());
  const at = LATENTS * Math.floor((Math.random() * drawn.length) / LATENTS);
  return drawn.slice(at, at + LATENTS);
}

function makeSampling() {
  byId("heat").hidden = drawn !== null;
  if (drawn) byId("zero").title = "All latents at 0 (0)";
  byId("sample").onclick = () => {
    state.source = null;
    show(sampled(), { kind: "prior" });
  };
  byId("temperature").oninput = (event) => {
    state.temperature = Number(event.target.value);
    byId("temperature-value").textContent = state.temperature.toFixed(2);
  };
  byId("resample").onclick = () => {
    const { mean, logVariance } = state.source;
    show(mean.map((value, d) => value + Math.exp(logVariance[d] / 2) * gaussian()), { kind: "another" });
  };
  byId("mean").onclick = () => {
    const { index, mean } = state.source;
    show(mean, index === null ? { kind: "own" } : { kind: "point", index });
  };
  byId("zero").onclick = () => {
    state.source = null;
    show(new Float32Array(LATENTS), { kind: "zero" });
  };
}
