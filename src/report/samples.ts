/** @file How good the detections of single images are, and which images show what pruning cost. */
import type { Detections, GroundTruth, Sample } from '../detection/annotation.ts'
import { foreground } from '../metrics/error-matching.ts'

/** One image as the page shows it. */
export interface SamplePicture {
  /** "labels", "before", "after" */
  readonly label: string
  /** WebP. */
  readonly base64: string
  readonly width: number
  readonly height: number
  /** What is in it, in words. */
  readonly alt: string
  readonly quality?: number
}

/** The pictures of one run, or why there are none. */
export type SampleSet = {
  readonly run: string
} & ({ readonly why: string } | {
  readonly samples: readonly { readonly name: string; readonly pictures: readonly SamplePicture[] }[]
  /** Images that were looked through. */
  readonly images: number
  readonly split: string
  readonly threshold: number
  /** Whether there is a detector before to compare with. */
  readonly compared: boolean
})

/**
 * Panoptic quality of boxes (Kirillov et al. 2019, for segments): the IoU of all pairs that match, over their number plus half of the false and the
 * missed. Pairs are matched best score first, at an IoU of at least .5, within a class. Crowds and difficult objects are not missed, and
 * what finds them is not false. 1 where there is nothing to find and nothing is found.
 */
export function qualityOf(truth: GroundTruth, { boxes, labels }: Detections): number {
  const taken = new Uint8Array(truth.labels.length)
  const free = (g: number): boolean => truth.crowd[g] === 1 || truth.difficult[g] === 1
  let ious = 0
  let right = 0
  let wrong = 0
  for (let d = 0; d < labels.length; d++) {
    let best = -1
    let most = 0
    let forgiven = false
    for (let g = 0; g < truth.labels.length; g++) {
      if (truth.labels[g] !== labels[d] || taken[g] === 1) continue
      const overlap = overlapOf(boxes, d, truth.boxes, g, truth.crowd[g] === 1)
      if (overlap < foreground) continue
      if (free(g)) forgiven = true
      else if (overlap > most) [best, most] = [g, overlap]
    }
    if (best >= 0) {
      taken[best] = 1
      right++
      ious += most
    } else if (!forgiven) wrong++
  }
  const asked = truth.labels.reduce((n, _, g) => n + (free(g) ? 0 : 1), 0)
  const all = right + (wrong + asked - right) / 2
  return all === 0 ? 1 : ious / all
}

/** IoU of two boxes, xyxy; with a crowd, the share of the first inside it. */
function overlapOf(a: Float32Array, i: number, b: Float32Array, j: number, crowd: boolean): number {
  const [ax1, ay1, ax2, ay2] = a.subarray(4 * i, 4 * i + 4) as unknown as [number, number, number, number]
  const [bx1, by1, bx2, by2] = b.subarray(4 * j, 4 * j + 4) as unknown as [number, number, number, number]
  const inner = Math.max(0, Math.min(ax2, bx2) - Math.max(ax1, bx1)) * Math.max(0, Math.min(ay2, by2) - Math.max(ay1, by1))
  const own = (ax2 - ax1) * (ay2 - ay1)
  return inner === 0 ? 0 : inner / (crowd ? own : own + (bx2 - bx1) * (by2 - by1) - inner)
}

/** An image with what was found in it by one detector or two. */
export interface JudgedImage {
  readonly sample: Sample
  readonly before?: Detections
  readonly after: Detections
  readonly qualityBefore?: number
  readonly qualityAfter: number
}

/** The `count` worst: by what was lost, or with one detector by what is poor; of equals the poorer, then the first. */
export function worstOf(images: readonly JudgedImage[], count: number): JudgedImage[] {
  const loss = (image: JudgedImage): number => (image.qualityBefore ?? 1) - image.qualityAfter
  return [...images].sort((a, b) => loss(b) - loss(a) || a.qualityAfter - b.qualityAfter).slice(0, count)
}

/** The sets with as many samples each, of the worst first, as `bytes` of pictures hold. */
export function fitSamples(sets: readonly SampleSet[], bytes: number): SampleSet[] {
  const cut = (count: number): SampleSet[] => sets.map((set) => ('why' in set ? set : { ...set, samples: set.samples.slice(0, count) }))
  const size = (list: readonly SampleSet[]): number => list.reduce((sum, set) => sum + ('why' in set ? 0 : set.samples.reduce((t, { pictures }) => t + pictures.reduce((n, p) => n + p.base64.length, 0), 0)), 0)
  let count = Math.max(0, ...sets.map((set) => ('why' in set ? 0 : set.samples.length)))
  while (count > 0 && size(cut(count)) > bytes) count--
  return cut(count)
}

/** "3 cat, 1 dog" */
export function inWords(labels: Int32Array, classes: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const label of labels) counts.set(classes[label] ?? String(label), (counts.get(classes[label] ?? String(label)) ?? 0) + 1)
  return counts.size === 0 ? 'nothing' : [...counts].map(([name, n]) => `${n} ${name}`).join(', ')
}
