// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");

export const count = (n) => (n === null || n === undefined ? "–" : whole.format(n));

export function rate(n) {
  if (n === null || n === undefined) return "–";
  if (Math.abs(n - Math.round(n)) < 0.005) return whole.format(Math.round(n));
  return n >= 100 ? whole.format(Math.round(n)) : n.toFixed(n >= 10 ? 1 : 2);
}

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) { n /= 1024; at += 1; }
  return `${n >= 100 || at === 0 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.abs(seconds);
  if (s < 0.0005) return "0 ms";
  if (s < 1) return `${s < 0.01 ? (s * 1000).toFixed(1) : Math.round(s * 1000)} ms`;
  if (s < 60) return `${s < 10 && !Number.isInteger(s) ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return two(s, 60, "min", 1, "s");
  if (s < 86400) return two(s, 3600, "h", 60, "min");
  return two(s, 86400, "d", 3600, "h");
}

function two(s, unit, word, less, lesser) {
  const rest = Math.floor((s % unit) / less);
  return `${Math.floor(s / unit)} ${word}${rest ? ` ${rest} ${lesser}` : ""}`;
}

// How long an instant is past, or how far it is off.
export function since(iso) {
  return iso ? (Date.now() - Date.parse(iso)) / 1000 : null;
}

export function ago(iso) {
  const s = since(iso);
  if (s === null) return "–";
  if (Math.abs(s) < 1) return "now";
  return s >= 0 ? `${duration(Math.round(s))} ago` : `in ${duration(Math.round(-s))}`;
}

let zone = "local";
try { zone = localStorage.getItem("raftwork-zone") || "local"; } catch { /* switched off */ }

export const inUtc = () => zone === "utc";

export function switchZone() {
  zone = zone === "utc" ? "local" : "utc";
  try { localStorage.setItem("raftwork-zone", zone); } catch { /* for this page alone */ }
}

export function instant(iso, { seconds = true } = {}) {
  if (!iso) return "–";
  const at = new Date(iso);
  const utc = inUtc() ? "UTC" : undefined;
  const day = new Intl.DateTimeFormat("sv", { timeZone: utc, dateStyle: "short" });
  const time = new Intl.DateTimeFormat("sv", {
    timeZone: utc, hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}),
  });
  return day.format(at) === day.format(new Date())
    ? time.format(at)
    : `${day.format(at)} ${time.format(at)}`;
}

export const percent = (part) => (part === null || part === undefined ? "–" : `${Math.round(part * 100)} %`);
