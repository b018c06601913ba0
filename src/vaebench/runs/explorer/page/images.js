// Data embedded in the page, and conversion between numbers in [0, 1] and canvases.

const byId = (id) => document.getElementById(id);
const pageData = JSON.parse(byId("page-data").textContent);
const [CHANNELS, HEIGHT, WIDTH] = pageData.shape;
const IMAGE = CHANNELS * HEIGHT * WIDTH;
const LATENTS = pageData.kl.length;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function decodeBase64(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const blob = (id) => decodeBase64(byId(`blob-${id}`).textContent);

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Numbers that Python has quantised as 16-bit multiples of a step. */
function dequantise({ step, values }) {
  const view = new DataView(decodeBase64(values).buffer);
  const numbers = new Float32Array(view.byteLength / 2);
  for (let i = 0; i < numbers.length; i++) numbers[i] = view.getInt16(2 * i, true) * step;
  return numbers;
}

/** Image `index` of (N, C, H, W) numbers as ImageData; missing channels repeat the first. */
function imageData(values, index = 0) {
  const image = new ImageData(WIDTH, HEIGHT);
  const plane = HEIGHT * WIDTH;
  for (let p = 0; p < plane; p++) {
    for (let c = 0; c < 3; c++) {
      const value = values[index * IMAGE + (c < CHANNELS ? c : 0) * plane + p];
      image.data[4 * p + c] = Math.round(255 * Math.min(1, Math.max(0, value)));
    }
    image.data[4 * p + 3] = 255;
  }
  return image;
}

function paint(canvas, values, index = 0) {
  if (canvas.width !== WIDTH) canvas.width = WIDTH;
  if (canvas.height !== HEIGHT) canvas.height = HEIGHT;
  canvas.getContext("2d").putImageData(imageData(values, index), 0, 0);
}

/** Pixels (C * H * W) in [0, 1] of a canvas of the images' size; grey by ITU-R 601, as in Pillow. */
function pixelsOf(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, WIDTH, HEIGHT);
  const plane = HEIGHT * WIDTH;
  const pixels = new Float32Array(IMAGE);
  for (let p = 0; p < plane; p++) {
    const [r, g, b] = [data[4 * p], data[4 * p + 1], data[4 * p + 2]];
    if (CHANNELS === 1) pixels[p] = Math.round(0.299 * r + 0.587 * g + 0.114 * b) / 255;
    else [r, g, b].slice(0, CHANNELS).forEach((value, c) => { pixels[c * plane + p] = value / 255; });
  }
  return pixels;
}

/** The sprite sheet of the map's test images. */
const spriteSheet = {
  async load() {
    this.bitmap = await createImageBitmap(new Blob([blob("sheet")], { type: "image/webp" }));
  },
  draw(canvas, index) {
    const [width, height] = pageData.points.size;
    canvas.width = width;
    canvas.height = height;
    const [x, y] = [index % pageData.points.columns, Math.floor(index / pageData.points.columns)];
    canvas.getContext("2d").drawImage(this.bitmap, x * width, y * height, width, height, 0, 0, width, height);
  },
};

function randomNormal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
