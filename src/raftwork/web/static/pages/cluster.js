import { bytes, count, duration, instant, since } from "../format.js";
import { MARKS, marksOf } from "../marks.js";
import { facts, html, nothing, state, svg, table, waiting } from "../parts.js";
import { alarms } from "./overview.js";

export const cluster = {
  title: "Cluster",
  needs: () => ({ cluster: { path: "cluster", every: 1_000 }, marks: MARKS }),
  view({ live }) {
    return html`<h1 tabindex="-1">Cluster</h1>${waiting(live.get("cluster"), (data) => html`
      ${alarms(data)}
      ${facts([
        ["Leader", data.leader ? html`<b>${data.leader}</b>` : state("error", "none")],
        ["Since", data.since && html`${instant(data.since)} <span class="quiet">${duration(since(data.since))}</span>`],
        ["Epoch", count(data.epoch)],
        ["Consensus", data.consensus],
      ])}
      <section><h2>Brokers</h2>${brokers(data)}</section>
      <section><h2>Elections</h2>${elections(data.brokers, marksOf(live))}</section>
      <section><h2>Disks</h2>${disks(data.brokers)}</section>`)}`;
  },
};

function brokers(data) {
  const leader = data.brokers.find((broker) => broker.active);
  const behind = new Map((leader?.facts?.peers || []).map((peer) => [peer.name, peer.behind]));
  return table({
    caption: "Brokers",
    rows: data.brokers,
    key: (broker) => broker.name,
    columns: [
      { name: "Broker", wide: true, cell: (b) => html`<b>${b.name}</b><div class="quiet small">${b.address || ""} ${b.reason || ""}</div>` },
      { name: "Role", cell: (b) => html`${state(b.role)}${b.unreached?.length ? html`<div class="small">does not reach ${b.unreached.join(", ")}</div>` : nothing}` },
      { name: "Epoch", num: true, cell: (b) => count(b.epoch) },
      { name: "Committed", num: true, cell: (b) => count(b.committed) },
      { name: "Behind", num: true, cell: (b) => (b.active ? html`<span class="quiet">–</span>` : count(behind.get(b.name))) },
      { name: "fsync p50, p99", num: true, cell: (b) => pair(b.facts?.fsync) },
      { name: "Turn p99", num: true, cell: (b) => duration(b.facts?.turn.p99) },
      { name: "Up", num: true, quiet: true, cell: (b) => duration(b.facts?.uptime) },
      { name: "Release", quiet: true, cell: (b) => b.release || "–" },
      { name: "May be stopped", cell: (b) => (data.safe_to_stop[b.name] === null ? "yes" : html`<span title=${data.safe_to_stop[b.name]}>no</span>`) },
    ],
  });
}

const pair = (found) => (found ? html`${duration(found.p50)}, ${duration(found.p99)}` : "–");

function disks(brokers) {
  return table({
    caption: "What each broker stores",
    rows: brokers.filter((broker) => broker.facts),
    key: (broker) => broker.name,
    empty: "No broker answers.",
    columns: [
      { name: "Broker", wide: true, cell: (b) => b.name },
      { name: "Database", num: true, cell: (b) => bytes(b.facts.database_bytes) },
      { name: "WAL", num: true, cell: (b) => bytes(b.facts.wal_bytes) },
      { name: "Log", num: true, cell: (b) => bytes(b.facts.log_bytes) },
      { name: "Entries", num: true, cell: (b) => count(b.facts.log_entries) },
      { name: "Stalls", num: true, cell: (b) => count(b.facts.stalls) },
      { name: "Without a leader", num: true, cell: (b) => duration(b.facts.leaderless) },
    ],
  });
}

// ---- elections ------------------------------------------------------------------------------------

const WIDTH = 1000;
const LANE = 18;

// A lane for each broker: when it led, followed, and knew no leader. Every broker tells its own.
function elections(brokers, marks) {
  const told = brokers.filter((broker) => broker.facts?.changes.length);
  if (!told.length) return html`<p class="quiet empty">No broker tells of an election.</p>`;
  const now = Date.now();
  const first = Math.min(...told.map((broker) => Date.parse(broker.facts.changes[0].at)));
  const begin = Math.max(first, now - 24 * 3600 * 1000);
  const scale = (at) => (WIDTH * (Math.max(at, begin) - begin)) / Math.max(now - begin, 1000);
  const lane = (broker, row) => broker.facts.changes.map((change, at, all) => {
    const from = Date.parse(change.at);
    const until = at + 1 < all.length ? Date.parse(all[at + 1].at) : now;
    if (until < begin) return nothing;
    const width = Math.max(scale(until) - scale(from), 1.5);
    return svg`<rect class="bar" data-role=${change.role} x=${scale(from)} y=${row * (LANE + 4)}
      width=${width} height=${LANE}><title>${words(broker.name, change)}</title></rect>`;
  });
  return html`<div class="lanes"><div class="names" aria-hidden="true">${told.map((b) => html`<span>${b.name}</span>`)}</div>
    <svg role="img" aria-label="Who led when; the list below says the same" preserveAspectRatio="none"
      viewBox=${`0 0 ${WIDTH} ${told.length * (LANE + 4) - 4}`} height=${told.length * (LANE + 4) - 4}>${told.map(lane)}${marks.filter((mark) => Date.parse(mark.at) >= begin).map((mark) => svg`<path class="mark"
      d=${`M${scale(Date.parse(mark.at))} 0V${told.length * (LANE + 4) - 4}`}><title>${`${instant(mark.at)} ${mark.text}`}</title></path>`)}</svg></div>
    <p class="axis quiet"><span>${instant(new Date(begin).toISOString())}</span>
      <span><i data-role="leads"></i> leads <i data-role="follows"></i> follows <i data-role="seeks"></i> knows no leader</span><span>now</span></p>
    ${table({ caption: "Leaders and marks, the newest first", rows: leaders(told, marks), key: (one) => `${one.epoch} ${one.broker} ${one.at}`, empty: "None.",
      columns: [
        { name: "At", cell: (one) => instant(one.at) },
        { name: "Epoch", num: true, cell: (one) => count(one.epoch) },
        { name: "What", rest: true, cell: (one) => one.text },
      ] })}`;
}

function words(name, { role, leader, epoch, why, at }) {
  const what = { leads: "leads", follows: `follows ${leader}`, seeks: "knows no leader" }[role] || role;
  return `${name} ${what}, epoch ${epoch}, from ${instant(at)}${why ? `: ${why}` : ""}`;
}

function leaders(told, marks) {
  const found = told.flatMap((broker) => broker.facts.changes
    .filter((change) => change.role === "leads" || change.why)
    .map((change) => ({
      at: change.at, epoch: change.epoch, broker: broker.name,
      text: change.role === "leads" ? html`<b>${broker.name}</b> leads` : html`${broker.name}: ${change.why}`,
    })));
  found.push(...marks.map((mark) => ({ at: mark.at, epoch: null, broker: mark.text, text: html`marked: ${mark.text}` })));
  return found.sort((a, b) => Date.parse(b.at) - Date.parse(a.at)).slice(0, 20);
}
