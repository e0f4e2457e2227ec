const token = location.hash.slice(1);
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const now = { state: null, pair: null, evidence: false, busy: false };
const pictures = new Map();

async function ask(path, body) {
  const options = { headers: { "X-Ncaudit-Token": token } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  if (answer.status === 403) throw new Error("This address is from an earlier start. Open the one that the terminal shows now.");
  return answer;
}

async function askJson(path, body) {
  const answer = await ask(path, body);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error || "The server could not do that.");
  return found;
}

function complain(error) {
  const text = error instanceof TypeError ? "The server does not answer. Start ncaudit review again; every verdict so far is saved." : error.message;
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

/* ---- pictures: fetched with the token, shown as blobs ---- */

async function loadPicture(at) {
  if (!pictures.has(at)) {
    const answer = await ask(`picture/${at}`);
    pictures.set(at, answer.ok ? URL.createObjectURL(await answer.blob()) : { problem: await answer.text() });
    if (pictures.size > 12) {
      const [oldest, url] = pictures.entries().next().value;
      if (typeof url === "string") URL.revokeObjectURL(url);
      pictures.delete(oldest);
    }
  }
  return pictures.get(at);
}

async function showPicture(pair) {
  byId("picture").replaceChildren();
  const found = await loadPicture(pair.at);
  if (now.pair !== pair) return;
  const shown = typeof found === "string"
    ? make("img", { src: found, alt: "The image to judge" })
    : make("p", {}, found.problem);
  byId("picture").replaceChildren(shown);
}

/* ---- what is shown ---- */

function percent(share) {
  const value = 100 * share;
  return `${value.toFixed(value > 0 && value < 1 ? 2 : 1)} %`;
}

function shareText(share) {
  return share ? [percent(share.estimate), `${percent(share.low)} to ${percent(share.high)}`] : ["–", "not enough verdicts yet"];
}

function showNumbers(state) {
  const [noise, noiseRange] = shareText(state.noise);
  const [precision, precisionRange] = shareText(state.precision);
  const expects = (value) => (value === null ? "" : `; the model says ${percent(value)}`);
  byId("numbers").replaceChildren(
    make("div", {}, make("dt", {}, "Noise, by your verdicts"), make("dd", {}, noise, make("small", {}, noiseRange + expects(state.model_noise)))),
    make("div", {}, make("dt", {}, `Precision when dropping at ${state.threshold.toFixed(2)}`), make("dd", {}, precision, make("small", {}, precisionRange + expects(state.expected_precision)))),
  );
  byId("run").textContent = state.run;
  byId("progress").max = state.n;
  byId("progress").value = state.decided;
  byId("count").textContent = `${whole.format(state.decided)} of ${whole.format(state.n)} decided`;
  byId("undo").disabled = state.decided === 0;
}

function showEvidence() {
  const { pair } = now;
  byId("show-evidence").setAttribute("aria-pressed", String(now.evidence));
  byId("evidence").hidden = !now.evidence || !pair;
  if (!now.evidence || !pair) return;
  const bad = pair.p >= now.state.threshold;
  byId("evidence").replaceChildren(
    make("div", { class: "row" }, make("p", { class: bad ? "p bad" : "p" }, showProbability(pair.p)),
      make("p", { class: "label" }, intervalText(pair))),
    gauge(pair, now.state.threshold),
    reasonChips(pair.reasons) || make("p", { class: "label" }, "No signal stands out."),
    make("p", { class: "place" }, `${pair.shard}/${pair.key}${pair.index ? `, caption ${pair.index}` : ""}`),
  );
}

function showMessage(title, ...paragraphs) {
  byId("message").replaceChildren(make("h2", {}, title), ...paragraphs.map((text) => (typeof text === "string" ? make("p", {}, text) : make("p", {}, text))));
  for (const id of ["stage", "side"]) byId(id).hidden = true;
  byId("message").hidden = false;
}

function showEnd(state) {
  now.pair = null;
  const noise = state.noise ? `By your verdicts ${percent(state.noise.estimate)} of all pairs are mismatches (${percent(state.noise.low)} to ${percent(state.noise.high)}).` : "None of your verdicts was sure enough to estimate from.";
  showMessage("All pairs are decided", noise, "Every verdict is in verdicts.csv of the run. To clean with them:", make("code", {}, `ncaudit clean ${state.run} --verdicts ${state.run}/verdicts.csv`));
}

function show(pair) {
  if (!pair) {
    showEnd(now.state);
    return;
  }
  const { at } = pair;
  now.pair = pair;
  byId("message").hidden = true;
  byId("stage").hidden = false;
  byId("side").hidden = false;
  byId("caption").textContent = pair.caption || "(no caption)";
  const better = betterCaption(pair.proposal);
  byId("better").replaceChildren(...(better ? [better] : []));
  byId("better").hidden = !better;
  byId("accept").disabled = !pair.proposal;
  byId("given").textContent = pair.given ? `You said: ${pair.given}` : "";
  byId("given").hidden = !pair.given;
  showEvidence();
  const after = now.state.next === at ? now.state.after : now.state.next;
  showPicture(pair).then(() => after !== null && loadPicture(after)).catch(complain);
}

async function act(work) {
  if (now.busy) return;
  now.busy = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    const state = await work();
    now.state = state;
    byId("problem").hidden = true;
    byId("actions").hidden = false;
    showNumbers(state);
    show(state.pair);
    document.body.dataset.shown = state.pair ? String(state.pair.at) : "end";
  } catch (error) {
    complain(error);
  } finally {
    now.busy = false;
    document.body.setAttribute("aria-busy", "false");
  }
}

const begin = () => act(() => askJson("state"));

const decide = (verdict) => now.pair && (verdict !== "rematch" || now.pair.proposal) && act(() => askJson("verdict", { at: now.pair.at, verdict }));

const undo = () => now.state && now.state.decided && act(() => askJson("undo", {}));

const toggleEvidence = () => {
  now.evidence = !now.evidence;
  showEvidence();
};

/* ---- keys and buttons ---- */

const KEYS = {
  m: () => decide("match"),
  ArrowRight: () => decide("match"),
  x: () => decide("mismatch"),
  ArrowLeft: () => decide("mismatch"),
  r: () => decide("rematch"),
  ArrowUp: () => decide("rematch"),
  u: () => decide("unsure"),
  ArrowDown: () => decide("unsure"),
  z: undo,
  i: toggleEvidence,
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || byId("help").open || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});
for (const button of document.querySelectorAll("[data-verdict]")) button.addEventListener("click", () => decide(button.dataset.verdict));
byId("undo").addEventListener("click", undo);
byId("show-evidence").addEventListener("click", toggleEvidence);
byId("show-help").addEventListener("click", () => byId("help").showModal());
window.addEventListener("hashchange", () => location.reload());

if (token) begin();
else showMessage("Open the address from the terminal", "It ends in # and a code that only you have. Without it this page shows nothing of your data.");
