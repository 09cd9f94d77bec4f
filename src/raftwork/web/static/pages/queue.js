import { query } from "../api.js";
import { bytes, count, rate } from "../format.js";
import { button, facts, figure, html, inQueue, nothing, state, table, to, used, waiting, when } from "../parts.js";
import { placement } from "../placement.js";
import { actions } from "./queues.js";

let editing = null; // the name of the queue that is

export const queue = {
  heading: ({ name }) => `Queue ${name}`,
  needs: ({ name = "" }) => ({ queue: { path: query("queue", { name }), every: 1_500 } }),
  view({ live, said, may, change, draw }) {
    return html`<h1 tabindex="-1">Queue ${said.name}</h1>${waiting(live.get("queue"), ({ queue: own, rates, placement: told, limits, stale }) => html`
      ${stale ? html`<p class="problem">There is no leader: these are the counters of the most advanced broker.</p>` : nothing}
      ${own.paused ? html`<p>${state("paused")} ${own.paused_until ? html`<span class="quiet">ends ${when(own.paused_until)}</span>` : html`<span class="quiet">until it is resumed</span>`}</p>` : nothing}
      <dl class="figures">
        ${figure("Queued", searched(own, "queued"), own.delayed ? `${count(own.delayed)} of them wait for a retry` : bytes(own.bytes))}
        ${figure("Running", searched(own, "running"), own.slots ? `of ${count(own.slots)} slots` : "no worker")}
        ${figure("Later", searched(own, "scheduled"), own.blocked ? `${count(own.blocked)} blocked` : nothing)}
        ${figure("Entered a second", rate(rates.entered), "over a minute")}
        ${figure("Ended a second", rate(rates.ended), `${count(own.succeeded + own.failed + own.lost + own.cancelled)} in all`)}
        ${figure("Failed a second", rate(rates.failed), `${count(own.failed + own.lost)} in all`, rates.failed > 0)}
      </dl>
      <p class="actions">${actions(own, may, change)}</p>
      <p><a href=${to("tasks", { q: inQueue(own.name) })}>Its tasks</a> · <a href=${to("dead", { queue: own.name })}>its dead tasks</a></p>
      <section><h2>Settings</h2>${settings(own)}
        ${may("admin") ? html`<p class="actions">${button(editing === own.name ? "Leave as it is" : "Change them", () => { editing = editing === own.name ? null : own.name; draw(); })}</p>` : nothing}
        ${editing === own.name ? form(own, change, draw) : nothing}</section>
      <section><h2>Limits</h2>${applying(own, limits)}</section>
      <section><h2>Workers</h2>${placement(told)}</section>`)}`;
  },
};

const searched = (own, what) => html`<a href=${to("tasks", { q: `state:${what} ${inQueue(own.name)}` })}>${count(own[what])}</a>`;

const COUNTED = new Set(["name", "queued", "delayed", "running", "scheduled", "blocked", "succeeded", "failed", "lost", "cancelled", "bytes", "paused", "paused_until", "workers", "slots"]);

function settings(own) {
  const set = Object.entries(own).filter(([name, value]) => !COUNTED.has(name) && value !== null && value !== "");
  if (!set.length) return html`<p class="quiet">Nothing is set: any number of tasks, at any rate, by the cluster's balancer. <code>raftwork queue set</code> changes that.</p>`;
  return facts(set.map(([name, value]) => [name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value)]));
}

// The queue's own, and those that its unfinished tasks name or that are of their kind.
function applying(own, limits) {
  const itself = own.concurrency || own.rate
    ? [{ name: "this queue", own: true, concurrency: own.concurrency ?? null, rate: own.rate, running: own.running, here: own.running }]
    : [];
  return table({
    caption: "Limits of its tasks",
    rows: [...itself, ...limits],
    key: (one) => (one.own ? "" : one.name),
    empty: "No limit holds back what is in it.",
    columns: [
      { name: "Limit", wide: true, cell: (one) => html`${one.own ? one.name : html`<a href=${to("limits")}>${one.name}</a>`}${one.paused ? html` ${state("paused")}` : nothing}` },
      { name: "In use", cell: (one) => used(one) },
      { name: "Of this queue", num: true, cell: (one) => count(one.here) },
      { name: "Rate", cell: (one) => one.rate || html`<span class="quiet">–</span>` },
      { name: "Counts by", cell: (one) => (one.per ? `${one.per}, ${count(one.in_use)} in use` : html`<span class="quiet">all together</span>`) },
    ],
  });
}

const FIELDS = { concurrency: "At once", rate: "Rate, as 100/m", max_length: "May wait", balancer: "Balancer" };

// An empty field is no setting.
function form(own, change, draw) {
  const save = async (event) => {
    event.preventDefault();
    const given = { queue: own.name };
    const unset = [];
    for (const [name, text] of new FormData(event.target)) {
      if (text === String(own[name] ?? "")) continue;
      if (!text) unset.push(name);
      else given[name] = ["concurrency", "max_length"].includes(name) ? Number(text) : text;
    }
    if (unset.length) given.unset = unset;
    if (Object.keys(given).length > 1 && await change("queues/set", given, { done: () => "Changed." })) editing = null;
    draw();
  };
  return html`<form class="fields" @submit=${save}>${Object.entries(FIELDS).map(([name, label]) => html`<label>${label}
    <input name=${name} autocomplete="off" maxlength="255" .defaultValue=${String(own[name] ?? "")}></label>`)}
    <button type="submit" class="main">Save</button></form>`;
}
