import { chart } from "../chart.js";
import { MARKS, marked, marksOf } from "../marks.js";
import { count, duration, rate } from "../format.js";
import { figure, html, inQueue, nothing, share, state, table, taskLink, to, waiting, when } from "../parts.js";

// Points are asked for whole: some 20 kB an hour, packed.
export const overview = {
  title: "Overview",
  needs: () => ({
    history: { path: "history", every: 5_000 },
    queues: { path: "queues", every: 2_000 },
    marks: MARKS,
  }),
  view({ live, may, change }) {
    return html`<h1 tabindex="-1">Overview</h1>${waiting(live.get("status"), (data) => html`
      ${alarms(data)}
      ${figures(data)}
      ${charts(live.get("history").data?.points || [], marksOf(live))}
      <div class="columns">
        <section><h2>Queues</h2>${waiting(live.get("queues"), busiest)}</section>
        <section><h2>Brokers</h2>${brokers(data)}</section>
      </div>
      ${marked(marksOf(live), { may, change })}
      <section><h2>Latest events</h2>${events(live)}</section>`)}`;
  },
};

export function alarms(data) {
  if (!data.alarms.length) {
    return html`<p class="lead" aria-live="polite">All is well: ${count(data.brokers.length)} ${data.brokers.length === 1 ? "broker answers" : "brokers answer"}, and what waits has workers.</p>`;
  }
  return html`<ul class="alarms" aria-live="polite">${data.alarms.map((alarm) => html`<li
    data-severity=${alarm.severity}>${state(alarm.severity, alarm.text)}${alarm.remedy ? html`<span class="quiet"> → ${alarm.remedy}</span>` : nothing}</li>`)}</ul>`;
}

function figures({ totals, rates }) {
  const ended = totals.succeeded + totals.failed + totals.lost + totals.cancelled;
  return html`<dl class="figures">
    ${figure("Running", count(totals.running), totals.slots ? `of ${count(totals.slots)} slots` : nothing)}
    ${figure("Queued", count(totals.queued))}
    ${figure("Later", count(totals.scheduled), totals.blocked ? `${count(totals.blocked)} blocked` : nothing)}
    ${figure("Ended a second", rate(rates.ended), `${count(ended)} in all`)}
    ${figure("Failed a second", rate(rates.failed), `${count(totals.failed + totals.lost)} in all`, rates.failed > 0)}
    ${figure("Workers", count(totals.workers))}
  </dl>`;
}

function charts(points, marks) {
  return html`<div class="columns">
    ${chart("Tasks a second", points, [
      { name: "ended", colour: "accent", fill: true, of: (p) => p[1] },
      { name: "failed", colour: "alarm", of: (p) => p[2] },
    ], marks)}
    ${chart("Tasks", points, [
      { name: "queued", colour: "mute", fill: true, of: (p) => p[3] },
      { name: "running", colour: "accent", of: (p) => p[4] },
    ], marks)}
  </div>`;
}

const SHOWN = 8;

function busiest({ queues }) {
  const rows = [...queues].sort((a, b) => b.queued + b.running - a.queued - a.running).slice(0, SHOWN);
  return html`${table({
    caption: "The busiest queues",
    rows,
    key: (queue) => queue.name,
    empty: "No queue has, or had, a task.",
    columns: [
      { name: "Queue", wide: true, cell: (q) => html`<a href=${to("tasks", { q: inQueue(q.name) })}>${q.name}</a>${q.paused ? html` ${state("paused")}` : nothing}` },
      { name: "Queued", num: true, cell: (q) => count(q.queued) },
      { name: "Running", num: true, cell: (q) => count(q.running) },
      { name: "Slots", cell: (q) => (q.slots ? share(q.running, q.slots, `${count(q.running)} of ${count(q.slots)}`) : html`<span class="quiet">no worker</span>`) },
    ],
  })}${queues.length > SHOWN ? html`<p><a href=${to("queues")}>All ${count(queues.length)} queues</a></p>` : nothing}`;
}

function brokers({ brokers: rows }) {
  return table({
    caption: "Brokers",
    rows,
    key: (broker) => broker.name,
    columns: [
      { name: "Broker", wide: true, cell: (b) => html`<a href=${to("cluster")}>${b.name}</a>` },
      { name: "Role", cell: (b) => state(b.role) },
      { name: "Applied", num: true, cell: (b) => count(b.applied) },
      { name: "fsync p99", num: true, cell: (b) => duration(b.facts?.fsync.p99) },
      { name: "Up", num: true, quiet: true, cell: (b) => duration(b.facts?.uptime) },
    ],
  });
}

// ---- events ---------------------------------------------------------------------------------------

const NEWEST = 12;
// Which state an event's word looks like; another one's is a name.
const LOOKS = {
  enqueued: "queued", assigned: "running", finished: "succeeded", failed: "failed", lost: "lost",
  cancelled: "cancelled", expired: "cancelled", retried: "scheduled", released: "queued",
  postponed: "scheduled", replaced: "blocked", dead: "failed", redriven: "queued", paused: "paused",
  flow_finished: "succeeded", flow_failed: "failed", flow_cancelled: "cancelled", worker_lost: "lost",
};

function events(live) {
  return html`${table({
    caption: "The latest events, the newest first",
    rows: live.events.slice(0, NEWEST),
    key: (event) => event.cursor,
    empty: "None since this page was opened.",
    columns: [
      { name: "Event", cell: ({ kind }) => state(LOOKS[kind] || "queued", kind.replaceAll("_", " ")) },
      { name: "Of", wide: true, cell: (event) => about(event) },
      { name: "Queue", cell: ({ queue }) => queue || html`<span class="quiet">–</span>` },
      { name: "Worker", cell: ({ worker }) => worker || html`<span class="quiet">–</span>` },
      { name: "What", rest: true, cell: ({ text, run }) => text || (run ? `ran ${duration(run)}` : html`<span class="quiet">–</span>`) },
      { name: "At", num: true, quiet: true, cell: ({ at }) => when(at) },
    ],
  })}${live.skipped ? html`<p class="quiet">${count(live.skipped)} more happened, and are not listed.</p>` : nothing}`;
}

function about({ kind, id, name }) {
  if (!id) return name || html`<span class="quiet">–</span>`;
  if (kind.startsWith("schedule")) return html`<a href=${to("schedules")}>${id}</a>`;
  if (kind.startsWith("flow_")) return html`<a href=${to("flow", { id })}>${id}</a>`;
  return taskLink(id, name || id);
}
