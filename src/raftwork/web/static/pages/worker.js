import { query } from "../api.js";
import { count, percent } from "../format.js";
import { facts, html, nothing, share, state, table, to, waiting } from "../parts.js";
import { placement } from "../placement.js";
import { runs } from "./running.js";
import { drains } from "./workers.js";

export const worker = {
  heading: ({ name }) => `Worker ${name}`,
  needs: ({ name = "" }) => ({
    worker: { path: query("worker", { name }), every: 2_000 },
    running: { path: query("running", { worker: name, limit: 100 }), every: 1_000 },
  }),
  view({ live, said, may, change }) {
    const told = live.get("running");
    return html`<h1 tabindex="-1">Worker ${said.name}</h1>${waiting(live.get("worker"), (data) => html`
      ${data.workers.map((one) => own(one, { may, change }))}
      <section><h2>What it runs</h2>${waiting(told, ({ tasks, held }) => html`${runs(tasks, { may, change, since: told.at, onOne: true })}
        ${held ? html`<p class="quiet">${count(held)} more are there and have not begun, or only just.</p>` : nothing}`)}</section>
      ${data.queues.map((each) => html`<section><h2>Next in <a href=${to("queue", { name: each.queue })}>${each.queue}</a></h2>${placement(each, said.name)}</section>`)}
      ${data.more_queues ? html`<p class="quiet">It serves ${count(data.more_queues)} queues more.</p>` : nothing}`)}`;
  },
};

const MEANING = {
  cpu: "what others leave of its CPUs", memory: "what is left before it runs short", speed: "of its code, against the fastest of the same queues",
  fresh: "how recent its last heartbeat is", queue: "a CPU's part for one more thread, by the run queue",
};

function own(one, { may, change }) {
  return html`<p>${state(one.state)} ${one.reason ? html` · ${one.reason}` : nothing}</p>
    ${facts([
      ["Slots", share(one.running, one.slots, `${count(one.running)} of ${count(one.slots)}`)],
      ["Wait for others", one.parked || null],
      ["CPU", percent(one.cpu)],
      ["CPU used by others", percent(one.others)],
      ["Memory", percent(one.memory)],
      ["Load", one.load?.toFixed(2)],
      ["Weight", one.weight.toFixed(2)],
      ["Host", `${one.host}, pid ${one.pid}`],
    ])}
    <p class="actions">${drains(one, { may, change })}</p>
    <section><h2>What its weight is made of</h2>${table({
      caption: "Terms of its weight, each 0 to 1",
      rows: Object.entries(one.terms),
      key: ([term]) => term,
      columns: [
        { name: "Term", wide: true, cell: ([term]) => html`${term} <span class="small quiet">${MEANING[term] || ""}</span>` },
        { name: "Value", cell: ([, value]) => share(value, 1, value.toFixed(2)) },
      ],
    })}</section>`;
}
