// Draws body and hands: `points` are x, y (0..1) and whatever follows, `step` numbers for each.

export const BODY = [
  [11, 12], [11, 23], [12, 24], [23, 24], [11, 13], [13, 15], [12, 14], [14, 16],
  [23, 25], [25, 27], [24, 26], [26, 28], [27, 31], [28, 32],
];
export const HAND = [
  [0, 1], [1, 2], [2, 3], [3, 4], [0, 5], [5, 6], [6, 7], [7, 8], [5, 9], [9, 10], [10, 11], [11, 12],
  [9, 13], [13, 14], [14, 15], [15, 16], [13, 17], [17, 18], [18, 19], [19, 20], [0, 17],
];
const BODY_JOINTS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28];
const LEAST_VISIBLE = 0.3;

// `place(x, y)` gives the pixel of a point; `size` is the thickness of a bone.
export function drawSkeleton(context, parts, place, { colour, size, joints = true }) {
  if (parts.pose) drawBody(context, parts.pose, place, colour, size, joints);
  for (const hand of [parts.left_hand, parts.right_hand]) {
    if (hand) drawBones(context, hand, 3, HAND, () => true, place, colour, size * 0.6);
  }
}

function drawBody(context, pose, place, colour, size, joints) {
  const isSeen = (index) => pose[index * 4 + 3] === undefined || pose[index * 4 + 3] >= LEAST_VISIBLE;
  drawBones(context, pose, 4, BODY, isSeen, place, colour, size);
  const point = (index) => place(pose[index * 4], pose[index * 4 + 1]);
  if (isSeen(0)) {
    const [x, y] = point(0);
    const [ax, ay] = point(7);
    const [bx, by] = point(8);
    context.beginPath();
    context.arc(x, y, Math.max(Math.hypot(ax - bx, ay - by) * 0.75, size * 2), 0, 2 * Math.PI);
    context.stroke();
  }
  if (!joints) return;
  context.fillStyle = "#ffffff";
  for (const index of BODY_JOINTS) {
    if (!isSeen(index)) continue;
    const [x, y] = point(index);
    context.beginPath();
    context.arc(x, y, size * 0.9, 0, 2 * Math.PI);
    context.fill();
  }
}

function drawBones(context, points, step, bones, isSeen, place, colour, size) {
  context.lineCap = "round";
  context.lineJoin = "round";
  const lines = new Path2D();
  for (const [from, to] of bones) {
    if (!isSeen(from) || !isSeen(to)) continue;
    lines.moveTo(...place(points[from * step], points[from * step + 1]));
    lines.lineTo(...place(points[to * step], points[to * step + 1]));
  }
  context.strokeStyle = "rgba(8, 10, 13, 0.55)"; // so that it is seen on any picture
  context.lineWidth = size * 1.9;
  context.stroke(lines);
  context.strokeStyle = colour;
  context.lineWidth = size;
  context.stroke(lines);
}
