import { act, query } from "../api.js";
import { say } from "../ask.js";
import { count } from "../format.js";
import { button, html, nothing, shortId, state, table, taskLink, to, waiting, when } from "../parts.js";

const chosen = new Set(); // ids
let bulk = null; // what is done to many just now: { words, stop }

export const dead = {
  needs: ({ queue = "", name = "", error = "", before = "" }) => ({
    dead: { path: query("dead", { queue, name, error, before, limit: 50 }), every: before ? 0 : 3_000 },
  }),
  view({ live, said, may, change, go, draw }) {
    const search = (event) => {
      event.preventDefault();
      chosen.clear();
      go("dead", Object.fromEntries([...new FormData(event.target)].filter(([, text]) => text)));
    };
    return html`<h1 tabindex="-1">Dead tasks</h1>
      <p class="quiet lead">What failed for good or was lost, as long as it is kept. Run again it is a new task; purged it is forgotten, and its outcome stays.</p>
      <form class="search" role="search" @submit=${search}>${["queue", "name", "error"].map((field) => html`<label class="hidden" for=${field}>${field}</label>
        <input id=${field} name=${field} autocomplete="off" spellcheck="false" maxlength="255" placeholder=${HINTS[field]} .value=${said[field] || ""}>`)}
        <button type="submit" class="main">Show</button></form>
      ${waiting(live.get("dead"), (data) => html`${acts(data, said, { may, change, draw })}${found(data, said, draw)}`)}`;
  },
};

const HINTS = { queue: "queue", name: "name, or mail.*", error: "a part of the error" };

function found(data, said, draw) {
  const choose = (id) => (event) => {
    if (event.target.checked) chosen.add(id);
    else chosen.delete(id);
    draw();
  };
  return html`${table({
    caption: "Dead tasks, newest first",
    rows: data.tasks,
    key: (one) => one.id,
    empty: "None.",
    columns: [
      { name: "Choose", cell: (one) => html`<input type="checkbox" aria-label=${`Choose ${one.name} ${one.id}`} .checked=${chosen.has(one.id)} @change=${choose(one.id)}>` },
      { name: "Task", wide: true, cell: (one) => html`<a href=${to("task", { id: one.id })}>${one.name}</a>
        <div class="small clip" title=${one.error}>${one.error}</div>` },
      { name: "State", cell: (one) => state(one.status) },
      { name: "Id", cell: (one) => taskLink(one.id, shortId(one.id)) },
      { name: "Queue", cell: (one) => one.queue },
      { name: "Ended", num: true, cell: (one) => when(one.ended) },
      { name: "Attempts", num: true, cell: (one) => count(one.attempts) },
      { name: "Retried as", cell: (one) => (one.retried_as ? taskLink(one.retried_as, shortId(one.retried_as)) : html`<span class="quiet">–</span>`) },
    ],
  })}
  <p class="pager"><span class="quiet">${count(data.looked_at)} dead tasks looked at.</span>
    ${data.before ? html`<a href=${to("dead", { ...said, before: data.before })}>Older</a>` : nothing}
    ${said.before ? html`<a href=${to("dead", without(said))}>Newest</a>` : nothing}</p>`;
}

const without = ({ before: _before, ...rest }) => rest;

function acts(data, said, tools) {
  const { may, draw } = tools;
  if (bulk) {
    return html`<p class="actions" aria-live="polite">${bulk.words} ${bulk.stop ? "Stops." : button("Stop", () => { bulk.stop = true; draw(); })}</p>`;
  }
  if (!data.tasks.length || !may("operator")) return nothing;
  const ids = data.tasks.filter((one) => chosen.has(one.id)).map((one) => one.id);
  const some = ids.length ? { ids } : { filter: true, ...without(said) };
  const which = ids.length ? (ids.length === 1 ? "it" : `these ${count(ids.length)}`) : Object.keys(without(said)).length ? "all of this filter" : "all";
  return html`<p class="actions">${button(`Run ${which} again`, () => many(AGAIN, some, tools))}
    ${may("admin") ? button(`Purge ${which}`, () => many(PURGE, some, tools), { alarm: true }) : nothing}</p>`;
}

const AGAIN = {
  path: "dead/retry", title: "Run them again?", action: "Run them", done: "enqueued once more",
  text: "New tasks with the same arguments and all their retries are enqueued. What was retried before is not again.",
  many: (answer) => Object.keys(answer.retried).length,
  refused: (answer) => [...Object.values(answer.refused), ...answer.left.map(() => answer.stopped)],
};
const PURGE = {
  path: "dead/purge", title: "Purge them?", action: "Purge them", alarm: true, done: "forgotten",
  text: "They can no longer be looked at or run again. Their outcomes stay.",
  many: (answer) => answer.purged,
  refused: () => [],
};

async function many(what, some, { change, draw }) {
  const preview = some.ids
    ? Promise.resolve({ text: "Among them:", items: some.ids.slice(0, 10) })
    : act(what.path, { ...some, preview: true }).then((would) => ({
      text: `${would.more ? "More than " : ""}${count(would.would)} ${would.would === 1 ? "task" : "tasks"}${would.sample.length ? ", among them:" : "."}`,
      items: would.sample.map((one) => `${one.name} ${one.id}`),
      stop: !would.would && !would.more,
    }));
  const ask = { title: what.title, text: what.text, action: what.action, alarm: what.alarm, preview };
  const refused = [];
  let done = 0;
  const words = () => `${count(done)} ${done === 1 ? "task was" : "tasks were"} ${what.done}${refused.length ? `, ${count(refused.length)} were not: ${refused[0]}` : ""}.`;
  const take = (answer) => {
    done += what.many(answer);
    refused.push(...what.refused(answer));
    return words();
  };
  let answer = await change(what.path, some, { ask, done: take });
  bulk = { words: "", stop: false };
  while (answer?.before && !answer.stopped && !bulk.stop) {
    bulk.words = words();
    draw();
    answer = await change(what.path, { ...some, before: answer.before }, { done: take });
  }
  bulk = null;
  if (done) {
    chosen.clear();
    say(words());
  }
  draw();
}
