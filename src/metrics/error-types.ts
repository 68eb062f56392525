/** @file Error types of a detector, as TIDE defines them (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020). */
import type { Detections, GroundTruth } from '../detection/annotation.ts'
import { checkCocoInput, cocoInputOf, type CocoEvalInput } from './coco-input.ts'
import { type ErrorMatches, matchErrors, verdicts } from './error-matching.ts'

/** The six types, in TIDE's order. */
export const errorKinds = ['classification', 'localization', 'both', 'duplicate', 'background', 'missed'] as const
export type ErrorKind = (typeof errorKinds)[number]

export interface ErrorTypes {
  /** AP at IoU .5 that the differences are to, in 0..1: COCO's AP50, but for 100 detections of an image in all and classes that have detections without any object; -1 without objects. */
  readonly AP50: number
  /** AP50 with all errors of one type mended, minus AP50. */
  readonly dAP: Readonly<Record<ErrorKind, number>>
  /** The same with all wrong detections scored 0 (and the right ones 1), and with the objects not asked for that were not found. */
  readonly falsePositive: number
  readonly falseNegative: number
  /** Detections of each type; objects missed. */
  readonly count: Readonly<Record<ErrorKind, number>>
}

const recallSteps = 100

/** The error types for images of ours; crowds and difficult objects as for COCO's numbers. */
export function evaluateErrorTypes(images: readonly { truth: GroundTruth; detections: Detections }[], classCount: number): ErrorTypes {
  return errorTypes(cocoInputOf(images, classCount))
}

/**
 * The error types of flat input; time grows with detections times objects of an image. Equal to tidecv 1.0.1 where scores differ
 * (it sorts wrong detections before right ones of the same score, but only where it mends).
 */
export function errorTypes(input: CocoEvalInput): ErrorTypes {
  checkCocoInput(input)
  const matches = matchErrors(input)
  const count = counts(matches)
  if (matches.positives.every((n) => n === 0)) {
    return { AP50: -1, dAP: each(() => -1), falsePositive: -1, falseNegative: -1, count }
  }
  const AP50 = meanAp(input, matches, {})
  const gain = (fix: Fix): number => meanAp(input, matches, fix) - AP50
  return {
    AP50,
    // A mended detector that scores less does so by where recalls fall between the points.
    dAP: each((kind) => Math.max(0, gain(kind === 'missed' ? { unasked: matches.missed } : { kind: verdicts[kind] }))),
    falsePositive: gain({ separated: true }),
    falseNegative: gain({ unasked: matches.unfound }),
    count,
  }
}

function each(value: (kind: ErrorKind) => number): Record<ErrorKind, number> {
  return Object.fromEntries(errorKinds.map((kind) => [kind, value(kind)])) as Record<ErrorKind, number>
}

function counts({ order, verdict, missed }: ErrorMatches): Record<ErrorKind, number> {
  const tally = new Int32Array(Object.keys(verdicts).length)
  for (let i = 0; i < order.length; i++) tally[verdict[order[i]!]!]!++
  return each((kind) => (kind === 'missed' ? missed.reduce((sum, n) => sum + n, 0) : tally[verdicts[kind]]!))
}

/** What is mended. */
interface Fix {
  /** Detections of this verdict find the object that they point at, or go. */
  readonly kind?: number
  /** [classes] objects no longer asked for. */
  readonly unasked?: Int32Array
  /** Right detections all score above all wrong ones. */
  readonly separated?: boolean
}

/** Mean over the classes that have objects or detections of AP at IoU .5. A class without objects has AP 0. */
function meanAp({ truth, detections, classes }: CocoEvalInput, { order, verdict, ignored, mends, positives }: ErrorMatches, { kind, unasked, separated }: Fix): number {
  const start = new Int32Array(classes + 1)
  for (let k = 0; k < classes; k++) start[k + 1] = start[k]! + positives[k]!
  // [class, hit] precision at each hit.
  const precision = new Float64Array(start[classes]!)
  const hits = new Int32Array(classes)
  const misses = new Int32Array(classes)
  for (let i = 0; i < order.length; i++) {
    const d = order[i]!
    const mended = verdict[d] === kind
    if (mended && mends[d]! < 0) continue
    const k = mended ? truth.label[mends[d]!]! : detections.label[d]!
    if (mended || verdict[d] === verdicts.correct) {
      const n = ++hits[k]!
      precision[start[k]! + n - 1] = separated ? 1 : n / (n + misses[k]!)
    } else if (ignored[d] === 0) misses[k]!++
  }
  let sum = 0
  let measured = 0
  for (let k = 0; k < classes; k++) {
    const asked = positives[k]! - (unasked?.[k] ?? 0)
    if (asked + hits[k]! + misses[k]! === 0) continue
    measured++
    if (asked > 0) sum += averagePrecision(precision.subarray(start[k]!, start[k]! + hits[k]!), asked)
  }
  return measured === 0 ? 0 : sum / measured
}

/** Mean of the best precision at or beyond the recalls 0, .01 .. 1; overwrites `precision`. */
function averagePrecision(precision: Float64Array, positives: number): number {
  for (let n = precision.length - 1; n > 0; n--) precision[n - 1] = Math.max(precision[n - 1]!, precision[n]!)
  let sum = 0
  let n = 0
  for (let r = 0; r <= recallSteps; r++) {
    while (n < precision.length && (n + 1) / positives < r / recallSteps) n++
    if (n === precision.length) break
    sum += precision[n]!
  }
  return sum / (recallSteps + 1)
}
