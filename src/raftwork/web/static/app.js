// The shell: which page is shown, what it needs, and who may do what.

import { html, nothing, render } from "./vendor/lit-html-3.3.3/lit-html.js";
import { act, look } from "./api.js";
import { confirm, say } from "./ask.js";
import { count, duration, inUtc, instant, since, switchZone } from "./format.js";
import { Live } from "./live.js";
import { state, to } from "./parts.js";
import { BELOW, IN_MENU, PAGES } from "./pages.js";

const ROLES = ["viewer", "operator", "admin"];

const root = document.getElementById("app");
let me = null; // null: not known yet; false: a token is needed
const loaded = new Map(); // the code of pages, by name
let place = read();

const live = new Live(() => draw());

function read() {
  const [name, said = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const page = Object.hasOwn(PAGES, name) ? name : "overview";
  return { name: page, page: loaded.get(page), said: Object.fromEntries(new URLSearchParams(said)) };
}

function need() {
  live.need({ status: { path: "overview", every: 1_000 }, ...place.page?.needs(place.said) });
}

// Have the code of the page that is shown. Where that cannot be loaded, another try follows.
async function open() {
  const { name } = place;
  if (!place.page) {
    try {
      loaded.set(name, await PAGES[name].load());
    } catch (error) {
      say(`This page could not be loaded: ${error.message}`, true);
      setTimeout(() => { if (place.name === name) open(); }, 2_000);
      return;
    }
    if (place.name !== name) return;
    place.page = loaded.get(name);
  }
  if (me) need();
  draw();
}

const may = (role) => me && ROLES.indexOf(me.role) >= ROLES.indexOf(role);

// Ask first, then do it, and say what came of it.
async function change(path, body, { ask = null, done = () => "Done." } = {}) {
  if (ask && !(await confirm(ask))) return null;
  try {
    const answer = await act(path, body);
    say(done(answer));
    live.refresh();
    return answer;
  } catch (error) {
    say(error.message, true);
    return null;
  }
}

async function enter() {
  try {
    me = await look("me");
    live.follow({ events: me.leader_can_be_asked });
    need();
  } catch (error) {
    if (error.status === 401) me = false;
    else setTimeout(enter, 2_000);
  }
  draw();
}

async function logIn(event) {
  event.preventDefault();
  const token = new FormData(event.target).get("token").trim();
  try {
    await act("session", { token });
    await enter();
  } catch (error) {
    say(error.message, true);
  }
}

async function logOut() {
  await act("session/end", {});
  location.reload();
}

// ---- what is always there ------------------------------------------------------------------------

function well(status) {
  const { data, error, at } = status;
  if (error && data === undefined) return state("error", error.message);
  if (!data) return html`<span class="quiet">Asking…</span>`;
  if (error) return state("error", `This dashboard does not answer: what is shown is ${duration((Date.now() - at) / 1000)} old.`);
  if (!data.leader) return state("error", "No leader.");
  const worst = data.alarms.some((alarm) => alarm.severity === "error");
  const many = data.alarms.length;
  const words = many ? `${count(many)} ${many === 1 ? "thing needs" : "things need"} attention` : "Well";
  const led = data.since ? html` since <time datetime=${data.since}>${instant(data.since)}</time>, for ${duration(Math.max(1, Math.round(since(data.since))))}` : nothing;
  return html`<a class="well" href=${to("overview")}>${state(worst ? "error" : many ? "warning" : "well", words)}</a>
    <span><b id="leader">${data.leader}</b> leads${led}</span>
    <span class="quiet">epoch ${count(data.epoch)} · ${data.consensus}</span>`;
}

function theme() {
  const now = document.documentElement.dataset.theme;
  const dark = now ? now === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const next = dark ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("raftwork-theme", next); } catch { /* for this page alone */ }
  draw();
}

function shell(inside) {
  const named = BELOW[place.name] || place.name;
  return html`<a class="skip" href="#main" @click=${skip}>To the contents</a>
    <header>
      <a class="brand" href=${to("overview")}><img src="static/icon.svg" alt="" width="18" height="18">Raftwork</a>
      <div class="status">${me ? well(live.get("status")) : nothing}</div>
      <div class="settings">
        <button type="button" class="quiet" @click=${() => { switchZone(); draw(); }}>${inUtc() ? "UTC" : "Local time"}</button>
        <button type="button" class="quiet" @click=${theme}>Light/dark</button>
        ${me && me.name !== "local" ? html`<button type="button" class="quiet" title="Log out" @click=${logOut}>${me.name}</button>` : nothing}
      </div>
    </header>
    ${me === false ? nothing : html`<nav aria-label="Pages">${IN_MENU.map((name) => html`<a href=${to(name)}
      aria-current=${named === name ? "page" : nothing}>${PAGES[name].title}</a>`)}</nav>`}
    <main id="main" tabindex="-1">${inside}</main>`;
}

function skip(event) {
  event.preventDefault(); // the address is the page's
  document.getElementById("main").focus();
}

const login = () => html`<form class="login" @submit=${logIn}><h1>Log in</h1>
  <p class="quiet">This dashboard wants a token. Whoever runs it makes one with <code>raftwork dashboard-token</code>.</p>
  <label>Token <input name="token" type="password" autocomplete="current-password" required></label>
  <button type="submit" class="main">Log in</button></form>`;

function draw() {
  if (me === null) return render(shell(html`<p class="quiet">Asking…</p>`), root);
  if (me === false) return render(shell(login()), root);
  const { page, said } = place;
  const title = page?.heading ? page.heading(said) : PAGES[place.name].title;
  document.title = `${title} · Raftwork`;
  if (!page) return render(shell(html`<p class="quiet">Asking…</p>`), root);
  render(shell(page.view({ live, said, may, change, me, go, draw })), root);
}

function go(page, said = {}) {
  location.hash = to(page, said).slice(1);
}

addEventListener("hashchange", async () => {
  const before = place.name;
  place = read();
  await open();
  if (before !== place.name) {
    scrollTo(0, 0);
    document.querySelector("h1")?.focus();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
setInterval(() => { if (!document.hidden && me) draw(); }, 1_000); // ages grow
draw();
open();
enter();
