import { query } from "../api.js";
import { count, duration, instant } from "../format.js";
import { button, facts, html, nothing, state, table, taskLink, to, value, waiting, when } from "../parts.js";
import { actions } from "./schedules.js";

let editing = null; // the id of the schedule that is edited

export const schedule = {
  heading: ({ id }) => `Schedule ${id}`,
  needs: ({ id = "" }) => ({ schedule: { path: query("schedule", { id }), every: 2_000 } }),
  view({ live, said, may, change, go, draw, me }) {
    return waiting(live.get("schedule"), (data) => html`<h1 tabindex="-1">Schedule ${data.id} ${data.paused ? state("paused") : nothing}</h1>
      ${facts([
        ["Task", data.task],
        ["Queue", html`<a href=${to("queue", { name: data.queue })}>${data.queue}</a>`],
        ["When", data.cron ? html`<code>${data.cron}</code> <span class="quiet">${data.tz}</span>` : `every ${duration(data.every)}`],
        ["While an earlier one waits or runs", data.overlap],
        ["After an outage", `${data.catchup}, not older than ${duration(data.window)}`],
        ["Jitter", data.jitter ? duration(data.jitter) : null],
        ["Not before", data.start && instant(data.start)],
        ["Not after", data.end && instant(data.end)],
        ["Tasks at most", data.limit && count(data.limit)],
        ["Last", data.last ? taskLink(`${data.id}@${data.last}`, when(data.last)) : "never"],
        ["Declared by", data.declared_by],
        ["Overridden here", data.overridden.join(", ")],
      ])}
      <p class="actions">${actions(data, may, change, go)}
        ${may("operator") ? button(editing === said.id ? "Leave as it is" : "Change it", () => { editing = editing === said.id ? null : said.id; draw(); }) : nothing}
        ${may("operator") && data.declared_by && data.overridden.length ? button("As declared", () => reset(data, change)) : nothing}</p>
      ${editing === said.id ? form(data, change, draw) : nothing}
      <section><h2>Next</h2>${data.paused ? html`<p class="quiet">It is paused: these make no task.</p>` : nothing}
        ${data.coming.length ? html`<ul class="plain">${data.coming.map((at) => html`<li>${instant(at)} <span class="quiet">${when(at)}</span></li>`)}</ul>` : html`<p class="quiet">It has no tick any more.</p>`}</section>
      <section><h2>What became of its ticks</h2>${table({
        caption: "Ticks by what became of them",
        rows: Object.entries(data.counts),
        key: ([why]) => why,
        columns: [
          { name: "What", wide: true, cell: ([why]) => BECAME[why] || why },
          { name: "Ticks", num: true, cell: ([, many]) => count(many) },
        ],
      })}</section>
      ${me.payloads ? html`<section><h2>Arguments</h2>${value(data.args)}${Object.keys(data.kwargs).length ? value(data.kwargs) : nothing}</section>` : nothing}`);
  },
};

const BECAME = {
  fired: "made a task", overlap: "passed over: an earlier one waited or ran", late: "passed over: they came in an outage",
  paused: "passed over: it was paused", full: "passed over: there was no room",
};
const POLICIES = ["skip", "allow", "queue_one", "queue_all", "cancel_previous"];

function form(data, change, draw) {
  const save = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries([...new FormData(event.target)].filter(([name, text]) => text && text !== String(data[name] ?? "")));
    if (given.every) given.every = Number(given.every);
    if (!Object.keys(given).length) return;
    if (await change("schedules/update", { id: data.id, etag: data.etag, ...given }, { done: () => "Changed." })) editing = null;
    draw();
  };
  const field = (name, label, type = "text") => html`<label>${label} <input name=${name} type=${type} step="any" autocomplete="off" maxlength="255" .defaultValue=${String(data[name] ?? "")}></label>`;
  return html`<form class="fields" @submit=${save}>
    ${data.cron ? html`${field("cron", "Cron")}${field("tz", "Time zone")}` : field("every", "Seconds between two ticks", "number")}
    <label>While an earlier one waits or runs <select name="overlap">${POLICIES.map((one) => html`<option ?selected=${one === data.overlap}>${one}</option>`)}</select></label>
    <label>Of the ticks of an outage run <select name="catchup">${["one", "none", "all"].map((one) => html`<option ?selected=${one === data.catchup}>${one}</option>`)}</select></label>
    <button type="submit" class="main">Save</button></form>`;
}

const reset = (data, change) => change("schedules/reset", { id: data.id }, {
  ask: { title: `Have ${data.id} as ${data.declared_by} declares it?`, text: `What is overridden here is dropped: ${data.overridden.join(", ")}.`, action: "As declared" },
  done: () => "It is as declared.",
});
