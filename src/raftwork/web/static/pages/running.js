import { query } from "../api.js";
import { count, duration, percent } from "../format.js";
import { button, html, nothing, shortId, state, table, taskLink, to, waiting } from "../parts.js";
import { timeline } from "../timeline.js";

export const running = {
  needs: () => ({
    running: { path: query("running", { limit: 100 }), every: 1_000 },
    timeline: { path: "timeline", every: 2_000 },
  }),
  view({ live, may, change, go }) {
    const told = live.get("running");
    return html`<h1 tabindex="-1">Running</h1>
      ${waiting(live.get("timeline"), (data) => drawn(data, live.get("timeline").at, told.data?.tasks || [], go))}
      ${waiting(told, (data) => html`${runs(data.tasks, { may, change, since: told.at })}
        <p class="quiet">${count(data.running)} ${data.running === 1 ? "runs" : "run"}${data.running > data.tasks.length ? `; these are the ${count(data.tasks.length)} that run longest` : ""}.
          ${data.held ? `${count(data.held)} more are at a worker and have not begun, or only just.` : nothing}</p>`)}`;
  },
};

function drawn(data, at, tasks, go) {
  if (data.now === null) return html`<p class="quiet">There is no timeline: ${data.why}</p>`;
  if (!data.bars.length && !tasks.length) return html`<p class="quiet empty">Nothing ran in the last minute.</p>`;
  return html`${timeline(data, at, tasks, (id) => go("task", { id }))}
    ${data.more ? html`<p class="quiet">More ended than can be drawn: these are the newest ${count(data.bars.length)}.</p>` : nothing}`;
}

// Tasks that run, the longest first; also of one worker. `since`: when they were told.
export function runs(tasks, { may, change, since, onOne = false }) {
  const later = Math.max(0, (Date.now() - since) / 1000);
  return table({
    caption: "What runs, the longest first",
    rows: tasks,
    key: (one) => one.id,
    empty: "Nothing runs.",
    columns: [
      { name: "For", num: true, cell: (one) => duration(Math.max(one.age + later, 0)) },
      { name: "Task", wide: true, cell: (one) => html`<a href=${to("task", { id: one.id })}>${one.name}</a>
        ${one.cancelling ? html`<div class="small">${state("cancelled", "asked to end")}</div>` : one.waits ? html`<div class="small quiet">waits for other tasks</div>` : nothing}` },
      { name: "Id", cell: (one) => taskLink(one.id, shortId(one.id)) },
      { name: "Queue", cell: (one) => html`<a href=${to("queue", { name: one.queue })}>${one.queue}</a>` },
      ...(onOne ? [] : [{ name: "Worker", cell: (one) => html`<a href=${to("worker", { name: one.worker })}>${one.worker}</a>` }]),
      { name: "Attempt", num: true, cell: (one) => count(one.attempt) },
      { name: "Progress", cell: progress },
      { name: "", cell: (one) => (may("operator") && !one.cancelling ? button("Cancel", () => cancel(one, change), { title: `Cancel ${one.name} ${one.id}` }) : nothing) },
    ],
  });
}

function progress({ progress: said }) {
  if (!said) return html`<span class="quiet">–</span>`;
  return html`<progress max="1" .value=${said.fraction} aria-label="Progress"></progress> ${percent(said.fraction)}
    ${said.text ? html`<div class="small quiet">${said.text}</div>` : nothing}`;
}

const cancel = (one, change) => change("tasks/cancel", { ids: [one.id] }, {
  ask: { title: `Cancel ${one.name}?`, text: `Its code is asked to end, and has ten seconds. ${one.id}`, action: "Cancel the task", alarm: true },
  done: (answer) => (answer.cancelled ? "It was asked to end." : "It had ended already."),
});
