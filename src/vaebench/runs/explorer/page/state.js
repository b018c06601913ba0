// The state of the page and its serialisation in a link.

const SLOTS = ["A", "B", "C"];
const state = {
  z: new Float32Array(LATENTS),
  /** Origin of z: {kind: "point", index} or {kind}, a key of the sentences in `codeDescription`. */
  origin: { kind: "zero" },
  /** The image encoded last with its posterior and its index among the points (null for the user's own); or null. */
  source: null,
  slots: { A: null, B: null, C: null },
  map: { kind: "tsne", x: pageData.order[0], y: pageData.order[1] },
  hiddenClasses: new Set(),
  errorsOnly: false,
  temperature: 1,
  interpolation: { fraction: 0, path: "linear" },
  /** Channels drawn as red, green and blue, -1 for none, and the one drawn alone, -1 for the composite. */
  channels: { colours: [0, 1, 2].map((c) => (c < CHANNELS ? c : CHANNELS === 1 ? 0 : -1)), alone: -1 },
};

const points = {
  count: pageData.points.count,
  labels: pageData.points.labels,
  predicted: pageData.points.predicted,
  mean: dequantise(pageData.points.mean),
  logVariance: dequantise(pageData.points.logVariance),
  tsne: dequantise(pageData.points.tsne),
  code(index) { return this.mean.slice(index * LATENTS, (index + 1) * LATENTS); },
  logVarianceOf(index) { return this.logVariance.slice(index * LATENTS, (index + 1) * LATENTS); },
};

/** Codes sampled from a learned prior, concatenated; null if the prior is N(0, I). */
const priorCodes = pageData.priorCodes && dequantise(pageData.priorCodes);

const className = (label) => pageData.classes[label]?.name ?? "no label";
const rounded = (code) => Array.from(code, (value) => Number(value.toFixed(4)));

function serialiseState() {
  const saved = {
    z: rounded(state.z),
    point: state.source?.index ?? null,
    slots: SLOTS.map((name) => state.slots[name] && rounded(state.slots[name])),
    map: [state.map.kind, state.map.x, state.map.y],
    hidden: [...state.hiddenClasses],
    errors: state.errorsOnly,
    temperature: state.temperature,
    walk: [state.interpolation.fraction, state.interpolation.path],
    ...(pageData.composite && { channels: [...state.channels.colours, state.channels.alone] }),
  };
  return btoa(JSON.stringify(saved)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const isNumber = (value, low, high) => typeof value === "number" && value >= low && value <= high;
const isIndex = (value, count) => Number.isInteger(value) && value >= 0 && value < count;
const isChannels = (value) => Array.isArray(value) && value.length === 4 && value.every((c) => isIndex(c + 1, CHANNELS + 1));
const isCode = (value) => Array.isArray(value) && value.length === LATENTS && value.every((v) => isNumber(v, -1e3, 1e3));

/** Parse a text from `serialiseState` or `link`; throws an error with one sentence for any other text. */
function parseState(text) {
  const encoded = text.trim().split("#s=").pop();
  let saved;
  try {
    saved = JSON.parse(atob(encoded.replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    throw new Error("This is not a link or text from this page; copy the whole link.");
  }
  if (!Array.isArray(saved?.z) || saved.z.length !== LATENTS) {
    throw new Error(`This link belongs to another page: it does not have ${LATENTS} latents.`);
  }
  const fits = isCode(saved.z)
    && (saved.point === null || isIndex(saved.point, points.count))
    && Array.isArray(saved.slots) && saved.slots.length === 3 && saved.slots.every((code) => code === null || isCode(code))
    && Array.isArray(saved.map) && ["tsne", "pca", "latents"].includes(saved.map[0])
    && isIndex(saved.map[1], LATENTS) && isIndex(saved.map[2], LATENTS)
    && Array.isArray(saved.hidden) && saved.hidden.every((label) => isIndex(label + 1, pageData.classes.length + 1))
    && typeof saved.errors === "boolean" && isNumber(saved.temperature, 0, 1.5)
    && Array.isArray(saved.walk) && isNumber(saved.walk[0], 0, 1) && ["linear", "spherical"].includes(saved.walk[1])
    && (!pageData.composite || saved.channels === undefined || isChannels(saved.channels));
  if (!fits) throw new Error("This link was changed after this page made it; copy it again.");
  return saved;
}

function restoreState(saved) {
  state.z = Float32Array.from(saved.z);
  state.source = saved.point === null ? null : pointSource(saved.point);
  SLOTS.forEach((name, i) => { state.slots[name] = saved.slots[i] && Float32Array.from(saved.slots[i]); });
  const [kind, x, y] = saved.map;
  state.map = { kind, x, y };
  state.hiddenClasses = new Set(saved.hidden);
  state.errorsOnly = saved.errors && points.predicted !== null;
  state.temperature = saved.temperature;
  const [fraction, path] = saved.walk;
  state.interpolation = { fraction, path };
  if (pageData.composite && saved.channels) state.channels = { colours: saved.channels.slice(0, 3), alone: saved.channels[3] };
  const isPoint = state.source && points.code(saved.point).every((value, d) => Math.abs(value - state.z[d]) < 1e-4);
  state.origin = isPoint ? { kind: "point", index: saved.point } : { kind: "moved" };
}

const pointSource = (index) => ({ index, mean: points.code(index), logVariance: points.logVarianceOf(index), pixels: null });
const link = () => `${location.href.split("#")[0]}#s=${serialiseState()}`;
