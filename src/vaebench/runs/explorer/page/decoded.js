// The decoded image, the origin of its code, and its class probabilities.

const MAX_BARS = 12;
const timings = [];
let redrawRequested = false;
let redrawing = false;
let shownImage = null;
let shownProbabilities = null;
let detailsTimer = 0;

const nextFrame = () => new Promise((resolve) => { requestAnimationFrame(resolve); });

/** Show a code with its origin (see `state`). */
function showCode(z, origin) {
  state.z = Float32Array.from(z);
  state.origin = origin;
  redraw();
}

async function redraw() {
  redrawRequested = true;
  if (redrawing) return;
  redrawing = true;
  try {
    while (redrawRequested) {
      await nextFrame();
      redrawRequested = false;
      const start = performance.now();
      const code = state.z.slice();
      const { images, probabilities } = await networks.decode(code);
      shownImage = { z: code, pixels: images };
      shownProbabilities = probabilities;
      paint(byId("image"), images);
      paintSliders();
      paintProbabilities();
      paintRing();
      timings.push(performance.now() - start);
    }
  } finally {
    redrawing = false;
  }
  clearTimeout(detailsTimer);
  detailsTimer = setTimeout(updateDetails, 150);
}

/** Update the parts of the page that can wait until the code stops changing. */
function updateDetails() {
  byId("code-description").textContent = codeDescription();
  byId("resample").disabled = byId("mean").disabled = state.source === null;
  const recent = timings.slice(-20).sort((a, b) => a - b);
  byId("redraw-time").textContent = `${recent[Math.floor(recent.length / 2)].toFixed(1)} ms per redraw`;
  paintSource();
  paintStrips();
}

function codeDescription() {
  const description = {
    zero: () => (priorCodes ? "All latents at 0." : "The mean of the prior."),
    prior: () => (priorCodes ? "A sample from the learned prior." : `A sample from the prior at temperature ${state.temperature.toFixed(2)}.`),
    moved: () => "Changed by hand.",
    interpolated: () => `${state.interpolation.path === "linear" ? "Linear" : "Spherical"} interpolation, ${Math.round(100 * state.interpolation.fraction)} % from A to B.`,
    arithmetic: () => "A − B + C.",
    input: () => "The mean code of your image.",
    resampled: () => "A code of the same image, sampled from q(z|x).",
    point: () => `The mean code of ${imageDescription(state.origin.index)}.`,
  }[state.origin.kind]();
  return shownProbabilities === null ? description : `${description} Classified as ${likeliestClass(shownProbabilities)}.`;
}

function likeliestClass(probabilities) {
  const top = probabilities.indexOf(Math.max(...probabilities));
  return `${className(top)} (${percent(probabilities[top])})`;
}

const percent = (fraction) => `${(100 * fraction).toFixed(fraction > 0.0995 ? 0 : 1)}\u00a0%`;

function imageDescription(index) {
  const label = points.labels[index];
  return `test image ${index + 1}${label >= 0 ? `, labelled ${className(label)}` : ""}`;
}

/** Description of a test image, with the predicted class if it is wrong. */
function pointDescription(index) {
  const label = points.labels[index];
  const wrong = points.predicted && label >= 0 && points.predicted[index] !== label;
  return `${imageDescription(index)}${wrong ? `, classified as ${className(points.predicted[index])}` : ""}`;
}

function paintSource() {
  const { source } = state;
  byId("source").hidden = source === null;
  if (source === null) return;
  if (source.index === null) {
    paint(byId("source-image"), source.pixels);
    byId("source-name").textContent = "your image";
  } else {
    spriteSheet.draw(byId("source-image"), source.index);
    byId("source-name").textContent = pointDescription(source.index);
  }
}

/** All classes in order if there are at most `MAX_BARS`, else the most probable ones by descending probability. */
function paintProbabilities() {
  if (shownProbabilities === null) return;
  let order = pageData.classes.map((_, index) => index);
  if (order.length > MAX_BARS) order = order.sort((a, b) => shownProbabilities[b] - shownProbabilities[a]).slice(0, MAX_BARS);
  const label = state.source?.index != null ? points.labels[state.source.index] : -1;
  const rows = byId("probabilities").children;
  order.forEach((index, row) => {
    const [name, bar, probability] = rows[row].children;
    name.textContent = name.title = className(index);
    bar.firstChild.style.width = `${100 * shownProbabilities[index]}%`;
    bar.firstChild.style.background = pageData.classes[index].colour;
    probability.textContent = percent(shownProbabilities[index]);
    rows[row].classList.toggle("label", index === label);
  });
}

function setUpProbabilities() {
  if (pageData.head === null) return;
  byId("classes").hidden = false;
  byId("head-description").textContent = `${pageData.head}. Bold: the image's label.`;
  const longest = Math.max(...pageData.classes.map(({ name }) => name.length));
  byId("probabilities").style.setProperty("--longest", `${longest + 1}ch`);
  pageData.classes.slice(0, MAX_BARS).forEach(() => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("span"));
    byId("probabilities").append(element("li", {}, element("span", { class: "name" }), bar, element("span", { class: "probability" })));
  });
}

function loadPoint(index) {
  state.source = pointSource(index);
  showCode(points.code(index), { kind: "point", index });
}

/** Sample from N(0, I) at the temperature, or choose one of the stored codes from a learned prior. */
function sampleCode() {
  if (!priorCodes) return state.z.map(() => state.temperature * randomNormal());
  const start = LATENTS * Math.floor((Math.random() * priorCodes.length) / LATENTS);
  return priorCodes.slice(start, start + LATENTS);
}

function setUpSampling() {
  byId("temperature-row").hidden = priorCodes !== null;
  if (priorCodes) byId("zero").title = "All latents at 0 (0)";
  byId("sample").onclick = () => {
    state.source = null;
    showCode(sampleCode(), { kind: "prior" });
  };
  byId("temperature").oninput = (event) => {
    state.temperature = Number(event.target.value);
    byId("temperature-value").textContent = state.temperature.toFixed(2);
  };
  byId("resample").onclick = () => {
    const { mean, logVariance } = state.source;
    showCode(mean.map((value, d) => value + Math.exp(logVariance[d] / 2) * randomNormal()), { kind: "resampled" });
  };
  byId("mean").onclick = () => {
    const { index, mean } = state.source;
    showCode(mean, index === null ? { kind: "input" } : { kind: "point", index });
  };
  byId("zero").onclick = () => {
    state.source = null;
    showCode(new Float32Array(LATENTS), { kind: "zero" });
  };
}
