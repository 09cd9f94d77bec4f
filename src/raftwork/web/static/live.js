// Documents that stay up to date while somebody looks. This is the one place that knows how: a stream
// tells what is another than it was, and each source that shows it is asked for again. While there is
// no stream each is asked for again and again.
//
// A page says what it needs: { queues: { path: "queues", every: 2000 } }, where `every` is how often
// at most. What is known stays shown while a question fails, with the error and since when it is old.

import { look, query } from "./api.js";

const PATIENCE_MS = 8_000;
// What a stream has not told of is looked at so often all the same.
const SELDOM_MS = 15_000;
// After a stream that was refused, or broke off for good.
const AGAIN_MS = 5_000;
const EVENTS_MAX = 50;
// Events are drawn together, so often at most.
const DRAWN_MS = 250;

// What each document shows, in the stream's words. One that is not here may be another at any time.
const SHOWS = {
  overview: ["leader", "cluster", "queues", "workers"],
  cluster: ["leader", "cluster", "queues", "workers"],
  queues: ["queues", "workers"],
  workers: ["leader", "workers"],
  tasks: ["tasks"],
  failures: ["failures"],
  dead: ["failures"],
  schedules: ["schedules", "tasks"],
  schedule: ["schedules", "tasks"],
  flows: ["flows"],
  flow: ["flows", "tasks"],
  limits: ["limits", "tasks"],
};
const shows = (path) => SHOWS[path.split("?")[0]];

export class Live {
  #sources = new Map();
  #changed;
  #stream = null;
  #topics = ""; // empty: no stream is wanted
  #last = ""; // the cursor of the last event
  #again = 0;
  #drawing = 0;

  // The newest events first, since this page was opened, and how many of them are not here.
  events = [];
  skipped = 0;

  constructor(changed) {
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return this.#close();
      this.#open();
      this.refresh();
    });
  }

  // Need these from now on, and nothing else. What was needed before and still is, is kept.
  need(wanted) {
    for (const [name, source] of this.#sources) {
      if (wanted[name]?.path !== source.path) this.#drop(name);
    }
    for (const [name, { path, every, until }] of Object.entries(wanted)) {
      const known = this.#sources.get(name);
      if (known) {
        known.every = every;
        continue;
      }
      const source = { path, every, until, data: undefined, error: null, at: 0, asked: 0, stale: false, timer: 0, abort: null };
      this.#sources.set(name, source);
      this.#ask(source);
    }
  }

  get(name) {
    return this.#sources.get(name) || { data: undefined, error: null, at: 0 };
  }

  // Ask for everything again, now: something was changed.
  refresh() {
    for (const source of this.#sources.values()) this.#ask(source);
  }

  // ---- the stream -----------------------------------------------------------------------------------

  // Whoever may not be asked for events tells of changes alone.
  follow({ events }) {
    this.#topics = events ? "events,changed" : "changed";
    this.#open();
  }

  #open() {
    if (!this.#topics || document.hidden || this.#stream) return;
    clearTimeout(this.#again);
    const stream = new EventSource(`api/v1/${query("stream", { topics: this.#topics, after: this.#last })}`);
    this.#stream = stream;
    stream.addEventListener("changed", ({ data }) => this.#touch(JSON.parse(data).changed));
    stream.addEventListener("events", ({ data, lastEventId }) => {
      const { events, skipped } = JSON.parse(data);
      this.#last = lastEventId;
      this.skipped += skipped;
      this.events = [...events.reverse(), ...this.events].slice(0, EVENTS_MAX);
      this.#drawing ||= setTimeout(() => { this.#drawing = 0; this.#changed(); }, DRAWN_MS);
    });
    stream.addEventListener("gap", () => {
      this.events = [];
      this.refresh();
    });
    stream.onerror = () => {
      for (const source of this.#sources.values()) this.#plan(source);
      if (stream.readyState !== EventSource.CLOSED) return; // it comes back by itself
      this.#close();
      this.#again = setTimeout(() => this.#open(), AGAIN_MS);
    };
  }

  #close() {
    clearTimeout(this.#again);
    this.#stream?.close();
    this.#stream = null;
  }

  #touch(words) {
    for (const source of this.#sources.values()) {
      if (!shows(source.path)?.some((word) => words.includes(word)) || !this.#lasts(source)) continue;
      source.stale = true;
      if (!source.abort) this.#plan(source);
    }
  }

  // ---- asking ---------------------------------------------------------------------------------------

  // Whether it can be another one: an older page stands still, and so does a task that has ended.
  #lasts(source) {
    return source.every && !(source.data !== undefined && !source.error && source.until?.(source.data));
  }

  #plan(source) {
    clearTimeout(source.timer);
    if (!this.#lasts(source)) return;
    const told = this.#stream?.readyState === EventSource.OPEN && shows(source.path) && !source.error;
    const wait = told && !source.stale ? SELDOM_MS : source.every;
    source.timer = setTimeout(() => { if (!document.hidden) this.#ask(source); }, Math.max(0, source.asked + wait - Date.now()));
  }

  async #ask(source) {
    clearTimeout(source.timer);
    source.abort?.abort();
    const abort = new AbortController();
    source.abort = abort;
    source.asked = Date.now();
    source.stale = false;
    const patience = setTimeout(() => abort.abort("late"), PATIENCE_MS);
    try {
      source.data = await look(source.path, abort.signal);
      source.error = null;
      source.at = Date.now();
    } catch (error) {
      if (abort !== source.abort) return; // asked anew, or not needed any more
      source.error = error;
    } finally {
      clearTimeout(patience);
    }
    if (abort !== source.abort) return;
    source.abort = null;
    this.#plan(source);
    this.#changed();
  }

  #drop(name) {
    const source = this.#sources.get(name);
    this.#sources.delete(name);
    clearTimeout(source.timer);
    const abort = source.abort;
    source.abort = null;
    abort?.abort();
  }
}
