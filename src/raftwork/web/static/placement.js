// Who gets a queue's next task: its workers as its balancer sees them, the best first.

import { count } from "./format.js";
import { html, nothing, state, table, to } from "./parts.js";

export function placement(told, own = null) {
  const first = told.workers[0];
  const why = told.next
    ? html`<b>${told.next}</b> is next: no worker has a lower score.`
    : !told.workers.length ? "No worker serves it."
      : !told.workers.some((one) => one.takes) ? "No worker takes tasks now."
        : first.free === 0 ? "No slot is free: who ends a task first is next."
          : `${told.balancer || "Its balancer"} goes by turns, by keys or by dice: who is next has no number.`;
  return html`<p>${why} <span class="quiet">Balancer: ${told.balancer || "not known"}.</span></p>
    ${table({
      caption: `Workers of ${told.queue}, the best first`,
      rows: told.workers,
      key: (one) => `${one.name} ${one.host} ${one.pid}`,
      empty: "None.",
      columns: [
        { name: "Worker", wide: true, cell: (one) => html`${one.name === own ? html`<b>${one.name}</b>` : html`<a href=${to("worker", { name: one.name })}>${one.name}</a>`}
          ${one.reason ? html`<div class="small quiet">${one.reason}</div>` : nothing}` },
        { name: "Takes tasks", cell: (one) => (one.takes ? state("well", "yes") : state("warning", "no")) },
        { name: "Has", num: true, cell: (one) => `${count(one.busy)} of ${count(one.slots)}` },
        { name: "Weight", num: true, cell: (one) => one.weight.toFixed(2) },
        { name: "Score", num: true, cell: (one) => (one.score === null ? html`<span class="quiet">–</span>` : one.score.toFixed(3)) },
      ],
    })}
    ${told.workers.some((one) => one.score !== null) ? html`<p class="quiet">${told.balancer === "least_loaded"
      ? "Score: (tasks that it has + 1) / slots." : "Score: (tasks that it has + 1) / (slots × weight)."} The least is next.</p>` : nothing}`;
}
