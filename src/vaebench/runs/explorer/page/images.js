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

/** Channels drawn as red, green and blue, -1 for none. */
function drawnChannels() {
  const { colours, alone } = state.channels;
  return alone < 0 ? colours : [alone, alone, alone];
}

/** Image `index` of (N, C, H, W) numbers as ImageData, in the colours that are selected. */
function imageData(values, index = 0) {
  const image = new ImageData(WIDTH, HEIGHT);
  const plane = HEIGHT * WIDTH;
  const channels = drawnChannels();
  for (let p = 0; p < plane; p++) {
    for (let c = 0; c < 3; c++) {
      const value = channels[c] < 0 ? 0 : values[index * IMAGE + channels[c] * plane + p];
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

/** The sprite sheet of the map's test images; a sheet for each channel if there are other than 1 or 3. */
const spriteSheet = {
  async load() {
    const count = CHANNELS === 1 || CHANNELS === 3 ? 1 : CHANNELS;
    const sheets = Array.from({ length: count }, (_, c) => new Blob([blob(`sheet-${c}`)], { type: "image/webp" }));
    this.bitmaps = await Promise.all(sheets.map((sheet) => createImageBitmap(sheet)));
  },
  draw(canvas, index) {
    const [width, height] = pageData.points.size;
    canvas.width = width;
    canvas.height = height;
    const [x, y] = [index % pageData.points.columns, Math.floor(index / pageData.points.columns)];
    const context = canvas.getContext("2d", { willReadFrequently: pageData.composite });
    const drawSheet = (bitmap) => context.drawImage(bitmap, x * width, y * height, width, height, 0, 0, width, height);
    drawSheet(this.bitmaps[0]);
    if (!pageData.composite) return;
    const image = context.createImageData(width, height);
    drawnChannels().forEach((channel, c) => {
      drawSheet(this.bitmaps[CHANNELS === 3 ? 0 : Math.max(0, channel)]);
      const { data } = context.getImageData(0, 0, width, height);
      for (let p = 0; p < data.length; p += 4) {
        image.data[p + c] = channel < 0 ? 0 : data[p + (CHANNELS === 3 ? channel : 0)];
        image.data[p + 3] = 255;
      }
    });
    context.putImageData(image, 0, 0);
  },
};

function randomNormal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
