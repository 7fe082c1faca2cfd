// Regions of a grid of cells, row after row from the bottom: their outlines, and where a name has room in them.

// The outline, in a picture so many pixels wide and high, of the cells for which `isIn(cell)`: marching squares.
export function contour(cells, columns, rows, isIn, width, height) {
  const path = new Path2D();
  const x = (column) => ((column + 0.5) / columns) * width;
  const y = (row) => (1 - (row + 0.5) / rows) * height;
  const at = (column, row) => (isIn(cells[row * columns + column]) ? 1 : 0);
  for (let row = 0; row < rows - 1; row++) {
    for (let column = 0; column < columns - 1; column++) {
      const corners = at(column, row) | (at(column + 1, row) << 1) | (at(column + 1, row + 1) << 2) | (at(column, row + 1) << 3);
      if (corners === 0 || corners === 15) continue;
      const sides = { s: [x(column + 0.5), y(row)], e: [x(column + 1), y(row + 0.5)], n: [x(column + 0.5), y(row + 1)], w: [x(column), y(row + 0.5)] };
      for (const [from, to] of CROSSINGS[corners]) {
        path.moveTo(...sides[from]);
        path.lineTo(...sides[to]);
      }
    }
  }
  return path;
}

// Which sides of a square the outline crosses, by which of its corners are in (1 south-west, 2 south-east, 4, 8).
const CROSSINGS = [[], ["ws"], ["se"], ["we"], ["en"], ["ws", "en"], ["sn"], ["wn"], ["wn"], ["sn"], ["se", "wn"], ["en"], ["we"], ["se"], ["ws"], []];

// For each region (cells of the same number, -1 aside) where it is widest, away from points; the widest first.
export function roomiest(cells, columns, rows, points) {
  const isPoint = new Uint8Array(cells.length);
  for (const { x, y } of points) {
    isPoint[Math.min(rows - 1, Math.floor(y * rows)) * columns + Math.min(columns - 1, Math.floor(x * columns))] = 1;
  }
  // How far each cell is from the next of another region, or point: there and back again (chamfer).
  const room = Float32Array.from(isPoint, (is) => (is ? 0 : Infinity));
  const pass = (from, to, step) => {
    for (let at = from; at !== to; at += step) {
      const column = at % columns;
      const isEdge = column === 0 || column === columns - 1 || at < columns || at >= cells.length - columns;
      if (isEdge) room[at] = Math.min(room[at], 1);
      for (const [across, up, far] of [[-1, 0, 1], [0, -1, 1], [-1, -1, 1.4], [1, -1, 1.4]]) {
        const beside = at + step * (across + up * columns);
        const is = column + step * across;
        if (is < 0 || is >= columns || beside < 0 || beside >= cells.length) continue;
        room[at] = Math.min(room[at], cells[beside] === cells[at] ? room[beside] + far : 1);
      }
    }
  };
  pass(0, cells.length, 1);
  pass(cells.length - 1, -1, -1);
  const best = new Map();
  cells.forEach((index, at) => {
    if (index >= 0 && (room[at] > (best.get(index)?.room ?? 2.5))) best.set(index, { index, room: room[at], x: ((at % columns) + 0.5) / columns, y: (Math.floor(at / columns) + 0.5) / rows });
  });
  return [...best.values()].sort((one, other) => other.room - one.room);
}
