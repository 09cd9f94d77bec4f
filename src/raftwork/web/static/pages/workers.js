import { count, percent } from "../format.js";
import { button, html, nothing, share, state, table, to, waiting } from "../parts.js";

export const workers = {
  title: "Workers",
  needs: () => ({ workers: { path: "workers", every: 1_000 } }),
  view({ live, may, change }) {
    return html`<h1 tabindex="-1">Workers</h1>${waiting(live.get("workers"), (data) => html`
      ${data.leader ? nothing : html`<p class="problem">There is no leader, and only the leader knows the workers.</p>`}
      ${table({
        caption: "Workers",
        rows: data.workers,
        key: (worker) => `${worker.name} ${worker.host} ${worker.pid}`,
        empty: "No worker works for this cluster: raftwork worker MODULE:APP",
        columns: [
          { name: "Worker", wide: true, cell: (w) => html`<a href=${to("worker", { name: w.name })}>${w.name}</a><div class="quiet small">${w.host}, pid ${w.pid}</div>` },
          { name: "State", cell: (w) => html`${state(w.state)}${w.reason ? html`<div class="small">${w.reason}</div>` : nothing}` },
          { name: "Slots", cell: (w) => share(w.running, w.slots, `${count(w.running)} of ${count(w.slots)}`) },
          { name: "Weight", num: true, cell: (w) => html`<span title=${terms(w.terms)}>${w.weight.toFixed(2)}</span>` },
          { name: "CPU", num: true, cell: (w) => percent(w.cpu) },
          { name: "Memory", num: true, cell: (w) => percent(w.memory) },
          { name: "Queues", cell: (w) => w.queues.join(", ") },
          { name: "", cell: (w) => drains(w, { may, change }) },
        ],
      })}`)}`;
  },
};

// What its weight is the product of.
const terms = (found) => Object.entries(found).map(([name, part]) => `${name} ${part.toFixed(2)}`).join(", ");

export const drains = (worker, { may, change }) => (may("admin") && worker.state === "active"
  ? button("Drain", () => drain(worker, change)) : nothing);

const drain = (worker, change) => change("workers/drain", { worker: worker.name }, {
  ask: { title: `Drain ${worker.name}?`, text: "It hands back what it has not begun, finishes what runs, and ends.", action: "Drain" },
  done: () => `${worker.name} drains.`,
});
