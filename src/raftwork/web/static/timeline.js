// What ran where in the last minute, on a canvas: a lane for each slot of each worker.

import { html } from "./vendor/lit-html-3.3.3/lit-html.js";
import { duration } from "./format.js";
import { ink } from "./ink.js";

const WINDOW_MS = 60_000;
const LANE = 11;
const HEAD = 20;
const FOOT = 18;
const LANES_MAX = 120;
const NAMES_SHOWN = 8;

// A colour for each name, far from those before it and none near to red; kept while the page is open.
const COLOURS_MAX = 1_000;
const colours = new Map();

function give(names) {
  if (colours.size > COLOURS_MAX) colours.clear();
  for (const name of [...names].sort()) {
    if (!colours.has(name)) colours.set(name, `hsl(${Math.round(40 + ((colours.size * 0.618034) % 1) * 290)} 45% ${46 + (colours.size % 3) * 7}%)`);
  }
}

class Timeline extends HTMLElement {
  #canvas = document.createElement("canvas");
  #lanes = new Map(); // of each task: what was drawn once stays in its lane
  #drawn = [];
  #given = null;
  #observer = new ResizeObserver(() => this.#draw());

  set given(value) {
    this.#given = value;
    if (this.isConnected) this.#draw();
  }

  connectedCallback() {
    this.append(this.#canvas);
    this.#observer.observe(this);
    this.addEventListener("mousemove", this.#point);
    this.addEventListener("click", this.#open);
    this.#draw();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
  }

  #at({ offsetX: x, offsetY: y }) {
    return this.#drawn.findLast((box) => x >= box.x - 2 && x <= box.x + box.width + 2 && y >= box.y && y < box.y + LANE);
  }

  #point = (event) => {
    const box = this.#at(event);
    this.title = box ? `${box.name}, ${box.outcome} ${duration(box.ms / 1000)}` : "";
    this.#canvas.classList.toggle("link", Boolean(box));
  };

  #open = (event) => {
    const box = this.#at(event);
    if (box) this.#given.open(box.id);
  };

  // Bars of one worker, each in the first lane that was free when it began.
  #packed(bars) {
    const until = [];
    const known = (bar) => this.#lanes.get(bar.id) ?? LANES_MAX;
    for (const bar of bars.sort((a, b) => (known(a) === LANES_MAX) - (known(b) === LANES_MAX) || a.began - b.began)) {
      let lane = known(bar);
      if (lane === LANES_MAX) {
        lane = until.findIndex((end) => (end ?? 0) <= bar.began);
        if (lane < 0) lane = until.length;
      }
      until[lane] = Math.max(until[lane] ?? 0, bar.ended);
      bar.lane = lane;
    }
    return until.length;
  }

  #draw() {
    const width = this.clientWidth;
    if (!this.#given || !width) return;
    const { now, bars } = this.#given;
    const workers = new Map();
    for (const bar of bars) {
      if (!workers.has(bar.worker)) workers.set(bar.worker, []);
      workers.get(bar.worker).push(bar);
    }
    const groups = [...workers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, all]) => ({ name, bars: all, lanes: Math.min(this.#packed(all), LANES_MAX) }));
    this.#lanes = new Map(bars.map((bar) => [bar.id, bar.lane]));
    const height = groups.reduce((sum, { lanes }) => sum + HEAD + lanes * LANE, FOOT);
    const scale = devicePixelRatio || 1;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    this.#canvas.style.height = `${height}px`;
    const pen = this.#canvas.getContext("2d");
    pen.scale(scale, scale);
    this.#axis(pen, width, height);
    const x = (at) => width * (1 - (now - at) / WINDOW_MS);
    const lost = hatched(pen, ink("alarm"));
    const alarm = ink("alarm");
    this.#drawn = [];
    let top = 0;
    for (const group of groups) {
      pen.fillStyle = ink("mute");
      pen.font = "12px system-ui, sans-serif";
      pen.fillText(group.name || "a worker whose name is not known", 0, top + HEAD - 6);
      for (const bar of group.bars) {
        if (bar.lane >= LANES_MAX) continue;
        const left = Math.max(0, x(bar.began));
        const box = { ...bar, x: left, y: top + HEAD + bar.lane * LANE, width: Math.max(1.5, x(bar.ended) - left), ms: bar.ended - bar.began };
        pen.fillStyle = bar.outcome === "failed" ? alarm : bar.outcome === "lost" ? lost : colours.get(bar.name);
        pen.globalAlpha = bar.outcome === "running" ? 0.55 : bar.outcome === "cancelled" ? 0.3 : 1;
        pen.fillRect(box.x, box.y, box.width, LANE - 2);
        this.#drawn.push(box);
      }
      pen.globalAlpha = 1;
      top += HEAD + group.lanes * LANE;
    }
  }

  #axis(pen, width, height) {
    pen.strokeStyle = ink("line");
    pen.fillStyle = ink("mute");
    pen.font = "11px system-ui, sans-serif";
    for (let s = 0; s <= 60; s += width < 500 ? 20 : 10) {
      const at = width * (1 - s / 60);
      pen.beginPath();
      pen.moveTo(at, 0);
      pen.lineTo(at, height - FOOT + 4);
      pen.stroke();
      pen.textAlign = s === 0 ? "right" : s === 60 ? "left" : "center";
      pen.fillText(s ? `${s} s ago` : "now", at, height - 3);
    }
    pen.textAlign = "left";
  }
}
customElements.define("raftwork-timeline", Timeline);

function hatched(pen, stroke) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const draw = tile.getContext("2d");
  draw.strokeStyle = stroke;
  draw.lineWidth = 2;
  draw.beginPath();
  draw.moveTo(-1, 4); draw.lineTo(4, -1);
  draw.moveTo(2, 7); draw.lineTo(7, 2);
  draw.stroke();
  return pen.createPattern(tile, "repeat");
}

// `told` as the API has it, `tasks` those that run; `open` is called with the id of what is pressed.
export function timeline(told, at, tasks, open) {
  const now = told.now + Date.now() - at;
  const ended = told.bars.map(([began, end, worker, name, outcome, id]) => ({ began, ended: end, worker: told.workers[worker], name: told.names[name], outcome, id }));
  const bars = ended.concat(tasks.map((one) => ({ began: now - one.age * 1000, ended: now, worker: one.worker, name: one.name, outcome: "running", id: one.id })));
  const names = new Map();
  for (const bar of bars) names.set(bar.name, (names.get(bar.name) || 0) + 1);
  give(names.keys());
  const most = [...names].sort((a, b) => b[1] - a[1]).slice(0, NAMES_SHOWN);
  const words = `Timeline of the last minute: ${ended.length} attempts ended and ${tasks.length} run; the table below has what runs`;
  return html`<figure class="chart"><raftwork-timeline role="img" aria-label=${words} .given=${{ now, bars, open }}></raftwork-timeline>
    <figcaption class="quiet">${most.map(([name]) => html`<span class="named"><svg viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" rx="2"
      fill=${colours.get(name)}></rect></svg>${name}</span>`)}<span>red: failed, hatched: lost, pale: runs</span></figcaption></figure>`;
}
