/** @file Layers that 8 bits would harm most: each alone is quantized, and what the outputs suffer is measured. */
import type { Model } from '../ir/graph.ts'
import { choiceBefore } from '../passes/choices.ts'
import { quantize, type QuantizeOptions } from '../passes/quantize.ts'
import type { Range } from '../passes/quantize-weights.ts'
import { runEach, type Runtime, type SessionOptions, type Tensors } from '../runtime/session.ts'
import { UserError } from '../tensor/error.ts'
import { floats, squaredDistance } from '../tensor/tensor.ts'
import type { Listener } from './events.ts'

export interface SpareOptions extends QuantizeOptions {
  readonly runtime: Runtime
  readonly session?: SessionOptions
  /** Sets of inputs to compare outputs on. */
  readonly inputs: readonly Tensors[]
  readonly listener?: Listener
}

/** A layer, by its output, and the relative error of the model's outputs where it alone is quantized: sqrt(sum (y - y0)^2 / sum y0^2), averaged over the outputs. */
export interface LayerHarm {
  readonly node: string
  readonly harm: number
}

/** What every layer alone does to the outputs, the worst first; `model` and `ranges` as `quantize` takes them. Throws UserError where there is no output to compare. */
export async function layerHarms(model: Model, ranges: ReadonlyMap<string, Range>, options: SpareOptions): Promise<LayerHarm[]> {
  const { runtime, inputs, listener, float = new Set() } = options
  const outputs = comparable(model)
  if (outputs.length === 0) throw new UserError('no output of the model is a float that hangs on no choice (TopK, NMS), so harm cannot be measured; give --spare 0')
  const results = (m: Model): Promise<Tensors[]> => runEach(runtime, m, inputs, options.session)
  const reference = await results(model)
  const { layers } = quantize(model, ranges, options)
  listener?.({ type: 'phase', name: 'harm of layers', total: layers.length, unit: 'layers' })
  const found: LayerHarm[] = []
  for (const node of layers) {
    const others = layers.filter((name) => name !== node)
    const alone = quantize(model, ranges, { ...options, float: new Set([...float, ...others]) })
    found.push({ node, harm: meanError(reference, await results(alone.model), outputs) })
    listener?.({ type: 'progress', done: found.length, values: {} })
  }
  listener?.({ type: 'end', summary: `${found.length} layers on ${inputs.length} inputs` })
  return found.sort((a, b) => b.harm - a.harm)
}

/** Float outputs that hang on no choice: behind one, what is compared would change places. */
function comparable({ graph }: Model): string[] {
  return graph.outputs.filter((v) => v.dtype === 'float32' && !choiceBefore(graph, v)).map((v) => v.name)
}

function meanError(reference: readonly Tensors[], results: readonly Tensors[], outputs: readonly string[]): number {
  const errors = outputs.map((name) => {
    let [difference, scale] = [0, 0]
    for (const [i, tensors] of reference.entries()) {
      const wanted = floats(tensors[name]!)
      difference += squaredDistance(floats(results[i]![name]!), wanted)
      scale += squaredDistance(wanted)
    }
    return difference === 0 ? 0 : Math.sqrt(difference / scale)
  })
  return errors.reduce((a, b) => a + b, 0) / errors.length
}
