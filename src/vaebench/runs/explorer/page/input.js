// The user's own image: drawn on the pad (small grey images), chosen as a file, or dropped on the page.

const BRUSH = 1.1;
const MAX_PAD_SIDE = 64;
const pad = { canvas: byId("pad"), pen: null };
pad.canvas.getContext("2d", { willReadFrequently: true });

function setUpInput() {
  byId("input-part").hidden = pageData.composite; // a picture has colours, not these channels
  if (pageData.composite) return;
  const canDraw = CHANNELS === 1 && Math.max(WIDTH, HEIGHT) <= MAX_PAD_SIDE;
  pad.canvas.width = WIDTH;
  pad.canvas.height = HEIGHT;
  clearPad();
  pad.canvas.hidden = byId("clear").hidden = !canDraw;
  const size = `${WIDTH} × ${HEIGHT} pixels`;
  byId("input-help").textContent = `${canDraw ? "Draw here, choose an image" : "Choose an image"}, or drop one on the page. The centre is cropped and scaled to ${size}.`;
  byId("clear").onclick = clearPad;
  byId("file").onchange = (event) => { if (event.target.files[0]) loadImageFile(event.target.files[0]); };
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
    if (event.dataTransfer.files[0]) loadImageFile(event.dataTransfer.files[0]);
  };
}

function clearPad() {
  const context = pad.canvas.getContext("2d");
  context.fillStyle = pageData.background ? "#fff" : "#000";
  context.fillRect(0, 0, WIDTH, HEIGHT);
}

function penAt(event) {
  const box = pad.canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * HEIGHT];
}

function stroke(from, to) {
  const context = pad.canvas.getContext("2d");
  context.strokeStyle = pageData.background ? "#000" : "#fff";
  context.lineCap = "round";
  context.lineWidth = (2 * BRUSH * WIDTH) / 28;
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(to[0] + (from === to ? 0.01 : 0), to[1]);
  context.stroke();
  encodeInput(pixelsOf(pad.canvas));
}

async function loadImageFile(file) {
  showError(null);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    showError(`${file.name} cannot be read as an image; choose a JPEG, PNG, WebP or GIF.`);
    return;
  }
  const context = pad.canvas.getContext("2d");
  clearPad();
  context.imageSmoothingQuality = "high";
  const scale = Math.max(WIDTH / bitmap.width, HEIGHT / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  context.drawImage(bitmap, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
  encodeInput(pixelsOf(pad.canvas));
}

/** Encode an image (C * H * W) in [0, 1] and show its mean code. */
async function encodeInput(pixels) {
  pad.latest = pixels;
  const { mean, logVariance } = await networks.encode(pixels);
  if (pad.latest !== pixels) return; // a newer image was encoded in the meantime
  state.source = { index: null, mean, logVariance, pixels };
  showCode(mean, { kind: "input" });
}
