/** @file COCO scores of files against the numbers of pycocotools 2.0 (COCOeval, bbox). */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { scoreCocoFiles, type CocoFilesScore } from '../../src/metrics/coco-files.ts'
import { UserError } from '../../src/tensor/error.ts'
import { sharedIt } from '../support/shared.ts'
import { randomCoco } from './coco-random.ts'

const names = { truth: 'gt.json', results: 'dt.json' }
const keys = ['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl'] as const

function expectNumbers(score: CocoFilesScore, expected: readonly number[]): void {
  keys.forEach((key, i) => expect(Math.abs(score[key] - expected[i]!), `${key} is ${score[key]}, pycocotools says ${expected[i]}`).toBeLessThan(1e-6))
}

function read(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

describe('files of cocoapi and others', () => {
  sharedIt('oracles/coco/instances_val2014_100.json', '100 images of val2014, the published numbers', (path) => {
    const score = scoreCocoFiles(read(path), read(`${dirname(path)}/instances_val2014_fakebbox100_results.json`), names)
    expectNumbers(score, [0.504580699, 0.696972725, 0.572981667, 0.585625721, 0.519399695, 0.501397899, 0.38681278, 0.593679576, 0.595352983, 0.639810963, 0.566420598, 0.564290598])
    const by = (name: string): unknown => score.perClass.find((c) => c.name === name)
    expect(score.perClass).toHaveLength(80)
    expect(by('person')).toMatchObject({ id: 1, AP: expect.closeTo(0.5326060142, 9), AP50: expect.closeTo(0.7883423915, 9) })
    expect(by('toothbrush')).toMatchObject({ id: 90, AP: expect.closeTo(0.6475247525, 9), AP50: expect.closeTo(0.900990099, 9) })
    expect(by('umbrella')).toMatchObject({ AP: 0, AP50: 0 })
    expect(by('fire hydrant')).toMatchObject({ AP: -1, AP50: -1 })
    expect(score.problems).toEqual([])
  })

  sharedIt('oracles/coco/gt_dataset.json', 'four classes, no small objects', (path) => {
    const score = scoreCocoFiles(read(path), read(`${dirname(path)}/dt_dataset.json`), names)
    expectNumbers(score, [0.694719472, 0.694719472, 0.694719472, -1, 0.792079208, 0, 0.666666667, 0.75, 0.75, -1, 0.791666667, 0])
  })

  // The file gives its image's id as text in two places and as a number in others; the numbers are pycocotools' with numbers everywhere.
  sharedIt('oracles/coco/gt_ignore_test.json', 'crowds and ignored objects', (path) => {
    const score = scoreCocoFiles(read(path), read(`${dirname(path)}/dt_ignore_test.json`), names)
    expectNumbers(score, [0.70990099, 1, 0.841584158, -1, 0.70990099, -1, 0, 0.453846154, 0.715384615, -1, 0.715384615, -1])
  })
})

describe('seeded files with ties, crowds and more than 100 detections', () => {
  it.each([
    { seed: 'a', images: 40, perImage: 12, expected: [0.140665162, 0.313085569, 0.094159492, 0.166246484, 0.192687292, 0.050971457, 0.152676768, 0.383715729, 0.383715729, 0.315353535, 0.434754441, 0.2375] },
    { seed: 'b', images: 6, perImage: 400, expected: [0.200718576, 0.35131093, 0.239189635, 0.411587302, 0.248542224, 0.289904128, 0.174074074, 0.611111111, 0.816666667, 0.766666667, 0.825238095, 0.825] },
    { seed: 'c', images: 60, perImage: 3, expected: [0.08314069, 0.178290544, 0.058746381, 0.048140814, 0.097750212, 0.098375887, 0.138543328, 0.174896942, 0.174896942, 0.07, 0.190933141, 0.219360269] },
    { seed: 'd', images: 300, perImage: 30, expected: [0.160822246, 0.331905703, 0.121414694, 0.097256833, 0.203380277, 0.155138846, 0.182764205, 0.590824203, 0.625244791, 0.459649725, 0.653446581, 0.719096654] },
  ])('seed $seed', ({ seed, images, perImage, expected }) => {
    const { truth, results } = randomCoco(seed, images, perImage)
    expectNumbers(scoreCocoFiles(truth, results, names), expected)
  })

  it('ids do not matter: a ground truth of id 0, ids as text, a shuffled list of categories', () => {
    const { truth, results } = randomCoco('a', 40, 12)
    const expected = scoreCocoFiles(truth, results, names)
    const fromZero = truth.annotations.map((a, i) => ({ ...a, id: i }))
    const asText = results.map((r) => ({ ...r, image_id: String(r.image_id) }))
    expect(scoreCocoFiles({ ...truth, annotations: fromZero, categories: truth.categories.slice().reverse() }, asText, names)).toEqual(expected)
  })
})

describe('wrong files', () => {
  const truth = {
    images: [{ id: 1 }], categories: [{ id: 3, name: 'cell' }],
    annotations: [{ image_id: 1, category_id: 3, bbox: [0, 0, 40, 40] }],
  }
  const result = { image_id: 1, category_id: 3, bbox: [0, 0, 40, 40], score: 0.5 }
  const message = (gt: unknown, dt: unknown): string => {
    try {
      scoreCocoFiles(gt, dt, names)
    } catch (error) {
      expect(error).toBeInstanceOf(UserError)
      return String(error)
    }
    throw new Error('was accepted')
  }

  it('takes the box as area where there is none, and no result as recall 0', () => {
    expect(scoreCocoFiles(truth, [result], names)).toMatchObject({ AP: expect.closeTo(1, 12), APm: expect.closeTo(1, 12), APs: -1, AR1: 1 })
    expect(scoreCocoFiles(truth, [], names)).toMatchObject({ AP: 0, AR100: 0, APl: -1 })
  })

  it('an image that the ground truth does not have', () => {
    expect(message(truth, [result, { ...result, image_id: 9 }])).toContain('dt.json: result 1: image_id 9 is not among the 1 images of gt.json')
  })

  it('a field that is missing or of the wrong kind, with its place', () => {
    expect(message(truth, [{ ...result, bbox: [1, 2, 3] }])).toContain('dt.json: [0].bbox')
    expect(message(truth, [{ ...result, score: '1' }])).toContain('dt.json: [0].score')
    expect(message({ ...truth, annotations: [{ image_id: 1 }] }, [])).toContain('gt.json: annotations[0].category_id')
    expect(message(truth, { results: [] })).toContain('COCO results are an array of')
  })

  it('ids that stand twice', () => {
    expect(message({ ...truth, images: [{ id: 1 }, { id: '1' }] }, [])).toContain('gt.json: images: an id stands twice')
    expect(message({ ...truth, categories: [...truth.categories, ...truth.categories] }, [])).toContain('gt.json: categories: an id stands twice')
  })

  it('tells what it leaves out, as pycocotools leaves it out', () => {
    const score = scoreCocoFiles({ ...truth, annotations: [...truth.annotations, { image_id: 2, category_id: 3, bbox: [0, 0, 1, 1] }] }, [result, { ...result, category_id: 0 }], names)
    expect(score.AP).toBeCloseTo(1, 12)
    expect(score.problems).toEqual([
      'dt.json: 1 of 2 results name a category_id that gt.json does not have (0); they are left out',
      'gt.json: 1 of 2 annotations name an image or category that the file does not have; they are left out',
    ])
  })
})
