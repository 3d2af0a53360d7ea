// Sends the sentences to /v1/predict and shows its answers. Texts become text nodes, never markup.
"use strict";

const find = (id) => document.getElementById(id);
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const decimal = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" });
const points = (score) => decimal.format(100 * score).replace("-", "\u2212");
const STEPS = [0.02, 0.2, 0.5]; // least part of the strongest word's score for each strength
const FLOOR = 0.02; // a sentence whose words all move less than this shows no strong ones

find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  classify();
});
find("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    find("form").requestSubmit();
  }
});
describe();

async function describe() {
  try {
    const model = await asked("v1/model");
    find("model").textContent = `${model.model}: ${model.architecture}, ${model.labels.length} labels (${list(model.labels)})`;
  } catch (error) {
    find("error").textContent = error.message;
  }
}

async function classify() {
  const texts = find("texts").value.split("\n").filter((line) => line.trim() !== "");
  const button = find("submit");
  if (texts.length === 0 || button.disabled) return;
  button.disabled = true;
  find("error").textContent = "";
  find("status").textContent = "Asking the model…";
  try {
    const body = JSON.stringify({ texts, explain: find("explain").checked });
    const headers = { "content-type": "application/json" };
    const { predictions } = await asked("v1/predict", { method: "POST", headers, body });
    find("results").replaceChildren(...predictions.map((prediction, number) => article(texts[number], prediction)));
    find("legend").hidden = !predictions.some((prediction) => prediction.words);
    find("status").textContent = summary(predictions);
  } catch (error) {
    find("status").textContent = "";
    find("error").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

// The value of a JSON answer; an Error with one line if there is none.
async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server can't be reached.");
  }
  const value = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(`${value.error ?? response.statusText} (${response.status})`);
  return value;
}

function summary(predictions) {
  if (predictions.length > 1) return `${predictions.length} sentences classified.`;
  return `${predictions[0].label}, ${percent.format(predictions[0].probability)}.`;
}

function list(labels) {
  return labels.length > 8 ? `${labels.slice(0, 8).join(", ")}, …` : labels.join(", ");
}

function article(text, prediction) {
  const words = prediction.words ?? [];
  const parts = [
    element("blockquote", {}, ...marked(text, words)),
    element("h3", {}, prediction.label, " ", element("small", {}, percent.format(prediction.probability))),
    bars(prediction.probabilities),
  ];
  if (words.length) parts.push(details(words, prediction.label));
  return element("article", {}, ...parts);
}

// The text with its words marked. Offsets count code points, not JavaScript's units.
function marked(text, words) {
  const letters = Array.from(text);
  const most = Math.max(FLOOR, ...words.map((word) => Math.abs(word.score)));
  const parts = [];
  let place = 0;
  for (const word of words) {
    const side = word.score < 0 ? "against" : "for";
    const strength = STEPS.filter((step) => Math.abs(word.score) / most >= step).length;
    const title = `${points(word.score)} percentage points`;
    parts.push(letters.slice(place, word.start).join(""));
    const span = element("span", { className: `word ${side}`, title }, letters.slice(word.start, word.end).join(""));
    span.dataset.strength = strength;
    parts.push(span);
    place = word.end;
  }
  parts.push(letters.slice(place).join(""));
  return parts;
}

function bars(probabilities) {
  const rows = Object.entries(probabilities).sort((one, other) => other[1] - one[1]).map(([label, probability]) => {
    const bar = element("div", { className: "bar" });
    bar.style.width = `${100 * probability}%`;
    const track = element("div", { className: "track" }, bar);
    track.setAttribute("aria-hidden", "true");
    const number = element("span", { className: "number" }, percent.format(probability));
    return element("li", {}, element("span", { className: "name" }, label), number, track);
  });
  return element("ul", { className: "bars" }, ...rows);
}

function details(words, label) {
  const sorted = [...words].sort((one, other) => Math.abs(other.score) - Math.abs(one.score));
  const rows = sorted.map((word) =>
    element("tr", {}, element("td", {}, word.text), element("td", { className: "number" }, points(word.score))),
  );
  const headings = [element("th", { scope: "col" }, "Word"), element("th", { scope: "col", className: "number" }, "Percentage points")];
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...headings)), element("tbody", {}, ...rows));
  return element("details", {}, element("summary", {}, `What each word does for «${label}»`), table);
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
