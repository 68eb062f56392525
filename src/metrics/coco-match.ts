/** @file COCO matching: every detection against the ground truth of its image and class, for all IoU thresholds and area ranges. */
import { GroupMatcher } from './coco-group.ts'
import { allThresholds, areaCount, areaRanges, checkCocoInput, maxDetections, type CocoEvalInput } from './coco-input.ts'
import { countUp, sortByKey, sortDescending } from './sorting.ts'

/**
 * Outcome of the matching, for detections by class and best score first within a class. Bit t of a mask belongs to IoU threshold t;
 * masks lie at [area range, place in that order].
 */
export interface CocoMatches {
  /** [classes + 1] where each class begins. */
  readonly classStart: Int32Array
  /** [N] image of each. */
  readonly image: Int32Array
  /** [N] how many of its image and class score better; those from `maxDetections` on do not count. */
  readonly rank: Int32Array
  /** Found a ground truth that counts. */
  readonly hit: Uint16Array
  /** Counts neither as found nor as false. */
  readonly ignored: Uint16Array
  /** [area ranges, classes] ground truths that count. */
  readonly positives: Int32Array
}

export function matchCoco(input: CocoEvalInput): CocoMatches {
  const { truth, detections, images, classes } = input
  checkCocoInput(input)
  const byImage = (indices: Int32Array, image: Int32Array): Int32Array => sortByKey(indices, image, images).order
  // Equal scores go by image, then by place in the input: pycocotools' stable merge sort over the images.
  const byScore = sortDescending(byImage(countUp(detections.scores.length), detections.image), detections.scores)
  const { order, start: classStart } = sortByKey(byScore, detections.label, classes)
  const found = sortByKey(byImage(byScore, detections.image), detections.label, classes).order
  const asked = sortByKey(byImage(countUp(truth.label.length), truth.image), truth.label, classes)

  const places = inverse(order)
  const rank = new Int32Array(order.length)
  const notAsked = ignoredTruths(truth)
  const matcher = new GroupMatcher(input, { found, places, asked: asked.order, notAsked })
  for (let k = 0; k < classes; k++) {
    let g = asked.start[k]!
    const gEnd = asked.start[k + 1]!
    for (let d = classStart[k]!, dEnd = classStart[k + 1]!; d < dEnd; ) {
      const image = detections.image[found[d]!]!
      const from = d
      for (; d < dEnd && detections.image[found[d]!] === image; d++) rank[places[found[d]!]!] = d - from
      while (g < gEnd && truth.image[asked.order[g]!]! < image) g++
      const gFrom = g
      while (g < gEnd && truth.image[asked.order[g]!] === image) g++
      if (g > gFrom) matcher.match(from, Math.min(d, from + maxDetections), gFrom, g)
    }
  }
  const { hit, ignored } = matcher
  ignoreOutOfRange(detections.boxes, order, hit, ignored)
  return { classStart, image: order.map((d) => detections.image[d]!), rank, hit, ignored, positives: countPositives(truth.label, notAsked, classes) }
}

function inverse(order: Int32Array): Int32Array {
  const out = new Int32Array(order.length)
  for (let i = 0; i < order.length; i++) out[order[i]!] = i
  return out
}

/** [area ranges, ground truths] 1 where a ground truth does not count. */
function ignoredTruths({ areas, crowd, ignore }: CocoEvalInput['truth']): Uint8Array {
  const out = new Uint8Array(areaCount * areas.length)
  areaRanges.forEach(([low, high], area) => {
    for (let g = 0; g < areas.length; g++) {
      if (crowd[g] === 1 || ignore[g] === 1 || areas[g]! < low || areas[g]! > high) out[area * areas.length + g] = 1
    }
  })
  return out
}

function countPositives(label: Int32Array, notAsked: Uint8Array, classes: number): Int32Array {
  const out = new Int32Array(areaCount * classes)
  for (let area = 0; area < areaCount; area++) {
    for (let g = 0; g < label.length; g++) if (notAsked[area * label.length + g] === 0) out[area * classes + label[g]!]!++
  }
  return out
}

/** A detection outside an area range is not false there where it found nothing. */
function ignoreOutOfRange(boxes: Float64Array, order: Int32Array, hit: Uint16Array, ignored: Uint16Array): void {
  const sizes = new Float64Array(order.length)
  for (let i = 0; i < order.length; i++) sizes[i] = boxes[4 * order[i]! + 2]! * boxes[4 * order[i]! + 3]!
  areaRanges.forEach(([low, high], area) => {
    for (let i = 0, at = area * order.length; i < order.length; i++, at++) {
      if (sizes[i]! < low || sizes[i]! > high) ignored[at]! |= allThresholds & ~hit[at]!
    }
  })
}
