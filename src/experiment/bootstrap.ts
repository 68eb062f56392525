/** @file Paired bootstrap of differences in AP, over images and seeds. */
import type { ResampledAp, Resampler } from '../metrics/coco-resample.ts'
import { createRng } from '../tensor/rng.ts'
import { quantile } from './statistics.ts'

export const apNames = ['AP', 'AP50', 'AP75'] as const satisfies readonly (keyof ResampledAp)[]
export type ApName = (typeof apNames)[number]

/** The detectors of one row by seed, all measured on the same images in the same order. */
export type BySeed = ReadonlyMap<number, Resampler>

export interface Difference {
  /** Mean over the seeds that both rows have, row minus reference, on the images as they are. */
  readonly difference: number
  /** 95% interval: the 2.5th and the 97.5th percentile of the resamples. */
  readonly low: number
  readonly high: number
}

export interface Comparison extends Readonly<Record<ApName, Difference>> {
  readonly seeds: readonly number[]
}

export interface BootstrapOptions {
  readonly images: number
  readonly resamples: number
  readonly seed: number | string
}

/**
 * Each row against the reference. A resample draws the images with replacement, as many as there are, and the seeds likewise; the same
 * images are drawn for both rows and for all seeds (both were measured on them), and the same seeds for both rows (both started from the same trained
 * detector). Its difference is the mean over the drawn seeds of AP(row) - AP(reference), each AP that of the drawn images. Undefined for rows that
 * share no seed with the reference.
 */
export function compareRows(rows: ReadonlyMap<string, BySeed>, reference: BySeed, { images, resamples, seed }: BootstrapOptions): Map<string, Comparison | undefined> {
  const counts = drawImages(images, resamples, seed)
  const once = new Int32Array(images).fill(1)
  const measure = (resampler: Resampler): Measures => ({ plain: resampler(once), drawn: counts.map(resampler) })
  const referenceOf = new Map([...reference].map(([s, resampler]) => [s, measure(resampler)]))
  return new Map([...rows].map(([name, bySeed]) => {
    const seeds = [...bySeed.keys()].filter((s) => referenceOf.has(s))
    if (seeds.length === 0) return [name, undefined]
    const pairs = seeds.map((s) => [measure(bySeed.get(s)!), referenceOf.get(s)!] as const)
    const draws = drawSeeds(seeds.length, resamples, seed)
    const by = (ap: ApName): Difference => {
      const differences = counts.map((_, b) => mean(draws[b]!.map((i) => pairs[i]![0].drawn[b]![ap] - pairs[i]![1].drawn[b]![ap])))
      return { difference: mean(pairs.map(([row, ref]) => row.plain[ap] - ref.plain[ap])), low: quantile(differences, 0.025), high: quantile(differences, 0.975) }
    }
    return [name, { seeds, AP: by('AP'), AP50: by('AP50'), AP75: by('AP75') }]
  }))
}

interface Measures {
  readonly plain: ResampledAp
  /** By resample. */
  readonly drawn: readonly ResampledAp[]
}

/** How often each image is drawn, by resample. */
export function drawImages(images: number, resamples: number, seed: number | string): Int32Array[] {
  const rng = createRng(`${seed}/bootstrap images`)
  return Array.from({ length: resamples }, () => {
    const counts = new Int32Array(images)
    for (let i = 0; i < images; i++) counts[rng.int(images)]!++
    return counts
  })
}

/** Which of `count` seeds are drawn, by resample. */
export function drawSeeds(count: number, resamples: number, seed: number | string): number[][] {
  const rng = createRng(`${seed}/bootstrap seeds`)
  return Array.from({ length: resamples }, () => Array.from({ length: count }, () => rng.int(count)))
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length
}

/** Whether the interval excludes 0, and on which side it lies. */
export function verdictOf({ low, high }: Difference): 'ahead' | 'behind' | 'undecided' {
  return low > 0 ? 'ahead' : high < 0 ? 'behind' : 'undecided'
}
