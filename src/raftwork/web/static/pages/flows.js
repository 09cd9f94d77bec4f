import { query } from "../api.js";
import { count } from "../format.js";
import { button, html, nothing, shortId, state, svg, table, taskLink, to, waiting, when } from "../parts.js";
import { layered } from "../layout.js";

const ENDED = new Set(["succeeded", "failed", "lost", "cancelled"]);

export const flows = {
  title: "Flows",
  needs: ({ before = "" }) => ({ flows: { path: query("flows", { before, limit: 50 }), every: before ? 0 : 3_000 } }),
  view({ live, said, go }) {
    const open = (event) => {
      event.preventDefault();
      const id = new FormData(event.target).get("id").trim();
      if (id) go("flow", { id });
    };
    return html`<h1 tabindex="-1">Flows</h1>
      <form class="search" @submit=${open}><label class="hidden" for="id">Id of a flow</label>
        <input id="id" name="id" placeholder="Id of a flow" spellcheck="false" autocomplete="off" maxlength="255"><button type="submit" class="main">Open</button></form>
      ${waiting(live.get("flows"), (data) => html`${table({
        caption: "Flows, newest first",
        rows: data.flows,
        key: (one) => one.id,
        empty: "None found.",
        columns: [
          { name: "State", cell: (one) => state(one.status) },
          { name: "Flow", wide: true, cell: (one) => html`<a class="id" href=${to("flow", { id: one.id })}>${one.id}</a>` },
          { name: "Enqueued", num: true, cell: (one) => when(one.enqueued) },
          { name: "Ended", num: true, cell: (one) => when(one.ended) },
        ],
      })}
      <p class="pager"><span class="quiet">${count(data.scanned)} tasks looked at.</span>
        ${data.before ? html`<a href=${to("flows", { before: data.before })}>Older</a>` : nothing}
        ${said.before ? html`<a href=${to("flows")}>Newest</a>` : nothing}</p>`)}`;
  },
};

export const flow = {
  title: "Flow",
  heading: ({ id }) => `Flow ${id}`,
  needs: ({ id }) => ({ flow: { path: query("flow", { id }), every: 1_500, until: (data) => ENDED.has(data.status) } }),
  view({ live, may, change, go }) {
    return waiting(live.get("flow"), (data) => html`
      <h1 tabindex="-1">Flow ${state(data.status)}</h1>
      <p class="id">${data.id} <a href=${to("task", { id: data.id })}>as a task</a></p>
      <p>${count(data.nodes.length)}${data.more ? " of its" : ""} tasks: ${summary(data.nodes)}</p>
      <p class="actions">${actions(data, may, change, go)}</p>
      ${data.nodes.length && data.nodes.length <= DRAWN_MAX ? graph(data.nodes) : nothing}
      ${table({
        caption: "Tasks of the flow",
        rows: data.nodes,
        key: (node) => node.id,
        empty: "It has no task.",
        columns: [
          { name: "State", cell: (node) => state(node.status) },
          { name: "Task", wide: true, cell: (node) => (node.name ? taskLink(node.id, node.name) : html`<span class="quiet">join</span>`) },
          { name: "Id", cell: (node) => taskLink(node.id, shortId(node.id)) },
          { name: "Needs", num: true, cell: (node) => count(node.needs.length) },
        ],
      })}`);
  },
};

function summary(nodes) {
  const found = new Map();
  for (const node of nodes) found.set(node.status, (found.get(node.status) || 0) + 1);
  return [...found].map(([word, many], at) => html`${at ? ", " : ""}${count(many)} ${state(word)}`);
}

function actions(data, may, change, go) {
  if (!may("operator")) return nothing;
  const cancel = () => change("tasks/cancel", { flow: data.id }, {
    ask: { title: "Cancel this flow?", text: "All of its tasks that have not ended are cancelled, or asked to end.", action: "Cancel the flow", alarm: true },
    done: (answer) => `${count(answer.cancelled)} tasks were cancelled, or asked to end.`,
  });
  const retry = async () => {
    const answer = await change("flows/retry", { id: data.id }, {
      ask: { title: "Run what failed again?", text: "A new flow is made, which shares what has succeeded.", action: "Run again" },
      done: (made) => `Goes on as ${made.id}.`,
    });
    if (answer) go("flow", { id: answer.id });
  };
  if (!ENDED.has(data.status)) return button("Cancel the flow", cancel, { alarm: true });
  return data.status === "succeeded" ? nothing : button("Run what failed again", retry);
}

// ---- the graph ------------------------------------------------------------------------------------

const DRAWN_MAX = 150;
const WIDTH = 150;
const HEIGHT = 34;
const ACROSS = 60;
const DOWN = 14;

function graph(nodes) {
  const { places, edges, columns, rows } = layered(nodes);
  const width = columns * (WIDTH + ACROSS) - ACROSS + 2;
  const height = rows * (HEIGHT + DOWN) - DOWN + 2;
  const x = (place) => 1 + place.column * (WIDTH + ACROSS);
  const y = (place) => 1 + place.row * (HEIGHT + DOWN);
  const line = ([from, into]) => {
    const [a, b, c, d] = [x(from) + WIDTH, y(from) + HEIGHT / 2, x(into), y(into) + HEIGHT / 2];
    const bend = Math.max((c - a) / 2, 20);
    return svg`<path class="edge" d=${`M${a} ${b}C${a + bend} ${b} ${c - bend} ${d} ${c} ${d}`}/>`;
  };
  const box = (node) => {
    const place = places.get(node.id);
    const name = node.name || "join";
    return svg`<a href=${to("task", { id: node.id })}><g class="node" data-state=${node.status}
      transform=${`translate(${x(place)} ${y(place)})`}><title>${`${name}: ${node.status}, ${node.id}`}</title>
      <rect width=${WIDTH} height=${HEIGHT} rx="3"/><text x="10" y="15">${cut(name)}</text>
      <text class="word" x="10" y="28">${node.status}</text></g></a>`;
  };
  return html`<div class="graph" tabindex="0" role="region" aria-label="Graph of the flow; the table below says the same"><svg width=${width}
    height=${height} viewBox=${`0 0 ${width} ${height}`}>${edges.map(line)}${nodes.map(box)}</svg></div>`;
}

// What tells two names apart is at their end.
const cut = (name) => (name.length > 21 ? `…${name.slice(-20)}` : name);
