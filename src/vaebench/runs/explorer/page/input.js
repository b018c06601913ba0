// An image of one's own: drawn on the pad of grey sets, chosen, or dropped anywhere on the page.

const BRUSH = 1.1;
const PAD_AT_MOST = 64;
const pad = { canvas: byId("pad"), pen: null };
pad.canvas.getContext("2d", { willReadFrequently: true });

function makeInput() {
  const draws = CHANNELS === 1 && Math.max(WIDTH, HEIGHT) <= PAD_AT_MOST;
  pad.canvas.width = WIDTH;
  pad.canvas.height = HEIGHT;
  clearPad();
  pad.canvas.hidden = byId("clear").hidden = !draws;
  const size = `${WIDTH} × ${HEIGHT} pixels`;
  byId("input-words").textContent = `${draws ? "Draw here, choose an image" : "Choose an image"}, or drop one on the page. It is cut to a centred ${WIDTH === HEIGHT ? "square" : "part"} and scaled to ${size}.`;
  byId("clear").onclick = clearPad;
  byId("file").onchange = (event) => { if (event.target.files[0]) readImage(event.target.files[0]); };
  pad.canvas.onpointerdown = (event) => { pad.canvas.setPointerCapture(event.pointerId); pad.pen = penAt(event); stroke(pad.pen, pad.pen); };
  pad.canvas.onpointermove = (event) => {
    if (pad.pen === null) return;
    const to = penAt(event);
    stroke(pad.pen, to);
    pad.pen = to;
  };
  pad.canvas.onpointerup = pad.canvas.onpointercancel = () => { pad.pen = null; };
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) readImage(event.dataTransfer.files[0]);
  };
}

function clearPad() {
  const context = pad.canvas.getContext("2d");
  context.fillStyle = about.ground ? "#fff" : "#000";
  context.fillRect(0, 0, WIDTH, HEIGHT);
}

function penAt(event) {
  const box = pad.canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * HEIGHT];
}

function stroke(from, to) {
  const context = pad.canvas.getContext("2d");
  context.strokeStyle = about.ground ? "#000" : "#fff";
  context.lineCap = "round";
  context.lineWidth = (2 * BRUSH * WIDTH) / 28;
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(to[0] + (from === to ? 0.01 : 0), to[1]);
  context.stroke();
  showOwn(pixelsOf(pad.canvas));
}

async function readImage(file) {
  trouble(null);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    trouble(`${file.name} cannot be read as an image; choose a JPEG, PNG, WebP or GIF.`);
    return;
  }
  const context = pad.canvas.getContext("2d");
  clearPad();
  context.imageSmoothingQuality = "high";
  const scale = Math.max(WIDTH / bitmap.width, HEIGHT / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  context.drawImage(bitmap, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
  showOwn(pixelsOf(pad.canvas));
}

/** Encode an image (C * H * W) in [0, 1] and show its mean code. */
async function showOwn(pixels) {
  pad.latest = pixels;
  const { mean, logVariance } = await networks.encode(pixels);
  if (pad.latest !== pixels) return; // a later stroke has come in between
  state.source = { index: null, mean, logVariance, pixels };
  show(mean, { kind: "own" });
}
