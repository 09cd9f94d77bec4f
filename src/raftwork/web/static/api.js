// The API. Every path is relative to the page, so that a proxy may put it anywhere.

export class Refused extends Error {
  constructor(status, document) {
    super(document?.text || `the dashboard answered ${status}`);
    this.status = status;
    this.kind = document?.error || "";
  }
}

export function query(path, values = {}) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "") said.set(name, value);
  }
  const text = said.toString();
  return text ? `${path}?${text}` : path;
}

export async function look(path, signal) {
  return read(await fetch(`api/v1/${path}`, { signal, credentials: "same-origin" }));
}

export async function act(path, body) {
  return read(await fetch(`api/v1/${path}`, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-Raftwork": "1" },
    body: JSON.stringify(body),
  }));
}

async function read(answer) {
  let document = null;
  try {
    document = await answer.json();
  } catch { /* a proxy's page, or half of an answer */ }
  if (!answer.ok || document === null) throw new Refused(answer.status, document);
  return document;
}
