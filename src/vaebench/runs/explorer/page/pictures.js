// Pixels: from numbers in [0, 1] to canvases, and back.

const byId = (id) => document.getElementById(id);
const about = JSON.parse(byId("about").textContent);
const [CHANNELS, HEIGHT, WIDTH] = about.shape;
const IMAGE = CHANNELS * HEIGHT * WIDTH;
const LATENTS = about.kl.length;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function asBytes(base64) {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}

const blob = (id) => asBytes(byId(`blob-${id}`).textContent);

async function unzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function numbers({ step, values }) {
  const view = new DataView(asBytes(values).buffer);
  const found = new Float32Array(view.byteLength / 2);
  for (let i = 0; i < found.length; i++) found[i] = view.getInt16(2 * i, true) * step;
  return found;
}

/** Image `index` of (N, C, H, W) numbers as ImageData; a channel that is missing repeats the first. */
function imageData(values, index = 0) {
  const made = new ImageData(WIDTH, HEIGHT);
  const plane = HEIGHT * WIDTH;
  for (let p = 0; p < plane; p++) {
    for (let c = 0; c < 3; c++) {
      const value = values[index * IMAGE + (c < CHANNELS ? c : 0) * plane + p];
      made.data[4 * p + c] = Math.round(255 * Math.min(1, Math.max(0, value)));
    }
    made.data[4 * p + 3] = 255;
  }
  return made;
}

function paint(canvas, values, index = 0) {
  if (canvas.width !== WIDTH) canvas.width = WIDTH;
  if (canvas.height !== HEIGHT) canvas.height = HEIGHT;
  canvas.getContext("2d").putImageData(imageData(values, index), 0, 0);
}

/** (C, H, W) numbers in [0, 1] of a canvas of the images' size; grey by ITU-R 601, as Pillow has it. */
function pixelsOf(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, WIDTH, HEIGHT);
  const plane = HEIGHT * WIDTH;
  const found = new Float32Array(IMAGE);
  for (let p = 0; p < plane; p++) {
    const [r, g, b] = [data[4 * p], data[4 * p + 1], data[4 * p + 2]];
    if (CHANNELS === 1) found[p] = Math.round(0.299 * r + 0.587 * g + 0.114 * b) / 255;
    else [r, g, b].slice(0, CHANNELS).forEach((value, c) => { found[c * plane + p] = value / 255; });
  }
  return found;
}

/** The test images of the map, cut from their sheet. */
const sheet = {
  async load() {
    this.bitmap = await createImageBitmap(new Blob([blob("sheet")], { type: "image/webp" }));
  },
  draw(canvas, index) {
    const [width, height] = about.points.size;
    canvas.width = width;
    canvas.height = height;
    const [x, y] = [index % about.points.columns, Math.floor(index / about.points.columns)];
    canvas.getContext("2d").drawImage(this.bitmap, x * width, y * height, width, height, 0, 0, width, height);
  },
};

function gaussian() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
