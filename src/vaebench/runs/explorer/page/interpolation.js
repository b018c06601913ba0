// Saved codes A, B and C: interpolation from A to B, and A - B + C.

const SECONDS_PER_PASS = 3;
let animation = null;

function setUpSlots() {
  for (const name of SLOTS) {
    const canvas = element("canvas", { width: WIDTH, height: HEIGHT, role: "img", "aria-label": `${name}: empty`, id: `slot-${name}` });
    const save = element("button", { type: "button", id: `save-${name}`, title: `Save the current code as ${name}` }, `Set ${name}`);
    canvas.title = `Click to show ${name}`;
    canvas.onclick = () => state.slots[name] && showCode(state.slots[name], { kind: "moved" });
    save.onclick = () => saveSlot(name);
    byId("slots").append(element("div", { class: "slot" }, canvas, save));
  }
  byId("interpolation").oninput = (event) => { pause(); interpolateTo(Number(event.target.value)); };
  byId("play").onclick = () => (animation === null ? play() : pause());
  for (const radio of document.querySelectorAll("input[name=path]")) {
    radio.onchange = () => { state.interpolation.path = radio.value; if (canInterpolate()) interpolateTo(state.interpolation.fraction); };
  }
  byId("arithmetic").onclick = () => {
    const { A, B, C } = state.slots;
    showCode(A.map((value, d) => value - B[d] + C[d]), { kind: "arithmetic" });
  };
}

const canInterpolate = () => state.slots.A !== null && state.slots.B !== null;

function saveSlot(name) {
  state.slots[name] = state.z.slice();
  paintSlots();
}

async function paintSlots() {
  byId("interpolation").disabled = byId("play").disabled = !canInterpolate();
  byId("arithmetic").disabled = SLOTS.some((name) => state.slots[name] === null);
  byId("interpolation").value = state.interpolation.fraction;
  document.querySelector(`input[name=path][value=${state.interpolation.path}]`).checked = true;
  for (const name of SLOTS) {
    if (state.slots[name] === null) continue;
    const { images, probabilities } = await networks.decode(state.slots[name]);
    paint(byId(`slot-${name}`), images);
    byId(`slot-${name}`).setAttribute("aria-label", `${name}${probabilities ? `: classified as ${likeliestClass(probabilities)}` : ""}`);
  }
}

/** Interpolate between codes: linearly, or spherically with linearly changing length (Shoemake 1985). */
function interpolate(a, b, fraction, path) {
  const dot = (u, v) => u.reduce((sum, value, d) => sum + value * v[d], 0);
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  const angle = path === "spherical" && lengths > 1e-9 ? Math.acos(Math.min(1, Math.max(-1, dot(a, b) / lengths))) : 0;
  if (angle < 1e-4 || angle > Math.PI - 1e-4) return a.map((value, d) => value + fraction * (b[d] - value));
  const [la, lb] = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
  const length = la + fraction * (lb - la);
  const [wa, wb] = [Math.sin((1 - fraction) * angle) / Math.sin(angle), Math.sin(fraction * angle) / Math.sin(angle)];
  return a.map((value, d) => length * ((wa * value) / la + (wb * b[d]) / lb));
}

function interpolateTo(fraction) {
  state.interpolation.fraction = fraction;
  byId("interpolation").value = fraction;
  showCode(interpolate(state.slots.A, state.slots.B, fraction, state.interpolation.path), { kind: "interpolated" });
}

function play() {
  if (!canInterpolate()) return;
  const start = performance.now() - state.interpolation.fraction * SECONDS_PER_PASS * 1000;
  const step = (now) => {
    const phase = (Math.max(0, now - start) / (SECONDS_PER_PASS * 1000)) % 2;
    interpolateTo(phase > 1 ? 2 - phase : phase);
    animation = requestAnimationFrame(step);
  };
  animation = requestAnimationFrame(step);
  byId("play").textContent = "Pause";
  byId("play").setAttribute("aria-pressed", "true");
}

function pause() {
  if (animation !== null) cancelAnimationFrame(animation);
  animation = null;
  byId("play").textContent = "Play";
  byId("play").setAttribute("aria-pressed", "false");
}
