// One slider per latent, with a strip of the images along it.

const STRIP = 7;
const GAP = Math.max(1, Math.round(WIDTH / 14));
const latentRows = new Map();
let stripVersion = 0;

function setUpLatents() {
  if (priorCodes) byId("latent-title").textContent = "Latents by descending KL to N(0, I)";
  const dead = new Set(pageData.dead);
  for (const d of pageData.order) (dead.has(d) ? byId("dead-latents") : byId("latents")).append(latentRow(d));
  if (dead.size) {
    byId("dead").hidden = false;
    byId("dead").querySelector("summary").textContent =
      `${dead.size} dead latent${dead.size === 1 ? "" : "s"}: below ${pageData.deadBelow} nats, changing ${dead.size === 1 ? "it" : "them"} has almost no effect`;
    byId("dead").ontoggle = () => networks.decoder && paintStrips();
    byId("dead").open = dead.size === LATENTS;
  }
}

function latentRow(d) {
  const range = pageData.ranges[d];
  const slider = element("input", { type: "range", id: `z${d}`, min: -range, max: range, step: 0.01 });
  const value = element("output", { for: `z${d}` });
  const strip = element("canvas", { class: "strip", width: STRIP * (WIDTH + GAP) - GAP, height: HEIGHT, "aria-hidden": "true" });
  const label = element("label", { for: `z${d}` }, `z${d}`, element("small", {}, `${pageData.kl[d].toFixed(2)} nats`));
  slider.oninput = () => moveLatent(d, Number(slider.value));
  strip.title = "Click to set this value";
  strip.onclick = (event) => {
    const place = Math.floor((event.offsetX / strip.clientWidth) * STRIP);
    moveLatent(d, stripValue(d, Math.min(STRIP - 1, Math.max(0, place))));
  };
  latentRows.set(d, { slider, value, strip });
  return element("div", { class: "latent" }, label, slider, value, strip);
}

const stripValue = (d, place) => pageData.ranges[d] * ((2 * place) / (STRIP - 1) - 1);

function moveLatent(d, value) {
  const z = state.z.slice();
  z[d] = value;
  showCode(z, { kind: "moved" });
}

function paintSliders() {
  for (const [d, { slider, value }] of latentRows) {
    slider.value = state.z[d];
    value.textContent = state.z[d].toFixed(2).replace("-", "−");
  }
}

/** Paint every visible strip for the current code, one latent at a time, until a newer call replaces this one. */
async function paintStrips() {
  const version = ++stripVersion;
  const base = state.z.slice();
  const visible = pageData.order.filter((d) => !pageData.dead.includes(d) || byId("dead").open);
  for (const d of visible) {
    const codes = new Float32Array(STRIP * LATENTS);
    for (let place = 0; place < STRIP; place++) {
      codes.set(base, place * LATENTS);
      codes[place * LATENTS + d] = stripValue(d, place);
    }
    const { images } = await networks.decode(codes);
    if (version !== stripVersion) return;
    const context = latentRows.get(d).strip.getContext("2d");
    for (let place = 0; place < STRIP; place++) context.putImageData(imageData(images, place), place * (WIDTH + GAP), 0);
    await new Promise((resolve) => { setTimeout(resolve); });
    if (version !== stripVersion) return;
  }
  explorer.strips += 1;
}
