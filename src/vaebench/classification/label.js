// One image at a time, a key for each class; labels are kept in the browser until they are saved as a table.

const data = JSON.parse(document.getElementById("page-data").textContent);
const COUNT = data.images.length;
const KEYS = [..."123456789abcdefghijklmopqrtvwxyz"]; // n, s and u are commands
/** Number of classes above which they can be searched. */
const MANY = 20;
const byId = (id) => document.getElementById(id);

/** Labels by position, classes that were added, and the position of the image that is shown; COUNT is the end. */
let state = { labels: {}, added: [], position: 0 };
const earlier = [];

const classes = () => [...data.classes, ...state.added];
const labelCount = () => Object.keys(state.labels).length;
const counted = (count) => `${count} label${count === 1 ? "" : "s"}`;
const percent = (probability) => `${Math.round(100 * probability)}\u00a0%`;
const guessOf = (image) => (image.guess === null ? "" : `${image.guess}, ${percent(image.probability)}`);

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// -- actions -----------------------------------------------------------------------------------------------------

/** Go to another state, which undo leads back from. */
function change(next, message) {
  earlier.push(state);
  move(next, message);
}

function move(next, message = "") {
  state = next;
  store();
  show();
  byId("status").textContent = `${message} ${where()}`.trim();
}

function where() {
  if (state.position === COUNT) return `This was the last image; ${labelCount()} of ${COUNT} are labelled.`;
  const label = state.labels[state.position], guess = guessOf(data.images[state.position]);
  const known = label !== undefined ? ` Labelled ${label}.` : guess ? ` Guess: ${guess}.` : "";
  return `Image ${state.position + 1} of ${COUNT}.${known}`;
}

function label(name, added = state.added) {
  if (state.position === COUNT) return;
  const labels = { ...state.labels, [state.position]: name };
  change({ labels, added, position: state.position + 1 }, `Labelled ${name}.`);
}

/** Label the image with a class by its name, which is added unless there is one of this name in whatever case. */
function labelByName(text) {
  const name = text.normalize("NFC").replace(/\s+/g, " ").replace(/\p{C}/gu, "").trim();
  const problem = problemOf(name);
  byId("class-error").textContent = problem;
  byId("new-class").setAttribute("aria-invalid", problem !== "");
  if (problem) return;
  const same = (each) => each.toLowerCase() === name.toLowerCase();
  const known = classes().includes(name) ? name : classes().find(same);
  byId("new-class").value = "";
  label(known ?? name, known === undefined ? [...state.added, name] : state.added);
  byId("stage").focus();
}

function problemOf(name) {
  if (!name) return "Type the name of a class first.";
  if (data.noLabel.includes(name) || data.noLabel.includes(name.toLowerCase())) {
    return `“${name}” means “no label” in a table; choose another name.`;
  }
  if (/^[[{].*".*[\]}]$/.test(name)) return "This looks like several labels; an image has one.";
  return "";
}

function acceptGuess() {
  const guess = data.images[state.position]?.guess ?? null;
  if (guess !== null) label(guess);
}

function skip() {
  if (state.position < COUNT) change({ ...state, position: state.position + 1 }, "Skipped.");
}

function back() {
  if (state.position > 0) move({ ...state, position: state.position - 1 });
}

function unlabel() {
  if (state.labels[state.position] === undefined) return;
  const labels = { ...state.labels };
  delete labels[state.position];
  change({ ...state, labels }, "Label removed.");
}

function undo() {
  if (earlier.length) move(earlier.pop(), "Undone.");
  else byId("status").textContent = "There is nothing to undo.";
}

function discard() {
  byId("restored").hidden = true;
  change({ labels: {}, added: [], position: 0 }, "All labels of this page are removed; undo brings them back.");
  byId("stage").focus();
}

// -- what is kept and saved --------------------------------------------------------------------------------------

function store() {
  try {
    localStorage.setItem(data.storageKey, JSON.stringify(state));
  } catch {
    byId("not-kept").hidden = false;
  }
}

/** The state of an earlier visit, without what does not belong to this page; null if there is none. */
function keptState() {
  try {
    const kept = JSON.parse(localStorage.getItem(data.storageKey));
    const isPosition = (value) => Number.isInteger(value) && value >= 0 && value <= COUNT;
    const labels = Object.entries(kept.labels).filter(([at, name]) => isPosition(+at) && +at < COUNT && typeof name === "string");
    const added = [...new Set([...kept.added, ...labels.map(([, name]) => name)])];
    return {
      labels: Object.fromEntries(labels),
      added: added.filter((name) => typeof name === "string" && !data.classes.includes(name)),
      position: isPosition(kept.position) ? kept.position : 0,
    };
  } catch {
    return null;
  }
}

/** A field of a CSV file, in quotes where it has a character that separates fields or rows, or outer spaces. */
function field(text) {
  return /[",;|\t\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function table() {
  const added = Object.entries(state.labels).map(([position, name]) => [data.images[position].file, name]);
  return [["file", "label"], ...data.given, ...added].map((row) => `${row.map(field).join(",")}\n`).join("");
}

/** UTF-8; a lone surrogate stands for a byte of a file name that is no UTF-8, as in Python. */
function bytesOf(text) {
  const lone = /^[\udc80-\udcff]$/u, utf8 = new TextEncoder();
  return text.split(/([\udc80-\udcff])/u).map((part) => (
    lone.test(part) ? Uint8Array.of(part.charCodeAt(0) - 0xdc00) : utf8.encode(part)
  ));
}

function save() {
  const address = URL.createObjectURL(new Blob(bytesOf(table()), { type: "text/csv" }));
  element("a", { href: address, download: data.table }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  byId("status").textContent = `Saved ${counted(labelCount())} of this page as ${data.table}.`;
}

// -- what is shown -----------------------------------------------------------------------------------------------

function show() {
  const image = data.images[state.position], end = image === undefined;
  byId("current").hidden = end;
  byId("end").hidden = !end;
  byId("progress").value = Math.min(state.position + 1, COUNT);
  byId("place").textContent = `${Math.min(state.position + 1, COUNT)} of ${COUNT}, ${labelCount()} labelled`;
  if (!end) showImage(image);
  showClasses();
  showOverview();
  showTable();
  for (const [id, disabled] of [["undo", !earlier.length], ["skip", end], ["back", !state.position]]) {
    byId(id).setAttribute("aria-disabled", disabled);
  }
}

function showImage(image) {
  const label = state.labels[state.position], guess = guessOf(image);
  byId("picture").src = image.picture;
  byId("picture").alt = `Image ${state.position + 1}, ${image.shown}`;
  byId("picture").classList.toggle("pixels", image.pixels);
  byId("file").textContent = image.shown;
  byId("label").textContent = label === undefined ? "" : `Label: ${label}`;
  byId("guess").hidden = !guess || label !== undefined;
  byId("guess-text").textContent = guess;
}

function showClasses() {
  const names = classes(), list = byId("classes");
  if (list.dataset.names !== names.join("\n")) {
    list.dataset.names = names.join("\n");
    list.replaceChildren(...names.map(classButton));
  }
  const label = state.labels[state.position], guess = data.images[state.position]?.guess ?? null;
  [...list.querySelectorAll("button")].forEach((button, index) => {
    button.setAttribute("aria-pressed", names[index] === label);
    button.classList.toggle("guessed", names[index] === guess);
    button.setAttribute("aria-disabled", state.position === COUNT);
  });
  byId("find-row").hidden = names.length <= MANY;
  byId("no-class").hidden = names.length > 0;
  filterClasses();
}

function classButton(name, index) {
  const key = KEYS[index], text = element("span", {}, name);
  const attributes = { type: "button", ...(key && { "aria-keyshortcuts": key.toUpperCase() }) };
  const button = element("button", attributes, ...(key ? [element("kbd", { "aria-hidden": true }, key)] : []), text);
  button.onclick = (event) => {
    label(name);
    byId("find").value = "";
    filterClasses();
    if (event.detail) byId("stage").focus({ preventScroll: true }); // a click, after which keys are to label again
  };
  return element("li", {}, button);
}

function filterClasses() {
  const wanted = byId("find").value.trim().toLowerCase();
  [...byId("classes").children].forEach((item, index) => {
    item.hidden = !classes()[index].toLowerCase().includes(wanted);
  });
}

function showOverview() {
  [...byId("overview").children].forEach((item, position) => {
    const name = state.labels[position] ?? "", button = item.firstChild;
    button.lastChild.textContent = name || "–";
    button.setAttribute("aria-label", `Image ${position + 1}: ${name || "no label"}`);
    button.setAttribute("aria-current", position === state.position);
  });
}

function overviewItem(image, position) {
  const picture = element("img", { src: image.picture, alt: "", class: image.pixels ? "pixels" : "" });
  const button = element("button", { type: "button" }, picture, element("span", {}, "–"));
  button.onclick = () => {
    move({ ...state, position });
    byId("stage").focus();
  };
  return element("li", {}, button);
}

function showTable() {
  const names = new Set([...data.classes, ...Object.values(state.labels)]);
  const few = names.size < 2 ? " vaebench classify needs labels of at least two classes." : "";
  byId("save").disabled = !labelCount();
  byId("summary").textContent = `${labelCount()} of ${COUNT} images are labelled.${few}`;
}

// -- the start ---------------------------------------------------------------------------------------------------

const COMMANDS = {
  u: undo, backspace: undo, s: skip, " ": skip, arrowright: skip, arrowleft: back, delete: unlabel, enter: acceptGuess,
  n: () => byId("new-class").focus(),
  "/": () => (byId("find-row").hidden ? null : byId("find").focus()),
};

function onKey(event) {
  const key = event.key.toLowerCase(), typing = event.target.matches("input");
  if (typing) {
    if (key === "escape") byId("stage").focus();
    return;
  }
  const undoes = (event.ctrlKey || event.metaKey) && !event.shiftKey && key === "z";
  if (event.repeat || event.altKey || ((event.ctrlKey || event.metaKey) && !undoes)) return;
  if (event.target.matches("button, summary, a") && [" ", "enter"].includes(key)) return; // which press the button
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1]; // also where digits need the shift key
  const command = undoes ? undo : COMMANDS[key], name = classes()[KEYS.indexOf(digit ?? key)];
  if (!command && name === undefined) return;
  event.preventDefault();
  if (command) command();
  else label(name);
}

function start() {
  byId("progress").max = COUNT;
  byId("overview").append(...data.images.map(overviewItem));
  for (const [id, action] of Object.entries({ undo, skip, back, save, discard, guess: acceptGuess })) {
    byId(id).onclick = (event) => {
      action();
      if (event.detail && id !== "save") byId("stage").focus({ preventScroll: true });
    };
  }
  byId("new-class-form").onsubmit = (event) => {
    event.preventDefault();
    labelByName(byId("new-class").value);
  };
  byId("find").oninput = filterClasses;
  byId("find-row").onsubmit = (event) => {
    event.preventDefault();
    const first = byId("classes").querySelector("li:not([hidden]) button");
    if (first) first.click();
    byId("stage").focus();
  };
  document.onkeydown = onKey;
  const kept = keptState();
  if (kept && (Object.keys(kept.labels).length || kept.added.length)) {
    state = kept;
    byId("restored").hidden = false;
    byId("restored-text").textContent = `Restored from your last visit: ${counted(labelCount())}.`;
  }
  show();
  byId(classes().length ? "stage" : "new-class").focus();
}

start();
