/** @file Engines beside the native CPU library, held against it: every operator, its gradient, a training step. */
import { describe, expect, it } from 'vitest'
import { pullBack } from '../../src/autodiff/grad.ts'
import { augmentPresets } from '../../src/data/augment.ts'
import { buildDetector } from '../../src/detection/models/architectures.ts'
import { createModel, dimsOf, Graph, type Model } from '../../src/ir/graph.ts'
import { Builder } from '../../src/ops/builder.ts'
import { notDifferentiable } from '../../src/ops/define.ts'
import { lookup } from '../../src/ops/registry.ts'
import { nodeRuntime } from '../../src/runtime/node.ts'
import { plainModel } from '../../src/runtime/ort.ts'
import { runOnce, type Tensors } from '../../src/runtime/session.ts'
import { type Tensor, toNumbers } from '../../src/tensor/tensor.ts'
import { detectorOf } from '../../src/train/detector.ts'
import { trainDetector, type TrainResult } from '../../src/train/train.ts'
import { gradientCases, type GradientCase } from '../ops/gradient-cases.ts'
import { openCases, shapeCases } from '../ops/shape-cases.ts'
import { convCases, furtherShapes, normCases, poolCases, productCases, resizeCases } from '../ops/window-cases.ts'
import { distance } from './distance.ts'
import { sizeCases } from './engine-sizes.ts'
import { buildCase, describeCase, normal } from './op-case.ts'
import { shapesSource } from './shapes.ts'

/** Whether a provider starts here. */
export async function starts(provider: string): Promise<boolean> {
  return nodeRuntime.load(plainModel, { provider }).then((session) => session.release().then(() => true), () => false)
}

/** How an engine may differ from the CPU library. */
export interface Allowance {
  /** max|a - b| / max|a| of an operator's results. */
  readonly tolerance: number
  /** By operator, where it is another: functions that WGSL asks for in a few digits only. */
  readonly loose?: Readonly<Record<string, number>>
  /** Operators with results outside their domain, where WGSL leaves open what they are. */
  readonly open?: readonly string[]
}

const allCases = [shapeCases, openCases, convCases, poolCases, productCases, normCases, resizeCases, furtherShapes, gradientCases].flat()

/** Tests that an engine computes what the CPU library computes, operator by operator and gradient by gradient. */
export function describeEngine(provider: string, there: boolean, { tolerance, loose = {}, open = [] }: Allowance): void {
  const on = (model: Model, feeds: Tensors, ep = 'cpu'): Promise<Tensors> => runOnce(nodeRuntime, model, feeds, { threads: 1, provider: ep })
  const compare = async (op: string, model: Model, feeds: Tensors): Promise<void> => {
    const [wanted, got] = [await on(model, feeds), await on(model, feeds, provider)]
    for (const [name, t] of Object.entries(wanted)) expect(distance(t, got[name]!, open.includes(op)), name).toBeLessThanOrEqual(loose[op] ?? tolerance)
  }

  describe.skipIf(!there)(`operators on ${provider}${there ? '' : ' (needs a driver that the provider takes)'}`, () => {
    it.each(allCases.map((c) => [describeCase(c), c] as const))('%s', async (_, c) => {
      const { model, node, feeds } = buildCase(c)
      for (const v of node.outputs) v!.shape = undefined
      await compare(c.op, model, feeds)
    })

    it.each(Object.entries(sizeCases))('%s of many sizes', async (_, cases) => {
      // Many to a model: loading takes longer than running.
      for (const part of chunks(cases, 48)) {
        const b = new Builder(new Graph('sizes'))
        const feeds: Record<string, Tensor> = {}
        part.forEach((c, i) => {
          const inputs = c.inputs.map((t, k) => {
            feeds[`x${i}_${k}`] = t!
            return b.input(`x${i}_${k}`, t!.dtype, t!.dims)
          })
          b.output(b.op(c.op, inputs, c.attributes ?? {}), describeCase(c))
        })
        await compare(part[0]!.op, createModel(b.graph, b.opset), feeds)
      }
    })

    it.each([['ssd-small', undefined], ['ssd300-resnet18', 64]] as const)('a training step of %s moves every weight alike', async (architecture, size) => {
      const source = shapesSource('train', 2)
      const fresh = detectorOf(buildDetector(architecture, { classes: source.dataset.classes, seed: 1, size }), architecture)
      const optimizer = { type: 'sgd', momentum: 0.9 } as const
      const trained = async (ep: string): Promise<TrainResult> =>
        trainDetector(fresh, source, undefined, { runtime: nodeRuntime, session: { provider: ep }, epochs: 1, batch: 2, rate: 0.01, warmup: 0, optimizer, augment: augmentPresets.none, seed: 0 })
      const [wanted, got] = [await trained('cpu'), await trained(provider)]
      expect(got.epochs[0]!.classification).toBeCloseTo(wanted.epochs[0]!.classification, 4)
      const [before, cpu, other] = [fresh, wanted.detector, got.detector].map((d) => d.model.graph.initializers.map((v) => toNumbers(v.initializer!)))
      let moving = 0
      before!.forEach((start, k) => {
        const moved = apart(cpu![k]!, start)
        expect(apart(cpu![k]!, other![k]!), fresh.model.graph.initializers[k]!.name).toBeLessThanOrEqual(1e-3 * moved)
        if (moved > 0) moving += 1
      })
      expect(moving).toBeGreaterThan(60)
    })

    const smooth = allCases.filter((c) => (c.opset ?? 21) === 21 && lookup(c.op)!.vjp !== notDifferentiable)
    const gradients = smooth.flatMap((c) => gradientOf(c) ?? [])
    it('has gradients to compare', () => expect(gradients.length).toBeGreaterThan(400))
    it.each(gradients.map((x) => [x.name, x] as const))('gradient of %s', async (_, { op, model, feeds }) => compare(op, model, feeds))
  })
}

function chunks<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size))
}

/** Square root of the sum of the squared differences. */
function apart(a: readonly number[], b: readonly number[]): number {
  return Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0))
}

/** Result and gradient of a case, contracted with random numbers; undefined where it has none. */
function gradientOf(c: GradientCase): { name: string; op: string; model: Model; feeds: Record<string, Tensor> } | undefined {
  const b = new Builder(new Graph('gradient'))
  const by = c.inputs.flatMap((t, i) => (t?.dtype === 'float32' && t.data.length > 0 && (c.by ?? c.fed ?? [i]).includes(i) ? [i] : []))
  const feeds: Record<string, Tensor> = {}
  try {
    const inputs = c.inputs.map((t, i) => {
      if (!t || !by.includes(i)) return t && b.constant(t)
      feeds[`x${i}`] = t
      return b.input(`x${i}`, t.dtype, t.dims)
    })
    const results = b.ops(c.op, inputs, c.outputs ?? 1, c.attributes ?? {})
    const outputs = c.take ? c.take.map((i) => results[i]!) : results.filter((v) => v.dtype === 'float32')
    const grads = pullBack(b, new Map(outputs.map((y) => [y, b.constant(normal(dimsOf(y), 'cotangent'))])), by.map((i) => inputs[i]!))
    if (grads.size === 0) return undefined
    for (const g of grads.values()) b.output(b.op('Identity', [g]))
    return { name: describeCase(c), op: c.op, model: createModel(b.graph, b.opset), feeds }
  } catch {
    return undefined
  }
}
