// Regions of a grid of cells, row after row from the bottom: their outlines, and where a name has room in them.

// The outline, in a picture so many pixels wide and high, of the cells for which `isIn(cell)`: marching squares, after
// a little smoothing, so that it runs between cells rather than along them.
export function contour(cells, columns, rows, isIn, width, height) {
  const field = smoothed(Float32Array.from(cells, (cell) => (isIn(cell) ? 1 : -1)), columns, rows);
  const path = new Path2D();
  const x = (column) => ((column + 0.5) / columns) * width;
  const y = (row) => (1 - (row + 0.5) / rows) * height;
  for (let row = 0; row < rows - 1; row++) {
    for (let column = 0; column < columns - 1; column++) {
      const at = row * columns + column;
      const [sw, se, ne, nw] = [field[at], field[at + 1], field[at + columns + 1], field[at + columns]];
      const corners = (sw > 0) | ((se > 0) << 1) | ((ne > 0) << 2) | ((nw > 0) << 3);
      if (corners === 0 || corners === 15) continue;
      const sides = {
        s: () => [x(column + sw / (sw - se)), y(row)],
        e: () => [x(column + 1), y(row + se / (se - ne))],
        n: () => [x(column + nw / (nw - ne)), y(row + 1)],
        w: () => [x(column), y(row + sw / (sw - nw))],
      };
      for (const [from, to] of CROSSINGS[corners]) {
        path.moveTo(...sides[from]());
        path.lineTo(...sides[to]());
      }
    }
  }
  return path;
}

// Every cell as a mean of itself and those around it, twice; beyond the edge it goes on as at the edge.
function smoothed(field, columns, rows) {
  for (let round = 0; round < 2; round++) {
    for (const [step, count, stride, lines] of [[1, columns, columns, rows], [columns, rows, 1, columns]]) {
      const from = field.slice();
      for (let line = 0; line < lines; line++) {
        for (let place = 0; place < count; place++) {
          const at = line * stride + place * step;
          field[at] = (from[place ? at - step : at] + 2 * from[at] + from[place < count - 1 ? at + step : at]) / 4;
        }
      }
    }
  }
  return field;
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
