// Lines over the last hour, drawn by uPlot.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { inUtc, rate } from "./format.js";
import { ink } from "./ink.js";
import { drawn as drawMarks } from "./marks.js";

const HEIGHT = 150;

// The time of a tick: with seconds while there are but minutes.
function clock(plot) {
  const { min, max } = plot.scales.x;
  const write = uPlot.fmtDate(max - min < 600 ? "{HH}:{mm}:{ss}" : "{HH}:{mm}");
  return (s) => write(inUtc() ? uPlot.tzDate(new Date(s * 1000), "UTC") : new Date(s * 1000));
}

class Chart extends HTMLElement {
  #plot = null;
  #drawn = "";
  #observer = new ResizeObserver(() => this.#draw());
  #given = null;

  set given(value) {
    this.#given = value;
    if (this.isConnected) this.#draw();
  }

  connectedCallback() {
    this.#observer.observe(this);
    this.#draw();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
  }

  #draw() {
    const { data, lines } = this.#given || {};
    const width = this.clientWidth;
    if (!data || !width || typeof uPlot === "undefined") return;
    const colours = ["ink", "accent", "alarm", "mute", "line"].map(ink);
    const drawn = `${width} ${colours} ${inUtc()}`;
    if (this.#plot && drawn === this.#drawn) {
      this.#plot.setData(data);
      return;
    }
    this.#drawn = drawn;
    this.#plot?.destroy();
    const [, accent, alarm, mute, line] = colours;
    const grid = { stroke: line, width: 1 };
    const axis = { stroke: mute, font: "11px system-ui, sans-serif", grid, ticks: { show: false } };
    this.#plot = new uPlot({
      width,
      height: HEIGHT,
      legend: { show: false },
      hooks: { draw: [(plot) => drawMarks(plot, this.#given.marks, mute)] },
      cursor: { show: false },
      tzDate: inUtc() ? (at) => uPlot.tzDate(new Date(at * 1000), "UTC") : undefined,
      scales: { y: { range: (_plot, _least, most) => [0, Math.max(most * 1.1, 1)] } },
      axes: [
        { ...axis, size: 26, grid: { show: false }, space: 80, values: (plot, at) => at.map(clock(plot)) },
        { ...axis, size: 44, space: 34, values: (plot, at) => at.map((n) => (n === null ? "" : rate(n))) },
      ],
      series: [{}, ...lines.map(({ colour, fill }) => {
        const stroke = { accent, alarm, mute }[colour];
        return { stroke, width: 1.5, points: { show: false }, fill: fill ? stroke.replace("rgb(", "rgba(").replace(")", ", 0.12)") : undefined };
      })],
    }, data, this);
  }
}
customElements.define("raftwork-chart", Chart);

// lines: { name, colour, fill, of(point) }; points as the API has them.
export function chart(title, points, lines, marks = []) {
  const data = [points.map((p) => p[0]), ...lines.map(({ of }) => points.map(of))];
  const last = points.at(-1);
  const words = last ? lines.map(({ name, of }) => `${name} ${rate(of(last))}`).join(", ") : "nothing yet";
  return html`<figure class="chart">
    <figcaption><strong>${title}</strong>${lines.map(({ name, colour, of }) => html`<span class="key"
      data-colour=${colour}>${name}${last ? html` <b>${rate(of(last))}</b>` : nothing}</span>`)}</figcaption>
    ${points.length > 1
      ? html`<raftwork-chart role="img" aria-label=${`${title}: ${words}`} .given=${{ data, lines, marks }}></raftwork-chart>`
      : html`<p class="quiet empty">The chart begins with what this dashboard sees: give it ten seconds.</p>`}
  </figure>`;
}
