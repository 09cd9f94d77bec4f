import { act } from "../api.js";
import { bytes, count } from "../format.js";
import { button, html, inQueue, nothing, share, state, table, to, waiting, when } from "../parts.js";

export const queues = {
  title: "Queues",
  needs: () => ({ queues: { path: "queues", every: 1_000 } }),
  view({ live, may, change }) {
    return html`<h1 tabindex="-1">Queues</h1>${waiting(live.get("queues"), (data) => html`
      ${data.stale ? html`<p class="problem">There is no leader: these are the counters of the most advanced broker.</p>` : nothing}
      ${table({
        caption: "Queues",
        rows: data.queues,
        key: (queue) => queue.name,
        empty: "No queue has tasks, settings or workers.",
        columns: [
          { name: "Queue", wide: true, cell: name },
          ...["queued", "running", "scheduled", "blocked"].map((what) => ({
            name: what[0].toUpperCase() + what.slice(1), num: true,
            cell: (q) => link(q, what, count(q[what])),
          })),
          { name: "Succeeded", num: true, quiet: true, cell: (q) => count(q.succeeded) },
          { name: "Failed", num: true, cell: (q) => link(q, "failed", count(q.failed + q.lost), q.failed + q.lost > 0) },
          { name: "Slots", cell: (q) => (q.slots ? share(q.running, q.slots, `${count(q.running)} of ${count(q.slots)}`) : html`<span class="quiet">no worker</span>`) },
          { name: "Waiting", num: true, quiet: true, cell: (q) => bytes(q.bytes) },
          { name: "", cell: (q) => actions(q, may, change) },
        ],
      })}`)}`;
  },
};

function link(queue, what, text, alarm = false) {
  if (text === "0") return html`<span class="quiet">0</span>`;
  return html`<a class=${alarm ? "alarm" : ""} href=${to("tasks", { q: `state:${what} ${inQueue(queue.name)}` })}>${text}</a>`;
}

function name(queue) {
  const set = [
    queue.max_length && `at most ${count(queue.max_length)} tasks`,
    queue.concurrency && `${count(queue.concurrency)} at once`,
    queue.rate && queue.rate,
    queue.balancer,
  ].filter(Boolean);
  return html`<a href=${to("queue", { name: queue.name })}>${queue.name}</a>
    ${queue.paused ? html` ${state("paused", "paused")}${queue.paused_until ? html` <span class="quiet">ends ${when(queue.paused_until)}</span>` : nothing}` : nothing}
    ${set.length ? html`<div class="quiet small">${set.join(" · ")}</div>` : nothing}`;
}

export function actions(queue, may, change) {
  const pause = queue.paused
    ? button("Resume", () => change("queues/resume", { queue: queue.name }, { done: () => `${queue.name} goes on.` }))
    : button("Pause", () => change("queues/pause", { queue: queue.name }, {
      ask: { title: `Pause ${queue.name}?`, text: "None of its tasks is handed out any more. What runs goes on, and new ones are taken in.", action: "Pause" },
      done: () => `${queue.name} is paused.`,
    }));
  const purge = () => change("queues/purge", { queue: queue.name }, {
    ask: {
      title: `Purge ${queue.name}?`, action: "Purge", alarm: true,
      text: "Every task that waits in it now is dropped, and ends as failed.",
      preview: act("queues/purge", { queue: queue.name, preview: true }).then((would) => ({
        text: `${count(would.would_purge)} tasks would be dropped${would.sample.length ? ", among them:" : "."}`,
        items: would.sample.map((one) => `${one.name || ""} ${one.id}`),
      })),
    },
    done: (answer) => `${count(answer.purged)} tasks were dropped.`,
  });
  return html`${may("operator") ? pause : nothing}${may("admin") ? button("Purge", purge, { quiet: true }) : nothing}`;
}
