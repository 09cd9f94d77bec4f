// What a running task logs, line by line, for as long as its page is open.

import { look, query } from "./api.js";
import { inUtc } from "./format.js";
import { button, html, nothing } from "./parts.js";

const LINES_MAX = 1_000;
const AGAIN_MS = 2_000;
let followed = null; // { id, place, lines, cut, error, over }

const pause = () => new Promise((done) => { setTimeout(done, AGAIN_MS); });

async function follow(id, draw) {
  const mine = followed = { id, place: location.hash, lines: [], cut: false, error: "", over: false };
  let after = "";
  draw();
  while (followed === mine && location.hash === mine.place && !mine.over) {
    try {
      const page = document.hidden ? null : await look(query("log", { id, after }));
      if (page === null) { await pause(); continue; }
      mine.lines.push(...page.lines);
      mine.cut ||= page.gap || mine.lines.length > LINES_MAX;
      mine.lines = mine.lines.slice(-LINES_MAX);
      ({ after, over: mine.over } = page);
      mine.error = "";
    } catch (error) {
      mine.error = error.message;
      mine.over = error.status === 409 || error.status === 403 || error.status === 404; // it never will be told
      await pause();
    }
    if (followed === mine) draw();
  }
}

export function taskLog({ id, status }, { me, draw }) {
  const own = followed?.id === id && followed.place === location.hash ? followed : null;
  if (!me.payloads || (status !== "running" && !own)) return nothing;
  if (!own) return html`<p class="actions">${button("Follow its log", () => follow(id, draw))}</p>`;
  return html`<section><h2>Its log</h2>
    ${own.cut ? html`<p class="quiet">Lines before these are not shown here.</p>` : nothing}
    ${own.error ? html`<p class="problem">${own.error}</p>` : nothing}
    <pre class="log" tabindex="0" role="log" aria-label="Its log">${own.lines.map((line) => `${clock(line.at)}${line.text}`).join("\n") || "Nothing yet."}</pre>
    ${own.over ? html`<p class="quiet">Nothing more comes.</p>` : html`<p class="actions">${button("Stop", () => { followed = null; draw(); }, { quiet: true })}</p>`}</section>`;
}

function clock(at) {
  if (!at) return "";
  const time = new Date(at);
  return `${inUtc() ? time.toISOString().slice(11, 19) : time.toTimeString().slice(0, 8)} `;
}
