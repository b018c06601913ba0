// The toolbar, the keyboard shortcuts and the start of the page.

const THEME_KEY = "vaebench-explorer-theme";
/** Interface for tests and the browser console. */
const explorer = {
  ready: null, strips: 0, state, timings, points, map, link, loadPoint, positionOf,
  canvasPositionOf: (index) => toCanvas(map.xs[index], map.ys[index]),
  get shown() { return shownImage; },
};
window.explorer = explorer;

function showError(message) {
  byId("page-error").hidden = message === null;
  byId("page-error").textContent = message ?? "";
}

function setUpTools() {
  byId("save").onclick = savePicture;
  byId("copy").onclick = copyLink;
  byId("open-state").onclick = () => openDialog("Restore", "Paste a link copied from this page.", "");
  byId("restore").onclick = () => {
    try {
      restore(byId("state-text").value);
      byId("state-dialog").close();
    } catch (error) {
      byId("state-error").textContent = error.message;
    }
  };
  byId("theme").onclick = () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    setTheme(dark ? "light" : "dark");
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paintMap());
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME_KEY, theme);
  } catch {
    // without storage the choice is not remembered
  }
  paintMap();
}

function storedTheme() {
  try {
    return localStorage.getItem(THEME_KEY);
  } catch {
    return null;
  }
}

/** Save the image, each pixel enlarged to a square. */
function savePicture() {
  const scale = Math.max(1, Math.round(448 / Math.max(WIDTH, HEIGHT)));
  const canvas = element("canvas", { width: WIDTH * scale, height: HEIGHT * scale });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(byId("image"), 0, 0, canvas.width, canvas.height);
  canvas.toBlob((png) => {
    const address = URL.createObjectURL(png);
    element("a", { href: address, download: `${pageData.name.replace(/[^A-Za-z0-9]+/g, "-")}-decoded.png` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  });
}

async function copyLink() {
  const text = link();
  try {
    await navigator.clipboard.writeText(text);
    byId("copy").textContent = "Copied";
    setTimeout(() => { byId("copy").textContent = "Copy link"; }, 1500);
  } catch {
    openDialog("Copy", "This browser does not allow the page to copy; copy the link from here.", text);
  }
}

function openDialog(title, help, text) {
  byId("state-title").textContent = title;
  byId("state-help").textContent = help;
  byId("state-error").textContent = "";
  byId("state-text").value = text;
  byId("restore").hidden = text !== "";
  byId("state-dialog").showModal();
  byId("state-text").select();
}

function restore(text) {
  restoreState(parseState(text));
  pause();
  byId("temperature").value = state.temperature;
  byId("temperature-value").textContent = state.temperature.toFixed(2);
  byId("errors").checked = state.errorsOnly;
  paintLegend();
  paintChannelSelects();
  layOutPoints();
  paintSlots();
  redraw();
}

function restoreFromAddress() {
  if (!location.hash.startsWith("#s=")) return;
  try {
    restore(location.hash);
  } catch (error) {
    showError(error.message);
  }
}

function setUpKeys() {
  const keys = {
    s: "sample", r: "resample", m: "mean", 0: "zero", a: "save-A", b: "save-B", c: "save-C", p: "play",
  };
  document.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("state-dialog").open) return;
    if (event.target.matches("select, textarea")) return;
    const button = byId(keys[event.key.toLowerCase()]);
    if (button && !button.disabled) button.click();
  };
}

function setUpFacts() {
  const error = pageData.storedError * 255;
  const stored = `weights stored as 16-bit floats (error of at most ${error < 0.01 ? "0.01" : error.toFixed(2)} of 255 grey levels)`;
  const compression = pageData.points.lossless ? "" : "; the images of the map are compressed lossily";
  byId("facts").append(element("span", { id: "redraw-time" }), `; ${stored}${compression}.`);
}

async function start() {
  document.documentElement.dataset.theme = storedTheme() ?? "";
  setUpFacts();
  setUpTools();
  setUpKeys();
  setUpChannels();
  setUpProbabilities();
  setUpLatents();
  setUpSampling();
  setUpSlots();
  setUpMap();
  setUpInput();
  await Promise.all([networks.load(), spriteSheet.load()]);
  paintLegend();
  paintSlots();
  if (location.hash.startsWith("#s=")) restoreFromAddress();
  else loadPoint(0);
  window.onhashchange = restoreFromAddress;
  while (shownImage === null) await nextFrame();
  document.querySelector("main").setAttribute("aria-busy", "false");
  explorer.ready = performance.now();
}

start().catch((error) => {
  showError(`The page could not start: ${error.message}. It needs a browser from 2023 or later.`);
  throw error;
});
