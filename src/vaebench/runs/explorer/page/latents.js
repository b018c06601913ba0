// One slider a latent, with the images that it leads to.

const STRIP = 7;
const GAP = Math.max(1, Math.round(WIDTH / 14));
const rows = new Map();
let stripTurn = 0;

function makeLatents() {
  if (drawn) byId("latent-title").textContent = "Latents, the highest KL to N(0, I) first";
  const dead = new Set(about.dead);
  for (const d of about.order) (dead.has(d) ? byId("dead-latents") : byId("latents")).append(latentRow(d));
  if (dead.size) {
    byId("dead").hidden = false;
    byId("dead").querySelector("summary").textContent =
      `${dead.size} dead latent${dead.size === 1 ? "" : "s"}: below ${about.deadBelow} nats, moving ${dead.size === 1 ? "it" : "them"} changes next to nothing`;
    byId("dead").ontoggle = () => networks.decoder && paintStrips();
    byId("dead").open = dead.size === LATENTS;
  }
}

function latentRow(d) {
  const reach = about.reach[d];
  const slider = element("input", { type: "range", id: `z${d}`, min: -reach, max: reach, step: 0.01 });
  const value = element("output", { for: `z${d}` });
  const strip = element("canvas", { class: "strip", width: STRIP * (WIDTH + GAP) - GAP, height: HEIGHT, "aria-hidden": "true" });
  const label = element("label", { for: `z${d}` }, `z${d}`, element("small", {}, `${about.kl[d].toFixed(2)} nats`));
  slider.oninput = () => moveLatent(d, Number(slider.value));
  strip.title = "Click to go there";
  strip.onclick = (event) => {
    const place = Math.floor((event.offsetX / strip.clientWidth) * STRIP);
    moveLatent(d, stripValue(d, Math.min(STRIP - 1, Math.max(0, place))));
  };
  rows.set(d, { slider, value, strip });
  return element("div", { class: "latent" }, label, slider, value, strip);
}

const stripValue = (d, place) => about.reach[d] * ((2 * place) / (STRIP - 1) - 1);

function moveLatent(d, value) {
  const z = state.z.slice();
  z[d] = value;
  show(z, { kind: "moved" });
}

function paintSliders() {
  for (const [d, { slider, value }] of rows) {
    slider.value = state.z[d];
    value.textContent = state.z[d].toFixed(2).replace("-", "−");
  }
}

/** Every visible strip for the code that is shown, a few latents at a time; a later code ends an earlier turn. */
async function paintStrips() {
  const turn = ++stripTurn;
  const base = state.z.slice();
  const open = about.order.filter((d) => !about.dead.includes(d) || byId("dead").open);
  for (const d of open) {
    const codes = new Float32Array(STRIP * LATENTS);
    for (let place = 0; place < STRIP; place++) {
      codes.set(base, place * LATENTS);
      codes[place * LATENTS + d] = stripValue(d, place);
    }
    const { images } = await networks.decode(codes);
    if (turn !== stripTurn) return;
    const context = rows.get(d).strip.getContext("2d");
    for (let place = 0; place < STRIP; place++) context.putImageData(imageData(images, place), place * (WIDTH + GAP), 0);
    await new Promise((resolve) => { setTimeout(resolve); });
    if (turn !== stripTurn) return;
  }
  explorer.strips += 1;
}
