import { query } from "../api.js";
import { say } from "../ask.js";
import { count, duration, instant, percent } from "../format.js";
import { taskLog } from "../log.js";
import { button, facts, html, nothing, shortId, state, table, taskLink, to, value, waiting, when } from "../parts.js";

const ENDED = new Set(["succeeded", "failed", "lost", "cancelled"]);
const TERMS = ["state:running", "state:queued", "state:scheduled", "state:blocked", "state:failed", "state:lost", "since:1h"];

export const tasks = {
  title: "Tasks",
  needs: ({ q = "", before = "" }) => ({
    // An older page stands still.
    tasks: { path: query("tasks", { q, before, limit: 50 }), every: before ? 0 : 2_000 },
  }),
  view({ live, said, go, may, change }) {
    const q = said.q || "";
    const search = (event) => {
      event.preventDefault();
      go("tasks", { q: new FormData(event.target).get("q") });
    };
    return html`<h1 tabindex="-1">Tasks</h1>
      <form class="search" role="search" @submit=${search}>
        <label class="hidden" for="q">Search</label>
        <input id="q" name="q" type="search" spellcheck="false" autocomplete="off" maxlength="1000"
          placeholder="state:failed name:mail.* queue:bulk tag:customer=7 error:Timeout" .value=${q}>
        <button type="submit" class="main">Search</button>
      </form>
      <p class="terms">${TERMS.map((term) => html`<a href=${to("tasks", { q: term })} aria-current=${q === term ? "true" : nothing}>${term}</a>`)}</p>
      ${waiting(live.get("tasks"), (data) => found(data, said, may, change))}`;
  },
};

function found(data, said, may, change) {
  const open = data.tasks.filter((one) => !ENDED.has(one.status));
  return html`${table({
    caption: "Tasks, newest first",
    rows: data.tasks,
    key: (one) => one.id,
    empty: "None found.",
    columns: [
      { name: "State", cell: (one) => state(one.status) },
      { name: "Task", wide: true, cell: (one) => html`<a href=${to("task", { id: one.id })}>${one.name || "(name not kept)"}</a>
        ${one.error ? html`<div class="small clip" title=${one.error}>${one.error}</div>` : nothing}` },
      { name: "Id", cell: (one) => taskLink(one.id, shortId(one.id)) },
      { name: "Queue", cell: (one) => one.queue || html`<span class="quiet">–</span>` },
      { name: "Attempt", num: true, cell: (one) => count(one.attempt) },
      { name: "Worker", cell: (one) => one.worker || html`<span class="quiet">–</span>` },
      { name: "Ran", num: true, cell: (one) => duration(one.run) },
      { name: "Enqueued", num: true, quiet: true, cell: (one) => when(one.enqueued) },
    ],
  })}
  <p class="pager"><span class="quiet">${count(data.scanned)} tasks looked at${said.before ? nothing : ", newest first"}.</span>
    ${data.before ? html`<a href=${to("tasks", { q: said.q || "", before: data.before })}>Older</a>` : nothing}
    ${said.before ? html`<a href=${to("tasks", { q: said.q || "" })}>Newest</a>` : nothing}
    ${may("operator") && open.length ? button(`Cancel these ${count(open.length)}`, () => cancelAll(open, change), { quiet: true }) : nothing}</p>`;
}

const cancelAll = (open, change) => change("tasks/cancel", { ids: open.map((one) => one.id) }, {
  ask: {
    title: `Cancel ${count(open.length)} tasks?`, action: "Cancel them", alarm: true,
    text: "Those of the list that have not ended. What runs is asked to end, and has ten seconds.",
    preview: Promise.resolve({ text: "Among them:", items: open.slice(0, 10).map((one) => `${one.name || ""} ${one.id}`) }),
  },
  done: (answer) => `${count(answer.cancelled)} tasks were cancelled, or asked to end.`,
});

// ---- one ------------------------------------------------------------------------------------------

export const task = {
  title: "Task",
  heading: ({ id }) => `Task ${id}`,
  needs: ({ id }) => ({
    task: { path: query("task", { id }), every: 1_500, until: (data) => ENDED.has(data.status) },
  }),
  view({ live, may, change, go, me, draw }) {
    return waiting(live.get("task"), (data) => html`
      <h1 tabindex="-1">${data.name || "(name not kept)"} ${state(data.status)}</h1>
      <p class="id">${data.id} ${copy(data.id)}</p>
      ${why(data)}
      ${progress(data.progress)}
      <p class="actions">${actions(data, may, change, go)}</p>
      ${facts([
        ["Queue", data.queue ? html`<a href=${to("queue", { name: data.queue })}>${data.queue}</a>` : null],
        ["Enqueued", data.enqueued && html`${instant(data.enqueued)} <span class="quiet">${when(data.enqueued)}</span>`],
        ["Due", data.due && html`${instant(data.due)} <span class="quiet">${when(data.due)}</span>`],
        ["Ended", data.ended && html`${instant(data.ended)} <span class="quiet">${when(data.ended)}</span>`],
        ["Hand-outs", count(data.attempt)],
        ["Failures", data.failures || null],
        ["Losses", data.losses || null],
        ["Priority", data.priority || null],
        ["Key", data.key],
        ["Tenant", data.tenant],
        ...Object.entries(data.tags).map(([key, of]) => [`Tag ${key}`, of]),
        ["Retried as", data.dead?.retried_as && taskLink(data.dead.retried_as)],
        ["Runs again", data.lineage.retry_of && taskLink(data.lineage.retry_of, shortId(data.lineage.retry_of))],
        ["In the flow", data.lineage.flow && html`<a class="id" href=${to("flow", { id: data.lineage.flow })}>${shortId(data.lineage.flow)}</a>`],
        ["Made by", data.lineage.parent && taskLink(data.lineage.parent, shortId(data.lineage.parent))],
        ["Made", data.lineage.children.length ? html`${data.lineage.children.map((id, at) => html`${at ? ", " : ""}${taskLink(id, shortId(id))}`)}${data.lineage.more ? " and more" : ""}` : null],
        ["Logs", me.log_link && html`<a href=${me.log_link.replaceAll("{task_id}", encodeURIComponent(data.id))} target="_blank" rel="noreferrer">kept elsewhere</a>`],
        ["Flow", data.name === "flow" && !data.queue ? html`<a href=${to("flow", { id: data.id })}>its graph</a>` : null],
      ])}
      ${attempts(data.attempts)}
      ${taskLog(data, { me, draw })}
      ${contents(data, me)}`);
  },
};

function why({ waits, status }) {
  if (!waits.length) return nothing;
  return html`<section class="why"><h2>${status === "running" ? "What ends it" : "Why it waits"}</h2>
    <ul class="plain">${waits.map((reason) => html`<li><span class="term">${reason.why}</span> ${reason.text}</li>`)}</ul></section>`;
}

function progress(said) {
  if (!said) return nothing;
  return html`<p><label>Progress <progress max="1" .value=${said.fraction}></progress></label> ${percent(said.fraction)}
    ${said.text} <span class="quiet">${when(said.at)}</span></p>`;
}

function actions(data, may, change, go) {
  if (!may("operator")) return nothing;
  const cancel = () => change("tasks/cancel", { ids: [data.id] }, {
    ask: { title: "Cancel this task?", text: "If it runs, its code is asked to end, and has ten seconds.", action: "Cancel the task", alarm: true },
    done: (answer) => (answer.cancelled ? "Cancelled, or asked to end." : "It had ended already."),
  });
  const retry = async () => {
    const answer = await change("dead/retry", { ids: [data.id] }, {
      ask: { title: "Run it once more?", text: "A new task with the same arguments and all its retries is enqueued.", action: "Run again" },
      done: (made) => Object.values(made.refused)[0] || "Enqueued once more.",
    });
    const id = answer?.retried[data.id];
    if (id) go("task", { id });
  };
  return html`${ENDED.has(data.status) ? nothing : button("Cancel the task", cancel, { alarm: true })}
    ${data.dead && !data.dead.retried_as ? button("Run again", retry) : nothing}`;
}

function attempts(rows) {
  if (!rows.length) return nothing;
  return html`<section><h2>Attempts</h2>${table({
    caption: "Attempts, the last one at the end",
    rows,
    key: (one) => rows.indexOf(one),
    columns: [
      { name: "Attempt", num: true, cell: (one) => rows.indexOf(one) + 1 },
      { name: "Worker", cell: (one) => (one.worker ? html`<a href=${to("worker", { name: one.worker })}>${one.worker}</a>` : html`<span class="quiet">not known</span>`) },
      { name: "Started", cell: (one) => instant(one.started) },
      { name: "Ran", num: true, cell: (one) => duration(one.run) },
      { name: "Error", rest: true, cell: (one) => one.error || html`<span class="quiet">–</span>` },
    ],
  })}</section>`;
}

function contents({ contents: told, dead, status }, me) {
  if (!me.payloads) return html`<p class="quiet">Arguments and results are not shown to ${me.role}s.</p>`;
  if (told?.sealed) return html`<p class="quiet">Its contents are encrypted, and this dashboard has no key.</p>`;
  const args = told?.args ?? dead?.args;
  const kwargs = told?.kwargs ?? dead?.kwargs;
  const log = told?.log || dead?.log;
  const trace = told?.error || dead?.traceback;
  return html`
    ${trace ? html`<section><h2>Error</h2>${value(trace)}</section>` : nothing}
    ${log ? html`<section><h2>Its last lines in the log</h2>${value(log)}</section>` : nothing}
    ${status === "succeeded" ? html`<section><h2>Result</h2>${value(told?.result ?? null)}</section>` : nothing}
    ${args ? html`<section><h2>Arguments</h2>${value(args)}${kwargs && Object.keys(kwargs).length ? value(kwargs) : nothing}</section>` : nothing}
    ${told?.checkpoint !== null && told?.checkpoint !== undefined ? html`<section><h2>Checkpoint</h2>${value(told.checkpoint)}</section>` : nothing}
    ${dead?.lost?.length ? html`<section><h2>Losses</h2><ul class="plain">${dead.lost.map((loss) => html`<li>${instant(loss.time)} with ${loss.worker || "a worker"}
      ${loss.signal ? `, signal ${loss.signal}` : ""}${loss.exit !== null ? `, status ${loss.exit}` : ""}</li>`)}</ul></section>` : nothing}`;
}

function copy(text) {
  return button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // without HTTPS there is no clipboard
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    say("Copied.");
  }, { quiet: true });
}
