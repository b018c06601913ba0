// Codes kept as A, B and C: walks from A to B, and A - B + C.

const SECONDS_ACROSS = 3;
let playing = null;

function makeSlots() {
  for (const name of SLOTS) {
    const canvas = element("canvas", { width: WIDTH, height: HEIGHT, role: "img", "aria-label": `${name}: empty`, id: `slot-${name}` });
    const keep = element("button", { type: "button", id: `keep-${name}`, title: `Keep what is shown as ${name}` }, `Set ${name}`);
    canvas.title = `Click to show ${name}`;
    canvas.onclick = () => state.slots[name] && show(state.slots[name], { kind: "moved" });
    keep.onclick = () => keepAs(name);
    byId("slots").append(element("div", { class: "slot" }, canvas, keep));
  }
  byId("walk").oninput = (event) => { pause(); walkTo(Number(event.target.value)); };
  byId("play").onclick = () => (playing === null ? play() : pause());
  for (const radio of document.querySelectorAll("input[name=path]")) {
    radio.onchange = () => { state.walk.path = radio.value; if (canWalk()) walkTo(state.walk.share); };
  }
  byId("arithmetic").onclick = () => {
    const { A, B, C } = state.slots;
    show(A.map((value, d) => value - B[d] + C[d]), { kind: "sum" });
  };
}

const canWalk = () => state.slots.A !== null && state.slots.B !== null;

function keepAs(name) {
  state.slots[name] = state.z.slice();
  paintSlots();
}

async function paintSlots() {
  byId("walk").disabled = byId("play").disabled = !canWalk();
  byId("arithmetic").disabled = SLOTS.some((name) => state.slots[name] === null);
  byId("walk").value = state.walk.share;
  document.querySelector(`input[name=path][value=${state.walk.path}]`).checked = true;
  for (const name of SLOTS) {
    if (state.slots[name] === null) continue;
    const { images, probabilities } = await networks.decode(state.slots[name]);
    paint(byId(`slot-${name}`), images);
    byId(`slot-${name}`).setAttribute("aria-label", `${name}${probabilities ? `: read as ${best(probabilities)}` : ""}`);
  }
}

/** A code on the way from a to b: a straight line, or an arc on which the length changes evenly (Shoemake 1985). */
function between(a, b, share, path) {
  const dot = (u, v) => u.reduce((sum, value, d) => sum + value * v[d], 0);
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  const angle = path === "spherical" && lengths > 1e-9 ? Math.acos(Math.min(1, Math.max(-1, dot(a, b) / lengths))) : 0;
  if (angle < 1e-4 || angle > Math.PI - 1e-4) return a.map((value, d) => value + share * (b[d] - value));
  const [la, lb] = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
  const length = la + share * (lb - la);
  const [wa, wb] = [Math.sin((1 - share) * angle) / Math.sin(angle), Math.sin(share * angle) / Math.sin(angle)];
  return a.map((value, d) => length * ((wa * value) / la + (wb * b[d]) / lb));
}

function walkTo(share) {
  state.walk.share = share;
  byId("walk").value = share;
  show(between(state.slots.A, state.slots.B, share, state.walk.path), { kind: "walk" });
}

function play() {
  if (!canWalk()) return;
  const start = performance.now() - state.walk.share * SECONDS_ACROSS * 1000;
  const step = (now) => {
    const turns = Math.max(0, now - start) / (SECONDS_ACROSS * 1000);
    const share = turns % 2;
    walkTo(share > 1 ? 2 - share : share);
    playing = requestAnimationFrame(step);
  };
  playing = requestAnimationFrame(step);
  byId("play").textContent = "Pause";
  byId("play").setAttribute("aria-pressed", "true");
}

function pause() {
  if (playing !== null) cancelAnimationFrame(playing);
  playing = null;
  byId("play").textContent = "Play";
  byId("play").setAttribute("aria-pressed", "false");
}
