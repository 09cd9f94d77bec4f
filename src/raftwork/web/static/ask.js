// Asking before something is done, and saying what came of it.

import { html, nothing, render } from "./vendor/lit-html-3.3.3/lit-html.js";

const dialog = document.getElementById("ask");
const said = document.getElementById("said");
let fading = 0;

export function say(text, alarm = false) {
  clearTimeout(fading);
  said.textContent = text;
  said.dataset.alarm = alarm ? "yes" : "";
  fading = setTimeout(() => { said.textContent = ""; }, alarm ? 12_000 : 5_000);
}

// Opens a dialog. `preview` may be a promise of more words: { text, items }. Resolves to whether to go on.
export function confirm({ title, text, action, alarm = false, preview = null }) {
  return new Promise((resolve) => {
    let more = null;
    const done = (yes) => { dialog.close(); resolve(yes); };
    const show = () => render(html`<form method="dialog" @submit=${(event) => { event.preventDefault(); done(true); }}>
      <h2 id="ask-title">${title}</h2>
      <p>${text}</p>
      ${preview && !more ? html`<p class="quiet">Looking what that would be…</p>` : nothing}
      ${more ? html`<p>${more.text}</p><ul class="plain">${(more.items || []).map((item) => html`<li>${item}</li>`)}</ul>` : nothing}
      <menu><button type="button" class="quiet" @click=${() => done(false)}>Back</button>
      <button type="submit" class=${alarm ? "alarm" : "main"} ?disabled=${Boolean(preview) && (!more || more.stop)}>${action}</button></menu>
    </form>`, dialog);
    dialog.oncancel = () => resolve(false);
    show();
    dialog.showModal();
    preview?.then(
      (found) => { more = found; show(); },
      (error) => { more = { text: error.message, stop: true }; show(); },
    );
  });
}
