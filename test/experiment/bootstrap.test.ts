/** @file The paired bootstrap: against plain evaluations of repeated images, and where the interval is known beforehand. */
import { describe, expect, it } from 'vitest'
import { type BySeed, compareRows, drawImages, drawSeeds, verdictOf } from '../../src/experiment/bootstrap.ts'
import { quantile } from '../../src/experiment/statistics.ts'
import type { Detections, GroundTruth } from '../../src/detection/annotation.ts'
import { evaluateCoco } from '../../src/metrics/coco-map.ts'
import { resampler } from '../../src/metrics/coco-resample.ts'
import { randomImages } from '../metrics/random-images.ts'

type Images = readonly { truth: GroundTruth; detections: Detections }[]
const constant = (AP: number) => () => ({ AP, AP50: 2 * AP, AP75: AP / 2 })
const options = { images: 5, resamples: 400, seed: 1 }

describe('the paired bootstrap', () => {
  it('is what evaluating each drawn set anew gives', () => {
    const count = 14
    const truths = randomImages('truth', count, 25)
    // The same images and objects for all detectors, each with detections of its own.
    const detector = (name: string): Images => randomImages('truth', count, 25).map(({ truth }, i) => ({ truth, detections: randomImages(`${name} ${i}`, count, 25)[i % 3]!.detections })).map((image, i) => (i % 2 === 0 ? image : { ...image, detections: truths[i]!.detections }))
    const [row, reference] = [['row 0', 'row 1'].map(detector), ['ref 0', 'ref 1'].map(detector)]
    const bySeed = (of: Images[]): BySeed => new Map(of.map((images, s) => [s, resampler(images, 4)]))
    const how = { images: count, resamples: 60, seed: 7 }
    const found = compareRows(new Map([['row', bySeed(row)]]), bySeed(reference), how).get('row')!

    const [imageDraws, seedDraws] = [drawImages(count, 60, 7), drawSeeds(2, 60, 7)]
    const apOf = (images: Images, counts: Int32Array): number => evaluateCoco(images.flatMap((image, i) => Array.from({ length: counts[i]! }, () => image)), 4).AP
    const differences = imageDraws.map((counts, b) => seedDraws[b]!.map((s) => apOf(row[s]!, counts) - apOf(reference[s]!, counts)).reduce((a, v) => a + v, 0) / 2)
    expect(found.AP.low).toBeCloseTo(quantile(differences, 0.025), 12)
    expect(found.AP.high).toBeCloseTo(quantile(differences, 0.975), 12)
    const plain = [0, 1].map((s) => evaluateCoco(row[s]!, 4).AP - evaluateCoco(reference[s]!, 4).AP)
    expect(found.AP.difference).toBeCloseTo((plain[0]! + plain[1]!) / 2, 12)
    expect(found.AP.low).toBeLessThan(found.AP.high)
    expect(found.seeds).toEqual([0, 1])
  })

  it('draws as many images and seeds as there are, the same for the same seed', () => {
    for (const counts of drawImages(9, 50, 3)) expect(counts.reduce((a, b) => a + b, 0)).toBe(9)
    expect(drawImages(9, 50, 3)).toEqual(drawImages(9, 50, 3))
    expect(drawImages(9, 50, 3)).not.toEqual(drawImages(9, 50, 4))
    const seeds = drawSeeds(3, 500, 3)
    expect(new Set(seeds.flat())).toEqual(new Set([0, 1, 2]))
    expect(seeds.every((draw) => draw.length === 3)).toBe(true)
  })

  it('has no width where a row is always as far ahead, whatever is drawn: what images and seeds have in common cancels', () => {
    const noisy = (shift: number) => (counts: ArrayLike<number>) => constant(0.01 * counts[0]! + shift)()
    const reference: BySeed = new Map([[0, noisy(0.2)], [1, noisy(0.5)]])
    const row: BySeed = new Map([[0, noisy(0.3)], [1, noisy(0.6)]])
    const { AP, AP50 } = compareRows(new Map([['row', row]]), reference, options).get('row')!
    for (const v of [AP.difference, AP.low, AP.high]) expect(v).toBeCloseTo(0.1, 12)
    expect(AP50.low).toBeCloseTo(0.2, 12)
    expect(verdictOf(AP)).toBe('ahead')
  })

  it('spans the seeds: one ahead and one behind leave it undecided', () => {
    const reference: BySeed = new Map([[0, constant(0.5)], [1, constant(0.5)]])
    const row: BySeed = new Map([[0, constant(0.7)], [1, constant(0.3)]])
    const { AP } = compareRows(new Map([['row', row]]), reference, options).get('row')!
    expect(AP.difference).toBeCloseTo(0, 12)
    expect(AP.low).toBeCloseTo(-0.2, 12)
    expect(AP.high).toBeCloseTo(0.2, 12)
    expect(verdictOf(AP)).toBe('undecided')
  })

  it('pairs the seeds that both have, and says nothing without one', () => {
    const reference: BySeed = new Map([[0, constant(0.5)], [1, constant(0.6)]])
    const rows = new Map<string, BySeed>([['one', new Map([[1, constant(0.5)], [2, constant(0.9)]])], ['none', new Map([[3, constant(1)]])]])
    const found = compareRows(rows, reference, options)
    expect(found.get('one')!.seeds).toEqual([1])
    expect(found.get('one')!.AP.difference).toBeCloseTo(-0.1, 12)
    expect(verdictOf(found.get('one')!.AP)).toBe('behind')
    expect(found.get('none')).toBeUndefined()
  })
})
