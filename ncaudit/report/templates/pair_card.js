"use strict";

/** Make an element; text is text, never markup. */
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

function makeSvg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function showProbability(p) {
  if (p === null || p === undefined) return "–";
  if (p > 0.99 && p < 1) return "> 0.99";
  return p > 0 && p < 0.01 ? "< 0.01" : p.toFixed(2);
}

/** What the number beside it is, with its interval where that says more. */
function intervalText(pair) {
  const [low, high] = [showProbability(pair.low), showProbability(pair.high)];
  return pair.low === null || low === high ? "p_mismatch" : `p_mismatch, ${low} to ${high}`;
}

/** A strip from 0 to 1 with the interval and the value. */
function gauge(pair, threshold) {
  const svg = makeSvg("svg", { class: "gauge", viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(makeSvg("rect", { class: "track", x: 0, y: 4, width: 100, height: 6 }));
  const low = pair.low ?? pair.p;
  const high = pair.high ?? pair.p;
  svg.append(makeSvg("rect", { class: "interval", x: 100 * low, y: 4, width: Math.max(0.4, 100 * (high - low)), height: 6 }));
  const kind = pair.p >= threshold ? "value bad" : "value";
  svg.append(makeSvg("rect", { class: kind, x: Math.min(98.6, 100 * pair.p), y: 0, width: 1.4, height: 14 }));
  return svg;
}

function reasonChips(reasons, meanings) {
  if (!reasons.length) return null;
  const items = reasons.map((code) => make("li", { title: (meanings || {})[code] }, code));
  return make("ul", { class: "chips", "aria-label": "Signals that decided" }, ...items);
}

/** The better caption of a proposal, or null. */
function betterCaption(proposal) {
  if (!proposal) return null;
  const sure = proposal.confidence === null ? "" : `, ${Math.round(100 * proposal.confidence)} % sure`;
  return make(
    "div",
    { class: "better" },
    make("p", { class: "label" }, `Better caption${sure}`),
    make("p", { class: "caption", dir: "auto" }, proposal.caption),
    make("p", { class: "place" }, `from ${proposal.shard}/${proposal.key}`),
  );
}
