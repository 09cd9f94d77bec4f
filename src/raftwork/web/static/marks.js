// What people marked, such as deployments: beside charts, and one's own.

import { instant } from "./format.js";
import { html, nothing, table } from "./parts.js";

export const MARKS = { path: "marks", every: 5_000 };

export const marksOf = (live) => live.get("marks").data?.marks || [];

// On a chart: a line, and what it is for as far as there is room.
export function drawn(plot, marks, colour) {
  const { ctx: pen, bbox } = plot;
  const { min, max } = plot.scales.x;
  pen.save();
  pen.strokeStyle = pen.fillStyle = colour;
  pen.setLineDash([4, 3]);
  pen.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  for (const { at, text } of marks) {
    const s = Date.parse(at) / 1000;
    if (s < min || s > max) continue;
    const x = plot.valToPos(s, "x", true);
    pen.beginPath();
    pen.moveTo(x, bbox.top);
    pen.lineTo(x, bbox.top + bbox.height);
    pen.stroke();
    const right = x > bbox.left + bbox.width * 0.7;
    pen.textAlign = right ? "right" : "left";
    pen.fillText(text.slice(0, 24), x + (right ? -4 : 4), bbox.top + 12 * devicePixelRatio);
  }
  pen.restore();
}

export function marked(marks, { may, change }) {
  const put = async (event) => {
    event.preventDefault();
    const form = event.target;
    const text = new FormData(form).get("text").trim();
    if (text && await change("marks", { text }, { done: () => "Marked." })) form.reset();
  };
  if (!marks.length && !may("operator")) return nothing;
  return html`<section><h2>Marks</h2>
    ${may("operator") ? html`<form class="search" @submit=${put}><label class="hidden" for="mark">Mark this moment</label>
      <input id="mark" name="text" maxlength="200" autocomplete="off" placeholder="deploy shop 2.7.1"><button type="submit">Mark this moment</button></form>` : nothing}
    ${table({
      caption: "Marks, newest first", rows: marks.slice(0, 8), key: (one) => `${one.at} ${one.text}`,
      empty: "None. A deployment can put one: raftwork mark TEXT",
      columns: [{ name: "At", cell: (one) => instant(one.at) }, { name: "Mark", rest: true, cell: (one) => one.text }],
    })}</section>`;
}
