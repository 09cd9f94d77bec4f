import { count, duration } from "../format.js";
import { button, html, nothing, state, table, taskLink, to, waiting, when } from "../parts.js";
import { say } from "../ask.js";

export const schedules = {
  title: "Schedules",
  needs: () => ({ schedules: { path: "schedules", every: 2_000 } }),
  view({ live, may, change, go }) {
    return html`<h1 tabindex="-1">Schedules</h1>${waiting(live.get("schedules"), (data) => table({
      caption: "Schedules",
      rows: data.schedules,
      key: (one) => one.id,
      empty: "There is no schedule.",
      columns: [
        { name: "Schedule", wide: true, cell: (one) => html`<a href=${to("schedule", { id: one.id })}>${one.id}</a>${one.paused ? html` ${state("paused")}` : nothing}
          <div class="quiet small">${one.task} in ${one.queue}</div>` },
        { name: "When", cell: (one) => html`${one.cron ? html`<code>${one.cron}</code>` : `every ${duration(one.every)}`}
          ${one.cron ? html`<div class="quiet small">${one.tz}</div>` : nothing}` },
        { name: "Next", num: true, cell: (one) => when(one.next) },
        { name: "Last", num: true, cell: (one) => (one.last ? taskLink(`${one.id}@${one.last}`, when(one.last)) : html`<span class="quiet">–</span>`) },
        { name: "Fired", num: true, cell: (one) => count(one.counts.fired) },
        { name: "Passed over", cell: (one) => missed(one.counts) },
        { name: "", cell: (one) => actions(one, may, change, go) },
      ],
    }))}`;
  },
};

function missed(counts) {
  const why = Object.entries(counts).filter(([name, many]) => name !== "fired" && many);
  return why.length ? why.map(([name, many]) => `${count(many)} ${name}`).join(", ") : html`<span class="quiet">none</span>`;
}

export function actions(one, may, change, go) {
  if (!may("operator")) return nothing;
  const run = async () => {
    const answer = await change("schedules/trigger", { id: one.id }, {
      ask: { title: `Run ${one.id} now?`, text: "A task of it is enqueued, also if it is paused.", action: "Run now" },
      done: (made) => (made.id ? "Enqueued." : "An earlier one waits or runs, and its overlap policy says to skip."),
    });
    if (answer?.id) go("task", { id: answer.id });
    else if (answer) say("An earlier one waits or runs, and its overlap policy says to skip.");
  };
  return html`${button("Run now", run)}${one.paused
    ? button("Resume", () => change("schedules/resume", { id: one.id }, { done: () => `${one.id} goes on.` }))
    : button("Pause", () => change("schedules/pause", { id: one.id }, {
      ask: { title: `Pause ${one.id}?`, text: "Its ticks are counted, and make no tasks. What runs goes on.", action: "Pause" },
      done: () => `${one.id} is paused.`,
    }))}`;
}
