// Notices when a performer has moved away from how they stood, and when they are back.
//
// Poses are compared by their joints, in torso lengths, wherever in the picture the body stands.

const JOINTS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28];
const LEAST_SEEN = 0.3;
const FEWEST_SEEN = 3; // of a performer at a table the arms
const AWAY = 0.15;
const BACK = 0.35; // of the farthest it was away
const BACK_FRAMES = 5;
const SHOWN = 0.75; // of the farthest: until then what was to be shown was shown

export function restWatch() {
  let rest = null;
  let distances = [];
  let backFor = 0;
  const again = () => {
    distances = [];
    backFor = 0;
  };
  return {
    // Measuring begins anew; rest stays what it was.
    again,
    // How the performer stands now is rest; measuring begins anew.
    begin(moving) {
      rest = joints(moving) ?? rest;
      again();
    },
    // Takes in a frame; whether the performer has gone away and is back. Without a beginning, the first one seen is rest,
    // of a body rather than of a hand.
    isBack(moving) {
      const now = joints(moving);
      if (now && (!rest || (isBody(now) && !isBody(rest)))) this.begin(moving);
      const distance = now && isBody(now) === isBody(rest) ? between(rest, now) : (distances.at(-1) ?? 0);
      distances.push(distance);
      const farthest = Math.max(...distances);
      backFor = farthest > AWAY && distance < BACK * farthest ? backFor + 1 : 0;
      return backFor >= BACK_FRAMES;
    },
    // How many frames at the end are of the way back.
    framesOfWayBack() {
      const farthest = Math.max(...distances);
      return distances.length - 1 - distances.findLastIndex((distance) => distance >= SHOWN * farthest);
    },
  };
}

// Pairs of numbers around the body's middle (or the wrist of a hand), in torso (or palm) lengths; null if hardly any was seen.
function joints({ pose, right_hand, left_hand }) {
  if (pose) {
    const middle = (a, b) => [(pose[a * 4] + pose[b * 4]) / 2, (pose[a * 4 + 1] + pose[b * 4 + 1]) / 2];
    const hips = middle(23, 24);
    const points = JOINTS.map((one) => (pose[one * 4 + 3] >= LEAST_SEEN ? [pose[one * 4], pose[one * 4 + 1]] : null));
    return points.filter(Boolean).length < FEWEST_SEEN ? null : around(hips, middle(11, 12), points);
  }
  const hand = right_hand ?? left_hand;
  const points = hand && [...Array(21).keys()].map((one) => [hand[one * 3], hand[one * 3 + 1]]);
  return points ? around(points[0], points[9], points) : null;
}

function around([x, y], other, points) {
  const length = Math.hypot(other[0] - x, other[1] - y) || 1;
  return points.map((point) => point && [(point[0] - x) / length, (point[1] - y) / length]);
}

const isBody = (points) => points.length === JOINTS.length;

function between(one, other) {
  const squares = one.flatMap((point, index) => {
    const next = other[index];
    return point && next ? [(point[0] - next[0]) ** 2 + (point[1] - next[1]) ** 2] : [];
  });
  return squares.length ? Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length) : 0;
}
