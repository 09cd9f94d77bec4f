import { count } from "../format.js";
import { button, html, nothing, state, table, used, waiting, when } from "../parts.js";

export const limits = {
  title: "Limits",
  needs: () => ({ limits: { path: "limits", every: 2_000 } }),
  view({ live, may, change }) {
    return html`<h1 tabindex="-1">Limits</h1>${waiting(live.get("limits"), (data) => table({
      caption: "Limits",
      rows: data.limits,
      key: (one) => one.name,
      empty: "There is no limit.",
      columns: [
        { name: "Limit", wide: true, cell: (one) => html`<b>${one.name}</b>${one.paused ? html` ${state("paused")}` : nothing}
          ${one.paused_until ? html` <span class="quiet">ends ${when(one.paused_until)}</span>` : nothing}` },
        { name: "At once", cell: used },
        { name: "Running", num: true, cell: (one) => count(one.running) },
        { name: "Rate", cell: (one) => one.rate || html`<span class="quiet">–</span>` },
        { name: "Burst", num: true, cell: (one) => count(one.burst) },
        { name: "Counts by", cell: (one) => (one.per ? `${one.per}, ${count(one.in_use)} in use` : html`<span class="quiet">all together</span>`) },
        { name: "", cell: (one) => (may("admin") ? action(one, change) : nothing) },
      ],
    }))}`;
  },
};

const action = (one, change) => (one.paused
  ? button("Resume", () => change("limits/resume", { limit: one.name }, { done: () => `${one.name} goes on.` }))
  : button("Pause", () => change("limits/pause", { limit: one.name }, {
    ask: { title: `Pause ${one.name}?`, text: "None of its tasks is handed out any more. What runs goes on.", action: "Pause" },
    done: () => `${one.name} is paused.`,
  })));
