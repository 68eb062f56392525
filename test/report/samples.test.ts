/** @file Which images show what pruning cost, and how many of them fit. */
import { describe, expect, it } from 'vitest'
import { aboveScore } from '../../src/detection/annotation.ts'
import { fitSamples, inWords, qualityOf, type SampleSet, worstOf } from '../../src/report/samples.ts'
import { detectionsOf, truthOf } from '../metrics/images.ts'

const a = [0, 0, 100, 100] as const
const b = [200, 0, 300, 100] as const

describe('qualityOf', () => {
  it('is the IoU of the right boxes over their number and half of the false and missed', () => {
    expect(qualityOf(truthOf([{ box: a }, { box: b }]), detectionsOf([{ box: a, score: 0.9 }, { box: [200, 0, 300, 80], score: 0.8 }]))).toBeCloseTo(0.9, 6)
    // One right at IoU .8, one missed, one false: .8 / (1 + .5 + .5).
    expect(qualityOf(truthOf([{ box: a }, { box: b }]), detectionsOf([{ box: [0, 0, 100, 80], score: 0.9 }, { box: [400, 0, 500, 100], score: 0.8 }]))).toBeCloseTo(0.4, 6)
    // A class that is wrong is false and missed.
    expect(qualityOf(truthOf([{ box: a }]), detectionsOf([{ box: a, score: 0.9, label: 1 }]))).toBe(0)
  })

  it('knows empty images, crowds and difficult objects', () => {
    expect(qualityOf(truthOf([]), detectionsOf([]))).toBe(1)
    expect(qualityOf(truthOf([]), detectionsOf([{ box: a, score: 0.9 }]))).toBe(0)
    expect(qualityOf(truthOf([{ box: a, crowd: true }, { box: b, difficult: true }]), detectionsOf([{ box: [10, 10, 20, 20], score: 0.9 }, { box: b, score: 0.9 }]))).toBe(1)
  })
})

it('the worst come first: those that lost most, of equals the poorer', () => {
  const image = (id: string, qualityBefore: number | undefined, qualityAfter: number) => ({ sample: { id, path: id, width: 1, height: 1, truth: truthOf([]) }, after: detectionsOf([]), qualityAfter, ...(qualityBefore !== undefined && { qualityBefore }) })
  expect(worstOf([image('kept', 0.9, 0.9), image('lost', 0.9, 0.1), image('poor', 0.5, 0.25), image('less', 1, 0.75)], 3).map((i) => i.sample.id)).toEqual(['lost', 'poor', 'less'])
  expect(worstOf([image('good', undefined, 0.9), image('bad', undefined, 0.1)], 1).map((i) => i.sample.id)).toEqual(['bad'])
})

it('as many samples of each run stay as fit', () => {
  const set = (run: string, sizes: readonly number[]): SampleSet => ({ run, images: 9, split: 'test', threshold: 0.3, compared: true, samples: sizes.map((n, i) => ({ name: `${i}`, pictures: [{ label: 'after', base64: 'x'.repeat(n), width: 1, height: 1, alt: '' }] })) })
  const sets = [set('a', [10, 10, 10]), { run: 'b', why: 'no model' }, set('c', [20, 20, 20])]
  const counts = (bytes: number) => fitSamples(sets, bytes).map((s) => ('why' in s ? s.why : s.samples.length))
  expect(counts(90)).toEqual([3, 'no model', 3])
  expect(counts(89)).toEqual([2, 'no model', 2])
  expect(counts(29)).toEqual([0, 'no model', 0])
})

it('says in words what is in an image, scored high enough', () => {
  const found = detectionsOf([{ box: a, score: 0.9, label: 1 }, { box: b, score: 0.5, label: 0 }, { box: a, score: 0.4, label: 1 }, { box: a, score: 0.2, label: 0 }])
  expect(inWords(aboveScore(found, 0.4).labels, ['cat', 'dog'])).toBe('2 dog, 1 cat')
  expect(inWords(aboveScore(found, 0.95).labels, ['cat', 'dog'])).toBe('nothing')
})
