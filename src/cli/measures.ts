/** @file Measurements as commands print and save them. */
import type { SkippedImage } from '../detection/annotation.ts'
import type { CocoNumbers } from '../metrics/coco-map.ts'
import { errorKinds, type ErrorTypes } from '../metrics/error-types.ts'
import type { Measured } from '../pruning/prune.ts'
import type { Evaluation } from '../train/evaluate.ts'
import type { TrainResult } from '../train/train.ts'
import type { Context } from './context.ts'
import { amount, score, table } from './table.ts'

const numberNames = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl'] as const satisfies readonly (keyof CocoNumbers)[]

/** COCO's twelve numbers alone. */
export function cocoNumbers(summary: CocoNumbers): CocoNumbers {
  return Object.fromEntries(numberNames.map((name) => [name, summary[name]])) as unknown as CocoNumbers
}

/** An evaluation with its classes by name and the skipped images counted. */
export function evaluationJson(e: Evaluation, classes: readonly string[]) {
  return {
    images: e.images,
    ...skippedJson(e.skipped),
    ...cocoNumbers(e),
    perClass: Object.fromEntries(e.measured.map((i) => [classes[i] ?? String(i), e.perClass[i]!])),
    errorTypes: e.errorTypes,
  }
}

export function measuredJson(m: Measured, classes: readonly string[]) {
  return { params: m.params, macs: m.macs, ...evaluationJson(m, classes) }
}

/** What steps waited for images; after the first batch that is next to nothing, unless the images are slower than the steps. */
export function waitedJson({ first, later }: TrainResult['waitedSeconds']) {
  return { waitedSeconds: first + later, waitedForFirstBatch: first, waitedAfterFirstBatch: later }
}

/** The twelve numbers as a table of two lines, then the classes. */
export function numbersTable(numbers: CocoNumbers, classes: Readonly<Record<string, { AP: number; AP50: number }>>): string {
  const all = table(['', ...numberNames], [['all', ...numberNames.map((name) => score(numbers[name]))]])
  const rows = Object.entries(classes).map(([name, ap]) => [name, score(ap.AP), score(ap.AP50)])
  return rows.length > 1 ? `${all}\n\n${table(['class', 'AP', 'AP50'], rows)}` : all
}

/** What each type of error costs, in AP50, and how many there are. */
export function errorsTable({ dAP, falsePositive, falseNegative, count }: ErrorTypes): string {
  const gain = (value: number): string => (value === -1 ? '-' : value.toFixed(3))
  const rows = [...errorKinds.map((kind) => [kind, gain(dAP[kind]), String(count[kind])]), ['all false positives', gain(falsePositive), ''], ['all false negatives', gain(falseNegative), '']]
  return table(['error', 'dAP50', 'count'], rows)
}

/** One line a state of a model: "before", "cut", "after". */
export function costTable(rows: Readonly<Record<string, Pick<Measured, 'params' | 'macs' | 'AP' | 'AP50' | 'AP75'>>>): string {
  return table(['', 'params', 'MACs', 'AP', 'AP50', 'AP75'], Object.entries(rows).map(([name, m]) => [name, amount(m.params), amount(m.macs), score(m.AP), score(m.AP50), score(m.AP75)]))
}

/** Images that several readers could not use, each once. */
export function allSkipped(...lists: readonly (readonly SkippedImage[])[]): SkippedImage[] {
  return [...new Map(lists.flat().map((s) => [s.path, s])).values()]
}

/** Names the images that could not be used, on stderr and in the log. */
export function tellSkipped(skipped: readonly SkippedImage[], context: Context, log: (text: string) => void = () => {}): void {
  for (const { reason } of skipped) {
    // The reason starts with the path already.
    context.note(`skipped: ${reason}`)
    log(`skipped: ${reason}`)
  }
}

/** The images of a run that could not be used, as it is saved. */
export function skippedJson(skipped: readonly SkippedImage[]) {
  return { skipped: skipped.length, skippedFiles: skipped }
}
