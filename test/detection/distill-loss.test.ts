/** @file Distillation losses in the runtime against plain arithmetic, and their gradients. */
import { describe, expect, it } from 'vitest'
import { checkGradient } from '../../src/autodiff/check.ts'
import { grad } from '../../src/autodiff/grad.ts'
import { distillLoss, hintLoss, type OutputField, outputSketch, relativeError } from '../../src/detection/distill-loss.ts'
import { createRng } from '../../src/tensor/rng.ts'
import { f32, floats } from '../../src/tensor/tensor.ts'
import { buildAndRun, runModel } from '../support/run.ts'

const rng = createRng('distill')
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const randoms = (n: number, draw: () => number): number[] => Array.from({ length: n }, draw)

/** [N=1, A=2 locations, 9]: 4 box numbers, 1 objectness, 4 class scores; the confidence is 0.8 at the first location, 0.1 at the second. */
const dims = [1, 2, 9]
const confidence = [...new Array<number>(9).fill(0.8), ...new Array<number>(9).fill(0.1)]

async function loss(fields: readonly OutputField[], student: readonly number[], teacher: readonly number[], background = 0.25): Promise<{ classification: number; localization: number }> {
  const out = await buildAndRun((b) => {
    const constant = (values: readonly number[]) => b.constant(f32(values, dims))
    const [s, t, c] = [constant(student), constant(teacher), constant(confidence)]
    const result = distillLoss(b, fields, { student: () => s, teacher: () => t, confidence: () => c }, { background })
    b.output(b.op('Identity', [result.classification]), 'classification')
    b.output(b.op('Identity', [result.localization]), 'localization')
  })
  return { classification: floats(out.classification!)[0]!, localization: floats(out.localization!)[0]! }
}

const field = (from: number, to: number, kind: OutputField['kind'], purpose: OutputField['purpose'], more: Partial<OutputField> = {}): OutputField => ({ output: 'out', axis: 2, from, to, kind, purpose, ...more })

/** Coins of class scores: KL, focused on what is apart. */
const focused = (t: number, s: number): number => 40 * (t - s) ** 2 * klCoin(t, s)

/** Sum over locations and entries `from`..`to` of weight times `term`, over the mass (0.9 is below 1, so 1). */
function byHand(from: number, to: number, purpose: OutputField['purpose'], term: (at: number) => number, background = 0.25): number {
  let sum = 0
  for (let a = 0; a < 2; a++) for (let k = from; k < to; k++) sum += (purpose === 'box' ? confidence[9 * a]! : background + (1 - background) * confidence[9 * a]!) * term(9 * a + k)
  return sum
}

const klCoin = (t: number, s: number): number => t * Math.log(t / s) + (1 - t) * Math.log((1 - t) / (1 - s))

describe('distillLoss', () => {
  it('compares probabilities as coins', async () => {
    const [s, t] = [randoms(18, () => rng.uniform(0.05, 0.95)), randoms(18, () => rng.uniform(0.05, 0.95))]
    const got = await loss([field(4, 9, 'probability', 'class')], s, t)
    expect(got.classification).toBeCloseTo(byHand(4, 9, 'class', (i) => focused(t[i]!, s[i]!), 1), 4)
    expect(got.localization).toBe(0)
  })

  it('weighs class scores beside an objectness by the confidence alone', async () => {
    const [s, t] = [randoms(18, () => rng.uniform(0.05, 0.95)), randoms(18, () => rng.uniform(0.05, 0.95))]
    const got = await loss([field(4, 5, 'probability', 'class'), field(5, 9, 'probability', 'class', { conditional: true })], s, t)
    const term = (i: number): number => focused(t[i]!, s[i]!)
    expect(got.classification).toBeCloseTo(byHand(4, 5, 'class', term, 1) + byHand(5, 9, 'box', term), 4)
  })

  it('compares logits as the coins that they stand for', async () => {
    const [s, t] = [randoms(18, () => rng.normal()), randoms(18, () => rng.normal())]
    const got = await loss([field(4, 9, 'logit', 'class')], s, t)
    expect(got.classification).toBeCloseTo(byHand(4, 9, 'class', (i) => focused(sigmoid(t[i]!), sigmoid(s[i]!)), 1), 4)
  })

  it('compares boxes by smooth L1 in units of the scale, weighted by the confidence alone', async () => {
    const [s, t] = [randoms(18, () => rng.normal()), randoms(18, () => rng.normal())]
    const got = await loss([field(0, 4, 'regression', 'box', { scale: 0.5 })], s, t)
    const term = (i: number): number => {
      const d = Math.abs(s[i]! - t[i]!) / 0.5
      return d < 1 ? 0.5 * d * d : d - 0.5
    }
    expect(got.localization).toBeCloseTo(byHand(0, 4, 'box', term), 4)
    expect(got.classification).toBe(0)
  })

  it('compares softmax rows of a few bins', async () => {
    const [s, t] = [randoms(18, () => rng.normal()), randoms(18, () => rng.normal())]
    const got = await loss([field(0, 4, 'softmax', 'box', { bins: 2 })], s, t)
    let wanted = 0
    for (let a = 0; a < 2; a++) {
      for (const at of [9 * a, 9 * a + 2]) {
        // Of two bins the first has the share sigmoid(x0 - x1).
        wanted += confidence[9 * a]! * klCoin(sigmoid(t[at]! - t[at + 1]!), sigmoid(s[at]! - s[at + 1]!))
      }
    }
    expect(got.localization).toBeCloseTo(wanted, 4)
  })

  it('sums a softmax row over its own bins, however many rows there are', async () => {
    const [s, t] = [randoms(18, () => rng.normal()), randoms(18, () => rng.normal())]
    const got = await loss([field(0, 6, 'softmax', 'box', { bins: 3 })], s, t)
    const log = (x: readonly number[], at: number, k: number): number => x[at + k]! - Math.log([0, 1, 2].reduce((sum, i) => sum + Math.exp(x[at + i]!), 0))
    let wanted = 0
    for (let a = 0; a < 2; a++) for (const at of [9 * a, 9 * a + 3]) for (let k = 0; k < 3; k++) wanted += confidence[9 * a]! * Math.exp(log(t, at, k)) * (log(t, at, k) - log(s, at, k))
    expect(got.localization).toBeCloseTo(wanted, 4)
  })

  it('divides by the confidence of all locations, each counted once', async () => {
    const fields = [field(0, 4, 'regression', 'box'), field(4, 9, 'logit', 'class')]
    const [s, t] = [randoms(18, () => rng.normal()), randoms(18, () => rng.normal())]
    const sure = (value: number) => buildAndRun((b) => {
      const c = b.constant(f32(new Array<number>(18).fill(value), dims))
      const [x, y] = [b.constant(f32(s, dims)), b.constant(f32(t, dims))]
      b.output(b.op('Identity', [distillLoss(b, fields, { student: () => x, teacher: () => y, confidence: () => c }, { background: 1 }).classification]), 'loss')
    })
    const [half, full] = [floats((await sure(0.5)).loss!)[0]!, floats((await sure(1)).loss!)[0]!]
    // Two locations: a mass of 1 and one of 2.
    expect(half / full).toBeCloseTo(2, 5)
  })

  it('is zero where student and teacher agree, certain scores included', async () => {
    const same = randoms(18, (() => { let i = 0; return () => [0, 1, 0.3][i++ % 3]! })())
    for (const kind of ['probability', 'logit', 'softmax', 'regression'] as const) {
      const got = await loss([field(4, 8, kind, 'class'), field(0, 4, kind, 'box')], same, same)
      expect(Math.abs(got.classification) + Math.abs(got.localization)).toBeLessThan(1e-6)
    }
  })

  it.each(['probability', 'logit', 'softmax', 'regression'] as const)('has the right gradient: %s', async (kind) => {
    const draw = kind === 'probability' ? () => rng.uniform(0.2, 0.8) : () => rng.normal()
    const [s, t] = [f32(randoms(18, draw), dims), f32(randoms(18, draw), dims)]
    const { worst } = await checkGradient({
      inputs: [s],
      build: (b, [student]) => {
        const [teacher, c] = [b.constant(t), b.constant(f32(confidence, dims))]
        const parts = distillLoss(b, [field(0, 4, kind, 'box'), field(5, 9, kind, 'class', { bins: 2 })], { student: () => student!, teacher: () => teacher, confidence: () => c }, { background: 0.3 })
        return b.add(parts.classification, parts.localization)
      },
      run: runModel,
      rng,
      step: 3e-3,
    })
    expect(worst).toBeLessThan(1e-3)
  })
})

it('hintLoss is the relative squared distance', async () => {
  const [s, t] = [randoms(12, () => rng.normal()), randoms(12, () => rng.normal())]
  const out = await buildAndRun((b) => {
    b.output(b.op('Identity', [hintLoss(b, b.constant(f32(s, [1, 3, 2, 2])), b.constant(f32(t, [1, 3, 2, 2])))]), 'loss')
  })
  const energy = t.reduce((sum, x) => sum + x * x, 0)
  expect(floats(out.loss!)[0]).toBeCloseTo(s.reduce((sum, x, i) => sum + (x - t[i]!) ** 2, 0) / energy, 4)
})

describe('relativeError', () => {
  /** The error of given fields on random outputs [2,9], entries of a location as sure as `confidence` says. */
  async function error(fields: readonly OutputField[], s: readonly number[], t: readonly number[]): Promise<number> {
    const out = await buildAndRun((b) => {
      const constant = (values: readonly number[]) => b.constant(f32(values, [1, 2, 9]))
      const [student, teacher, sure] = [constant(s), constant(t), constant(confidence)]
      b.output(b.op('Identity', [relativeError(b, fields, { student: () => student, teacher: () => teacher, confidence: () => sure })]), 'error')
    })
    return floats(out.error!)[0]!
  }
  const byWeight = (from: number, to: number, s: readonly number[], t: readonly number[], weight: (at: number) => number): number => {
    let [apart, whole] = [0, 0]
    for (let a = 0; a < 2; a++) {
      for (let k = 9 * a + from; k < 9 * a + to; k++) {
        apart += weight(k) * (s[k]! - t[k]!) ** 2
        whole += weight(k) * t[k]! ** 2
      }
    }
    return apart / whole
  }

  it('is the mean over the fields of squared errors over squares; boxes and classes of an object count where the reference is sure', async () => {
    const [s, t] = [randoms(18, () => rng.uniform(0.05, 0.95)), randoms(18, () => rng.uniform(0.05, 0.95))]
    const fields = [field(0, 4, 'regression', 'box'), field(4, 5, 'probability', 'class'), field(5, 9, 'probability', 'class', { conditional: true })]
    const sure = (at: number): number => confidence[at]!
    const wanted = (byWeight(0, 4, s, t, sure) + byWeight(4, 5, s, t, () => 1) + byWeight(5, 9, s, t, sure)) / 3
    expect(await error(fields, s, t)).toBeCloseTo(wanted, 5)
    expect(await error(fields, t, t)).toBe(0)
    expect(await error(fields, randoms(18, () => 0), t)).toBeCloseTo(1, 5)
  })

  it('compares logits and rows of bins by their probabilities', async () => {
    const [s, t] = [randoms(18, () => rng.normal()), randoms(18, () => rng.normal())]
    expect(await error([field(4, 9, 'logit', 'class')], s, t)).toBeCloseTo(byWeight(4, 9, s.map(sigmoid), t.map(sigmoid), () => 1), 5)
    const softmax = (v: readonly number[]): number[] => v.map((x, i) => {
      const row = 9 * Math.floor(i / 9) + 2 * Math.floor((i % 9) / 2)
      return Math.exp(x) / (Math.exp(v[row]!) + Math.exp(v[row + 1] ?? 0))
    })
    expect(await error([field(0, 4, 'softmax', 'box', { bins: 2 })], s, t)).toBeCloseTo(byWeight(0, 4, softmax(s), softmax(t), (at) => confidence[at]!), 5)
  })
})

describe('outputSketch', () => {
  it('has, over all signs, the mean squared gradient that small errors have in relativeError', async () => {
    const fields = [field(0, 4, 'softmax', 'box'), field(4, 5, 'logit', 'class'), field(5, 7, 'probability', 'class', { conditional: true })]
    const teacher = randoms(18, () => rng.uniform(0.2, 0.8))
    // Two locations of 4, 1 and 2 entries; a sign of one entry is flipped against the rest: products of different entries cancel over 2^14 combinations, drawn here by pairs of rows of a Hadamard matrix.
    const rows = 16
    const hadamard = (r: number, k: number): number => ([...((r & k).toString(2))].filter((c) => c === '1').length % 2 === 0 ? 1 : -1)
    const sums = new Array<number>(18).fill(0)
    for (let r = 0; r < rows; r++) {
      const out = await buildAndRun((b) => {
        const s = b.input('s', 'float32', dims)
        const constant = (values: readonly number[]) => b.constant(f32(values, dims))
        const [t, c] = [constant(teacher), constant(confidence)]
        let entry = 0
        const sketch = outputSketch(b, fields, { student: () => s, teacher: () => t, confidence: () => c }, (_, shape) => b.constant(f32(Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => hadamard(r, entry++)), shape)))
        b.output(grad(b, sketch, [s]).get(s)!, 'gradient')
      }, { s: f32(teacher, dims) })
      floats(out.gradient!).forEach((g, i) => (sums[i] = sums[i]! + g * g / rows))
    }
    const step = 0.01
    for (const i of sums.keys()) {
      const moved = async (by: number): Promise<number> => {
        const out = await buildAndRun((b) => {
          const constant = (values: readonly number[]) => b.constant(f32(values, dims))
          const [s, t, c] = [constant(teacher.map((v, k) => (k === i ? v + by : v))), constant(teacher), constant(confidence)]
          b.output(b.op('Identity', [relativeError(b, fields, { student: () => s, teacher: () => t, confidence: () => c })]), 'error')
        })
        return floats(out.error!)[0]!
      }
      const wanted = ((await moved(step)) + (await moved(-step))) / (2 * step ** 2)
      expect(Math.abs(sums[i]! - wanted), `entry ${i}`).toBeLessThan(2e-3 * Math.max(...sums))
    }
  })
})
