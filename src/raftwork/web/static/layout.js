// Where the tasks of a flow are drawn: each to the right of all that it needs, and near to them.

export function layered(nodes) {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const column = new Map();
  const depth = (id) => {
    // Without recursion: a chain may have a thousand tasks.
    const todo = [id];
    while (todo.length) {
      const at = todo.at(-1);
      if (column.has(at)) { todo.pop(); continue; }
      const needs = known.get(at).needs.filter((need) => known.has(need));
      const open = needs.filter((need) => !column.has(need) && !todo.includes(need));
      if (open.length) { todo.push(...open); continue; }
      column.set(at, needs.reduce((most, need) => Math.max(most, (column.get(need) ?? -1) + 1), 0));
      todo.pop();
    }
    return column.get(id);
  };
  const layers = [];
  for (const node of nodes) (layers[depth(node.id)] ||= []).push(node);
  const row = new Map();
  for (const layer of layers) {
    const wanted = (node) => {
      const rows = node.needs.map((need) => row.get(need)).filter((r) => r !== undefined);
      return rows.length ? rows.reduce((sum, r) => sum + r, 0) / rows.length : 0;
    };
    const ordered = layer.map((node, at) => ({ node, at, by: wanted(node) })).sort((a, b) => a.by - b.by || a.at - b.at);
    let next = 0;
    ordered.forEach(({ node, by }, at) => {
      // As near to what it needs as those before it leave, and room is kept for those behind.
      const place = layer.length === 1 ? by : Math.max(next, Math.min(Math.round(by), at + Math.max(0, Math.round(by) - at)));
      row.set(node.id, place);
      next = place + 1;
    });
  }
  const places = new Map(nodes.map((node) => [node.id, { column: column.get(node.id), row: row.get(node.id) }]));
  const edges = nodes.flatMap((node) => node.needs.filter((need) => known.has(need)).map((need) => [places.get(need), places.get(node.id)]));
  return { places, edges, columns: layers.length, rows: Math.max(...row.values()) + 1 };
}
