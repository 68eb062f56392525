/** @file Training targets of an SSD: a class and four offsets for every default box. */
import { encodeBox, ssdVariances, type Variances } from './box-coder.ts'
import type { DefaultBoxes } from './default-boxes.ts'

/** Batch buffers for N images of D default boxes. */
export interface SsdTargets {
  /** [N,D] 0 is background, 1 + class otherwise. */
  readonly labels: Int32Array | BigInt64Array
  /** [N,D,4] offsets in SSD's coding; 0 for background. */
  readonly offsets: Float32Array
}

/**
 * Writes the targets of one image to place `image` of the batch buffers. `truth` has boxes [G,4] xyxy in pixels of the network's input and
 * labels [G]; `matches` [D] comes from a matcher, which leaves out crowds and difficult objects. Returns the number of matched boxes.
 */
export function encodeTargets(
  truth: { readonly boxes: Float32Array; readonly labels: Int32Array },
  matches: Int32Array, defaults: DefaultBoxes, out: SsdTargets, image: number, variances: Variances = ssdVariances,
): number {
  const D = defaults.count
  if (matches.length !== D) throw new RangeError(`${matches.length} matches for ${D} default boxes`)
  if (out.labels.length < (image + 1) * D || out.offsets.length < 4 * (image + 1) * D) {
    throw new RangeError(`image ${image} of ${D} default boxes does not fit target buffers of ${out.labels.length} labels and ${out.offsets.length} offsets`)
  }
  const { labels, offsets } = out
  const first = image * D
  offsets.fill(0, 4 * first, 4 * (first + D))
  if (labels instanceof BigInt64Array) labels.fill(0n, first, first + D)
  else labels.fill(0, first, first + D)
  let count = 0
  for (let d = 0; d < D; d++) {
    const g = matches[d]!
    if (g < 0) continue
    count++
    const label = 1 + truth.labels[g]!
    if (labels instanceof BigInt64Array) labels[first + d] = BigInt(label)
    else labels[first + d] = label
    encodeBox(truth.boxes, g, defaults, d, variances, offsets, 4 * (first + d))
  }
  return count
}
