// What is shown, and its text form: the page's link.

const SLOTS = ["A", "B", "C"];
const state = {
  z: new Float32Array(LATENTS),
  /** What z is the code of: {kind: "point", index}, {kind: "own"}, or {kind: "prior" | "moved" | "walk" | "sum" | "zero"}. */
  from: { kind: "zero" },
  /** The image that was encoded last, its posterior and its index among the points; null if there is none. */
  source: null,
  slots: { A: null, B: null, C: null },
  map: { kind: "tsne", x: about.order[0], y: about.order[1] },
  hidden: new Set(),
  errorsOnly: false,
  temperature: 1,
  walk: { share: 0, path: "linear" },
};

const points = {
  count: about.points.count,
  labels: about.points.labels,
  predicted: about.points.predicted,
  mean: numbers(about.points.mean),
  logVariance: numbers(about.points.logVariance),
  tsne: numbers(about.points.tsne),
  code(index) { return this.mean.slice(index * LATENTS, (index + 1) * LATENTS); },
  spread(index) { return this.logVariance.slice(index * LATENTS, (index + 1) * LATENTS); },
};

/** Codes from a learned prior, end to end; null where the prior is N(0, I). */
const drawn = about.drawn && numbers(about.drawn);

const className = (label) => about.classes[label]?.name ?? "no label";
const rounded = (code) => Array.from(code, (value) => Number(value.toFixed(4)));

function stateText() {
  const kept = {
    z: rounded(state.z),
    point: state.source?.index ?? null,
    slots: SLOTS.map((name) => state.slots[name] && rounded(state.slots[name])),
    map: [state.map.kind, state.map.x, state.map.y],
    hidden: [...state.hidden],
    errors: state.errorsOnly,
    temperature: state.temperature,
    walk: [state.walk.share, state.walk.path],
  };
  return btoa(JSON.stringify(kept)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const isNumber = (value, low, high) => typeof value === "number" && value >= low && value <= high;
const isIndex = (value, count) => Number.isInteger(value) && value >= 0 && value < count;
const isCode = (value) => Array.isArray(value) && value.length === LATENTS && value.every((v) => isNumber(v, -1e3, 1e3));

/** The values of a text that `stateText` or `link` made; throws one sentence for any other text. */
function parsedState(text) {
  const words = text.trim().split("#s=").pop();
  let kept;
  try {
    kept = JSON.parse(atob(words.replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    throw new Error("This is no link or text that this page made; copy the whole of it.");
  }
  if (!Array.isArray(kept?.z) || kept.z.length !== LATENTS) {
    throw new Error(`This text belongs to another page: it does not hold ${LATENTS} latents.`);
  }
  const fits = isCode(kept.z)
    && (kept.point === null || isIndex(kept.point, points.count))
    && Array.isArray(kept.slots) && kept.slots.length === 3 && kept.slots.every((code) => code === null || isCode(code))
    && Array.isArray(kept.map) && ["tsne", "pca", "latents"].includes(kept.map[0])
    && isIndex(kept.map[1], LATENTS) && isIndex(kept.map[2], LATENTS)
    && Array.isArray(kept.hidden) && kept.hidden.every((label) => isIndex(label + 1, about.classes.length + 1))
    && typeof kept.errors === "boolean" && isNumber(kept.temperature, 0, 1.5)
    && Array.isArray(kept.walk) && isNumber(kept.walk[0], 0, 1) && ["linear", "spherical"].includes(kept.walk[1]);
  if (!fits) throw new Error("This text was changed since this page made it; copy it again.");
  return kept;
}

function restoreState(kept) {
  state.z = Float32Array.from(kept.z);
  state.source = kept.point === null ? null : pointSource(kept.point);
  SLOTS.forEach((name, i) => { state.slots[name] = kept.slots[i] && Float32Array.from(kept.slots[i]); });
  const [kind, x, y] = kept.map;
  state.map = { kind, x, y };
  state.hidden = new Set(kept.hidden);
  state.errorsOnly = kept.errors && points.predicted !== null;
  state.temperature = kept.temperature;
  const [share, path] = kept.walk;
  state.walk = { share, path };
  const isPoint = state.source && points.code(kept.point).every((value, d) => Math.abs(value - state.z[d]) < 1e-4);
  state.from = isPoint ? { kind: "point", index: kept.point } : { kind: "moved" };
}

const pointSource = (index) => ({ index, mean: points.code(index), logVariance: points.spread(index), pixels: null });
const link = () => `${location.href.split("#")[0]}#s=${stateText()}`;
