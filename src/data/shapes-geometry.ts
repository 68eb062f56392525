/** @file The five shapes of the data set `shapes` as signed distances, which give antialiased edges. */

export const shapeNames = ['disc', 'square', 'triangle', 'star', 'ring'] as const

export interface Shape {
  readonly kind: (typeof shapeNames)[number]
  /** Centre, pixels. */
  readonly x: number
  readonly y: number
  /** Diameter of a disc or ring; the others have about the same extent. Pixels. */
  readonly side: number
  /** Radians. */
  readonly angle: number
}

/** Corners at radius 1 (and the star's inner ones): x, y, x, y... */
const polygons: Readonly<Partial<Record<Shape['kind'], readonly number[]>>> = {
  square: corners(4, Math.PI / 4, () => 1.2),
  triangle: corners(3, -Math.PI / 2, () => 1.2),
  star: corners(10, -Math.PI / 2, (i) => (i % 2 === 0 ? 1.15 : 0.5)),
}
const ringHole = 0.55

/** Untilted, a square stands on a side, a triangle and a star point up (to smaller y). */
function corners(count: number, start: number, radius: (i: number) => number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const a = start + (2 * Math.PI * i) / count
    return [radius(i) * Math.cos(a), radius(i) * Math.sin(a)]
  }).flat()
}

/** How much of pixel (x, y) the shape covers, 0 to 1. */
export function coverage(shape: Shape): (x: number, y: number) => number {
  const radius = shape.side / 2
  const cos = Math.cos(shape.angle) / radius
  const sin = Math.sin(shape.angle) / radius
  return (x, y) => {
    const dx = x + 0.5 - shape.x
    const dy = y + 0.5 - shape.y
    const distance = distanceTo(shape.kind, cos * dx + sin * dy, cos * dy - sin * dx) * radius
    return Math.min(1, Math.max(0, 0.5 - distance))
  }
}

/** Signed distance to the shape of radius 1 at the origin; negative inside. */
function distanceTo(kind: Shape['kind'], x: number, y: number): number {
  const polygon = polygons[kind]
  if (polygon) return polygonDistance(polygon, x, y)
  const r = Math.sqrt(x * x + y * y)
  return kind === 'ring' ? Math.max(r - 1, ringHole - r) : r - 1
}

function polygonDistance(points: readonly number[], x: number, y: number): number {
  let nearest = Infinity
  let inside = false
  for (let i = 0, j = points.length - 2; i < points.length; j = i, i += 2) {
    const ax = points[i]!
    const ay = points[i + 1]!
    const ex = points[j]! - ax
    const ey = points[j + 1]! - ay
    const wx = x - ax
    const wy = y - ay
    const t = Math.min(1, Math.max(0, (wx * ex + wy * ey) / (ex * ex + ey * ey)))
    const px = wx - ex * t
    const py = wy - ey * t
    nearest = Math.min(nearest, px * px + py * py)
    // An edge between above and below, and to the right of the point, is crossed.
    if (ay > y !== ay + ey > y && x < ax + (ex * (y - ay)) / ey) inside = !inside
  }
  return inside ? -Math.sqrt(nearest) : Math.sqrt(nearest)
}
