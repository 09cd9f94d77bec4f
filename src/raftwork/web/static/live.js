// Documents that stay up to date while somebody looks. This is the one place that knows how: today
// each is asked for again and again; a stream of events would tell when.
//
// A page says what it needs: { queues: { path: "queues", every: 2000 } }. What is known stays shown
// while a question fails, with the error and since when it is old.

import { look } from "./api.js";

const PATIENCE_MS = 8_000;

export class Live {
  #sources = new Map();
  #changed;

  constructor(changed) {
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      for (const source of this.#sources.values()) this.#ask(source);
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
      const source = { path, every, until, data: undefined, error: null, at: 0, timer: 0, abort: null };
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

  async #ask(source) {
    clearTimeout(source.timer);
    source.abort?.abort();
    const abort = new AbortController();
    source.abort = abort;
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
    const over = source.data !== undefined && !source.error && source.until?.(source.data);
    if (source.every && !over) {
      source.timer = setTimeout(() => { if (!document.hidden) this.#ask(source); }, source.every);
    }
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
