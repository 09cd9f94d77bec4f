// What several pages show alike. Text from outside (names, arguments, errors) only ever goes into
// `${}` of a template, which makes text of it, never markup.

import { html, svg, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { repeat } from "./vendor/lit-html-3.3.3/directives/repeat.js";
import { ago, count, instant, percent } from "./format.js";

export { html, svg, nothing, repeat };

// Where a view is: `#/task?id=…`. Values may be anything.
export function to(page, values = {}) {
  const said = new URLSearchParams(values).toString();
  return `#/${page}${said ? `?${said}` : ""}`;
}

// A queue's name may have quotes and spaces: the search is told it as one word.
export const inQueue = (queue) => `queue:'${queue.replaceAll("'", `'"'"'`)}'`;

const SHAPES = {
  queued: svg`<circle cx="6" cy="6" r="4"/>`,
  running: svg`<circle class="full" cx="6" cy="6" r="4.5"/>`,
  scheduled: svg`<circle cx="6" cy="6" r="4.5"/><path d="M6 3.2V6l2 1.4"/>`,
  blocked: svg`<rect x="2" y="2" width="8" height="8" rx="1"/>`,
  succeeded: svg`<path d="m2 6.5 3 3 5-7"/>`,
  failed: svg`<path d="m2.5 2.5 7 7m0-7-7 7"/>`,
  lost: svg`<path d="M6 1.8 11 10.5H1z"/><path d="M6 5v2.4"/>`,
  cancelled: svg`<circle cx="6" cy="6" r="4.5"/><path d="m3 9 6-6"/>`,
  paused: svg`<path d="M4 2.5v7m4-7v7"/>`,
};
const ALIKE = {
  active: "running", leader: "running", leads: "running", draining: "scheduled",
  follower: "queued", follows: "queued", candidate: "scheduled", learner: "blocked",
  unreachable: "failed", well: "succeeded", error: "failed", warning: "lost",
};
const ALARMING = new Set(["failed", "lost", "unreachable", "error"]);

// A state by its word, and by a shape beside it.
export function state(word, text = word) {
  const shape = SHAPES[word] || SHAPES[ALIKE[word]] || SHAPES.queued;
  return html`<span class="state" data-state=${word} ?data-alarm=${ALARMING.has(word)}><svg
    viewBox="0 0 12 12" aria-hidden="true">${shape}</svg>${text}</span>`;
}

export const when = (iso) => iso
  ? html`<time datetime=${iso} title=${instant(iso)}>${ago(iso)}</time>`
  : html`<span class="quiet">–</span>`;

export const taskLink = (id, text = id) => html`<a class="id" href=${to("task", { id })}
  title=${id}>${text}</a>`;

// The end of an id tells it from its neighbours; its beginning is the time.
export const shortId = (id) => (id.length > 20 ? `…${id.slice(-12)}` : id);

// How much of something is used, as a bar with its words.
export function share(part, whole, text) {
  const full = whole > 0 ? Math.min(part / whole, 1) : 0;
  return html`<span class="share"><svg viewBox="0 0 60 6" preserveAspectRatio="none"
    aria-hidden="true"><rect class="rest" width="60" height="6" rx="1"/><rect class="part"
    width=${60 * full} height="6" rx="1"/></svg><span>${text ?? percent(full)}</span></span>`;
}

// How far a limit is used.
export function used(one) {
  if (one.concurrency === null) return html`<span class="quiet">any number</span>`;
  if (one.per) return `${count(one.concurrency)} each`;
  return share(one.running, one.concurrency, `${count(one.running)} of ${count(one.concurrency)}`);
}

// columns: { name, cell(row), num, wide, rest, quiet }. The wide one names the row, what is in the
// rest may be long. On a phone each row is a card.
export function table({ caption, columns, rows, key, empty = "None." }) {
  if (!rows.length) return html`<p class="quiet empty">${empty}</p>`;
  return html`<table role="table">
    <caption class="hidden">${caption}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map((column) => html`<th role="columnheader"
      scope="col" class=${column.num ? "num" : ""}>${column.name || html`<span
      class="hidden">Actions</span>`}</th>`)}</tr></thead>
    <tbody role="rowgroup">${repeat(rows, key, (row) => html`<tr role="row">${columns.map((column) => html`<td
      role="cell" data-name=${column.name} class=${[column.num && "num", column.wide && "wide", column.rest && "rest",
        column.quiet && "quiet", !column.name && "acts"].filter(Boolean).join(" ")}>${column.cell(row)}</td>`)}</tr>`)}</tbody>
  </table>`;
}

export function figure(name, value, note = nothing, alarm = false) {
  return html`<div class="figure" ?data-alarm=${alarm}><dt>${name}</dt><dd>${value}${note === nothing
    ? nothing : html` <small>${note}</small>`}</dd></div>`;
}

export function facts(pairs) {
  return html`<dl class="facts">${pairs.filter(([, value]) => value !== null && value !== undefined
    && value !== "").map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function button(text, run, { alarm = false, quiet = false, title = "" } = {}) {
  return html`<button type="button" class=${alarm ? "alarm" : quiet ? "quiet" : ""}
    title=${title || nothing} @click=${run}>${text}</button>`;
}

// A document that is not there yet, or never came.
export function waiting(source, show) {
  if (source.data !== undefined) return show(source.data);
  if (source.error) return html`<p class="problem" role="alert">${source.error.message}</p>`;
  return html`<p class="quiet">Asking…</p>`;
}

// A value as it would be written in JSON, cut where it gets long.
const LONG = 20_000;
export function value(of) {
  const short = JSON.stringify(of) ?? "null";
  const text = typeof of === "string" ? of : short.length <= 80 ? short : JSON.stringify(of, null, 2);
  const shown = text.length > LONG ? `${text.slice(0, LONG)}\n… ${text.length - LONG} characters more` : text;
  return html`<pre tabindex="0">${shown}</pre>`;
}
