import { count } from "../format.js";
import { button, html, inQueue, nothing, shortId, state, table, taskLink, to, waiting, when } from "../parts.js";

export const failures = {
  title: "Failures",
  needs: () => ({ failures: { path: "failures", every: 5_000 } }),
  view({ live, may, change }) {
    return html`<h1 tabindex="-1">Failures</h1>${waiting(live.get("failures"), (data) => html`
      <p class="quiet">${data.more ? "The newest" : "All"} ${count(data.looked_at)} tasks that ended without a value and are kept, by what went wrong.</p>
      ${data.groups.length ? data.groups.map((group) => one(group, may, change)) : html`<p class="lead">Nothing failed.</p>`}`)}`;
  },
};

function one(group, may, change) {
  const left = group.ids.length;
  return html`<details class="group">
    <summary><span class="many">${count(group.count)}</span><span class="what"><b>${group.name}</b>
      <span class="clip">${group.error}</span></span><span class="quiet">last ${when(group.last)}</span></summary>
    <div class="inside">
      <p>${group.lost ? html`${state("lost", `${count(group.lost)} lost`)} · ` : nothing}first ${when(group.first)} · in
        ${group.queues.map((queue, at) => html`${at ? ", " : ""}<a href=${to("tasks", { q: inQueue(queue) })}>${queue}</a>`)}
        ${group.retried ? html` · ${count(group.retried)} retried` : nothing}
        ${may("operator") && left ? button(`Run ${left === 1 ? "it" : `all ${count(left)}`} again`, () => retry(group, change)) : nothing}</p>
      ${table({
        caption: `Tasks that failed so: ${group.name}`,
        rows: group.tasks,
        key: (task) => task.id,
        columns: [
          { name: "State", cell: (task) => state(task.status) },
          { name: "Id", cell: (task) => taskLink(task.id, shortId(task.id)) },
          { name: "Ended", num: true, cell: (task) => when(task.ended) },
          { name: "Attempts", num: true, cell: (task) => count(task.attempts) },
          { name: "Error", rest: true, cell: (task) => task.error },
          { name: "Retried as", cell: (task) => (task.retried_as ? taskLink(task.retried_as, shortId(task.retried_as)) : html`<span class="quiet">–</span>`) },
        ],
      })}
      ${group.count > group.tasks.length ? html`<p class="quiet">The newest ${count(group.tasks.length)} of ${count(group.count)}.</p>` : nothing}
    </div>
  </details>`;
}

function retried({ retried: made, refused, left, stopped }) {
  const why = [...Object.values(refused), ...left.map(() => stopped)];
  const words = `${count(Object.keys(made).length)} tasks were enqueued once more`;
  return why.length ? `${words}, ${count(why.length)} were not: ${why[0]}` : `${words}.`;
}

const retry = (group, change) => change("dead/retry", { ids: group.ids }, {
  ask: {
    title: `Run ${count(group.ids.length)} tasks again?`, action: "Run them",
    text: `New tasks with the arguments of those of ${group.name} that failed with: ${group.error}`,
    preview: Promise.resolve({ text: "Among them:", items: group.ids.slice(0, 10) }),
  },
  done: retried,
});
