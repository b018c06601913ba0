// The page as a whole: its tools, its keys, its start.

const THEME = "vaebench-explorer-theme";
/** For tests and the curious. */
const explorer = {
  ready: null, strips: 0, state, timings, points, map, link, loadPoint, placeOf,
  placeOfPoint: (index) => toCanvas(map.xs[index], map.ys[index]),
  get shown() { return shownImage; },
};
window.explorer = explorer;

function trouble(sentence) {
  byId("trouble").hidden = sentence === null;
  byId("trouble").textContent = sentence ?? "";
}

function makeTools() {
  byId("save").onclick = savePicture;
  byId("copy").onclick = copyLink;
  byId("open-state").onclick = () => openDialog("Restore", "Paste a link or text that this page made.", "");
  byId("restore").onclick = () => {
    try {
      restore(byId("state-text").value);
      byId("state-dialog").close();
    } catch (error) {
      byId("state-trouble").textContent = error.message;
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
    localStorage.setItem(THEME, theme);
  } catch {
    // a page without storage forgets the choice
  }
  paintMap();
}

function storedTheme() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null;
  }
}

/** The image alone, each of its pixels a square. */
function savePicture() {
  const times = Math.max(1, Math.round(448 / Math.max(WIDTH, HEIGHT)));
  const canvas = element("canvas", { width: WIDTH * times, height: HEIGHT * times });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(byId("image"), 0, 0, canvas.width, canvas.height);
  canvas.toBlob((png) => {
    const address = URL.createObjectURL(png);
    element("a", { href: address, download: `${about.name.replace(/[^A-Za-z0-9]+/g, "-")}-decoded.png` }).click();
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
    openDialog("Copy", "This browser does not let a page copy by itself; copy the link from here.", text);
  }
}

function openDialog(title, words, text) {
  byId("state-title").textContent = title;
  byId("state-words").textContent = words;
  byId("state-trouble").textContent = "";
  byId("state-text").value = text;
  byId("restore").hidden = text !== "";
  byId("state-dialog").showModal();
  byId("state-text").select();
}

function restore(text) {
  restoreState(parsedState(text));
  pause();
  byId("temperature").value = state.temperature;
  byId("temperature-value").textContent = state.temperature.toFixed(2);
  byId("errors").checked = state.errorsOnly;
  paintLegend();
  placePoints();
  paintSlots();
  redraw();
}

function restoreFromAddress() {
  if (!location.hash.startsWith("#s=")) return;
  try {
    restore(location.hash);
  } catch (error) {
    trouble(error.message);
  }
}

function makeKeys() {
  const keys = {
    s: "sample", r: "resample", m: "mean", 0: "zero", a: "keep-A", b: "keep-B", c: "keep-C", p: "play",
  };
  document.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("state-dialog").open) return;
    if (event.target.matches("select, textarea")) return;
    const button = byId(keys[event.key.toLowerCase()]);
    if (button && !button.disabled) button.click();
  };
}

function makeFacts() {
  const error = about.storedError * 255;
  const stored = `weights stored as 16-bit floats (at most ${error < 0.01 ? "0.01" : error.toFixed(2)} of 255 grey levels off)`;
  const small = about.points.lossless ? "" : "; the map's images are compressed with losses";
  byId("facts").append(element("span", { id: "redraw-time" }), `; ${stored}${small}.`);
}

async function start() {
  document.documentElement.dataset.theme = storedTheme() ?? "";
  makeFacts();
  makeTools();
  makeKeys();
  makeShares();
  makeLatents();
  makeSampling();
  makeSlots();
  makeMap();
  makeInput();
  await Promise.all([networks.load(), sheet.load()]);
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
  trouble(`The page could not start: ${error.message}. It needs a browser of 2023 or later.`);
  throw error;
});
