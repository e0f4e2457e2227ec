const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const about = (x) => (x > 0 && x < 10 ? small.format(x) : whole.format(x));

function percent(share) {
  if (share === null || Number.isNaN(share)) return "–";
  const value = 100 * share;
  if (value > 0 && value < 0.01) return "under 0.01 %";
  return `${value.toFixed(value > 0 && value < 1 ? 2 : 1)} %`;
}

const sum = (values, from) => values.slice(from).reduce((total, value) => total + value, 0);

/* ---- the threshold ---- */

let threshold = 50;

function drawHistogram() {
  const svg = byId("histogram");
  if (!svg) return;
  const scale = byId("log-scale").checked ? (n) => Math.log10(1 + n) : (n) => n;
  const heights = data.counts.slice(0, 100);
  heights[99] += data.counts[100];
  const top = Math.max(...heights.map(scale), 1e-9);
  const bars = heights.map((n, at) => {
    const height = n ? Math.max(0.6, (100 * scale(n)) / top) : 0;
    return makeSvg("rect", { class: at >= threshold ? "dropped" : "kept", x: at + 0.08, y: 100 - height, width: 0.84, height });
  });
  const line = makeSvg("line", { class: "cut-line", x1: threshold, x2: threshold, y1: -2, y2: 100 });
  const floor = makeSvg("line", { class: "grid", x1: 0, x2: 100, y1: 100, y2: 100 });
  svg.replaceChildren(floor, ...bars, line);
}

function showThreshold() {
  const text = (threshold / 100).toFixed(2);
  const [n, bad] = [sum(data.counts, 0), sum(data.sums, 0)];
  const [dropped, removed] = [sum(data.counts, threshold), sum(data.sums, threshold)];
  const lost = dropped - removed;
  const left = bad - removed;
  byId("slider").setAttribute("aria-valuetext", text);
  byId("threshold-value").textContent = text;
  byId("dropped").textContent = whole.format(dropped);
  byId("share").textContent = `${percent(dropped / n)} of ${whole.format(n)} pairs`;
  byId("removed").textContent = about(removed);
  byId("removed-share").textContent = `${percent(bad ? removed / bad : null)} of all expected`;
  byId("lost").textContent = about(lost);
  byId("lost-share").textContent = `${percent(n > bad ? lost / (n - bad) : null)} of all good pairs`;
  byId("left").textContent = about(left);
  byId("left-share").textContent = `${percent(n > dropped ? left / (n - dropped) : null)} of the pairs kept`;
  byId("command").textContent = `ncaudit clean ${data.run} --threshold ${text}`;
  byId("who-threshold").textContent = text;
  for (const row of document.querySelectorAll("tr[data-table]")) {
    const counts = data.groups[row.dataset.table][row.dataset.group];
    const share = sum(counts, threshold) / Math.max(1, sum(counts, 0));
    row.querySelector(".share-text").textContent = percent(share);
    row.querySelector(".share").setAttribute("width", 100 * share);
  }
  drawHistogram();
}

if (byId("slider")) {
  const [first, second] = [...data.counts].sort((a, b) => b - a);
  byId("log-scale").checked = first > 8 * Math.max(1, second);
  byId("slider").addEventListener("input", (event) => {
    threshold = Number(event.target.value);
    showThreshold();
  });
  byId("log-scale").addEventListener("change", drawHistogram);
  showThreshold();
}

/* ---- the pairs ---- */

const PAGE = 12;
const SETS = [
  ["worst", "Worst"],
  ["borderline", "Borderline"],
  ["repairs", "Repairs"],
  ["sample", "Any"],
];
const EMPTY = {
  worst: "No pair has a probability, so none is worst.",
  borderline: "No pair has a probability, so none is borderline.",
  repairs: "This run proposes no repairs.",
  sample: "No pair of this run could be scored.",
};
const number = (value) => (value === null || value === undefined ? -1 : value);
const SORTS = {
  chosen: ["as chosen", null],
  high: ["p, high first", (a, b) => number(b.p) - number(a.p)],
  low: ["p, low first", (a, b) => number(a.p) - number(b.p)],
  unsure: ["widest interval", (a, b) => (b.high ?? 0) - (b.low ?? 0) - ((a.high ?? 0) - (a.low ?? 0))],
  key: ["shard and key", (a, b) => `${a.shard}/${a.key}`.localeCompare(`${b.shard}/${b.key}`, "en", { numeric: true })],
};
const state = { set: "worst", query: "", reason: "", sort: "chosen", page: 0 };
const members = (set) => data.pairs.filter((pair) => pair.sets.includes(set));

function chosen() {
  const wanted = state.query.trim().toLowerCase();
  const found = members(state.set).filter(
    (pair) =>
      (!state.reason || pair.reasons.includes(state.reason)) &&
      (!wanted || `${pair.caption} ${pair.shard}/${pair.key} ${pair.proposal ? pair.proposal.caption : ""}`.toLowerCase().includes(wanted)),
  );
  if (state.set === "borderline" && state.sort === "chosen") {
    found.sort((a, b) => Math.abs(a.p - 0.5) - Math.abs(b.p - 0.5));
  }
  const order = SORTS[state.sort][1];
  return order ? found.sort(order) : found;
}

function picture(pair) {
  const box = make("div", { class: "picture" });
  const source = pair.image === null ? "" : data.images[pair.image];
  if (source) box.append(make("img", { src: source, alt: `Image of ${pair.shard}/${pair.key}`, width: pair.width || 320, height: pair.height || 240 }));
  else box.append(make("p", {}, pair.problem || "There is no picture of this pair in the report."));
  return box;
}

function card(pair) {
  const which = `${pair.shard}/${pair.key}${pair.index ? `, caption ${pair.index}` : ""}`;
  const score = pair.p === null ? null : make(
    "div",
    {},
    make("div", { class: "score" }, make("p", { class: pair.p >= 0.5 ? "p bad" : "p" }, showProbability(pair.p)),
      make("p", { class: "label" }, intervalText(pair))),
    gauge(pair, 0.5),
  );
  return make(
    "article",
    { class: "card", "aria-label": `Pair ${which}` },
    picture(pair),
    make("div", { class: "body" },
      score,
      make("p", { class: "caption", dir: "auto" }, pair.caption || "(no caption)"),
      betterCaption(pair.proposal),
      reasonChips(pair.reasons, data.meanings),
      make("p", { class: "place" }, which)),
  );
}

function showPairs() {
  const found = chosen();
  const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
  state.page = Math.min(Math.max(0, state.page), last);
  const start = state.page * PAGE;
  const page = found.slice(start, start + PAGE);
  byId("gallery").replaceChildren(...page.map(card));
  byId("nothing").hidden = page.length > 0;
  byId("nothing").textContent = members(state.set).length ? "No pair here fits the filter." : EMPTY[state.set];
  byId("position").textContent = page.length ? `${start + 1}–${start + page.length} of ${whole.format(found.length)}` : "0 of 0";
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page === last;
  for (const button of byId("sets").children) button.setAttribute("aria-pressed", String(button.dataset.set === state.set));
}

function change(values) {
  Object.assign(state, { page: 0 }, values);
  showPairs();
}

function turn(step) {
  state.page += step;
  showPairs();
  byId("pairs").scrollIntoView({ block: "start" });
}

for (const [name, title] of SETS) {
  const button = make("button", { type: "button", "data-set": name }, `${title} `, make("small", {}, whole.format(members(name).length)));
  button.addEventListener("click", () => change({ set: name }));
  byId("sets").append(button);
}
for (const code of [...new Set(data.pairs.flatMap((pair) => pair.reasons))].sort()) byId("reason").append(make("option", { value: code }, code));
for (const [name, [title]] of Object.entries(SORTS)) byId("sort").append(make("option", { value: name }, title));
byId("query").addEventListener("input", (event) => change({ query: event.target.value }));
byId("reason").addEventListener("change", (event) => change({ reason: event.target.value }));
byId("sort").addEventListener("change", (event) => change({ sort: event.target.value }));
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
state.set = (SETS.find(([name]) => members(name).length) || SETS[0])[0];
showPairs();

/* ---- the keys ---- */

const KEYS = {
  ArrowRight: () => turn(1),
  j: () => turn(1),
  ArrowLeft: () => turn(-1),
  k: () => turn(-1),
  "/": () => byId("query").focus(),
  s: () => byId("sort").focus(),
  t: () => byId("slider") && byId("slider").focus(),
  "?": () => byId("help").showModal(),
};
SETS.forEach(([name], at) => { KEYS[String(at + 1)] = () => change({ set: name }); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const tag = event.target.tagName;
  if (event.key === "Escape" && (tag === "INPUT" || tag === "SELECT")) event.target.blur();
  if (tag === "INPUT" || tag === "SELECT" || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});
