/** @file Arithmetic on boxes: [N,4] xyxy, pixels, exclusive right and bottom edges, flat in a Float32Array. */

/** Area of box `i`; 0 for a box with crossed edges. */
export function boxArea(boxes: Float32Array, i: number): number {
  return Math.max(0, boxes[4 * i + 2]! - boxes[4 * i]!) * Math.max(0, boxes[4 * i + 3]! - boxes[4 * i + 1]!)
}

/** Area that box `i` of `a` and box `j` of `b` share. */
function sharedArea(a: Float32Array, i: number, b: Float32Array, j: number): number {
  const w = Math.min(a[4 * i + 2]!, b[4 * j + 2]!) - Math.max(a[4 * i]!, b[4 * j]!)
  const h = Math.min(a[4 * i + 3]!, b[4 * j + 3]!) - Math.max(a[4 * i + 1]!, b[4 * j + 1]!)
  return w > 0 && h > 0 ? w * h : 0
}

/** Intersection over union of box `i` of `a` and box `j` of `b`, 0..1; 0 where both are empty. */
export function iou(a: Float32Array, i: number, b: Float32Array, j: number): number {
  const inner = sharedArea(a, i, b, j)
  return inner === 0 ? 0 : inner / (boxArea(a, i) + boxArea(b, j) - inner)
}

/**
 * Generalised IoU, -1..1: IoU - (|E| - U) / |E|, E the smallest box around both (Rezatofighi et al. 2019). Equal to the IoU where E is
 * empty.
 */
export function giou(a: Float32Array, i: number, b: Float32Array, j: number): number {
  const inner = sharedArea(a, i, b, j)
  const union = boxArea(a, i) + boxArea(b, j) - inner
  const outer = boxArea(enclosingBox(a, i, b, j), 0)
  const overlap = inner === 0 ? 0 : inner / union
  return outer === 0 ? overlap : overlap - (outer - union) / outer
}

/** The smallest box around box `i` of `a` and box `j` of `b`: LCP's contextual region E(A,B). [1,4]. */
export function enclosingBox(a: Float32Array, i: number, b: Float32Array, j: number): Float32Array {
  return Float32Array.of(
    Math.min(a[4 * i]!, b[4 * j]!), Math.min(a[4 * i + 1]!, b[4 * j + 1]!),
    Math.max(a[4 * i + 2]!, b[4 * j + 2]!), Math.max(a[4 * i + 3]!, b[4 * j + 3]!),
  )
}

/** IoU of every box of `a` [N,4] with every box of `b` [M,4]: [N,M]. */
export function iouMatrix(a: Float32Array, b: Float32Array): Float32Array {
  const N = a.length / 4
  const M = b.length / 4
  const out = new Float32Array(N * M)
  for (let i = 0; i < N; i++) for (let j = 0; j < M; j++) out[i * M + j] = iou(a, i, b, j)
  return out
}

/** A copy with every edge moved into the image. */
export function clipBoxes(boxes: Float32Array, width: number, height: number): Float32Array {
  return boxes.map((v, at) => Math.min(Math.max(v, 0), at % 2 === 0 ? width : height))
}
