/** @file Half precision: weights and computing in float16, the graph's inputs and outputs as they were, float32 where half precision will not do. */
import { addInitializer, addNode, removeUnusedInitializers, replaceCaptured, replaceOutput, replaceUses, setInitializer, setInput } from '../ir/edit.ts'
import { type Graph, type Model, type Node, opsetOf, type Value } from '../ir/graph.ts'
import { uniqueNames } from '../ir/names.ts'
import { capturedBy, subgraphsOf, valuesOf } from '../ir/walk.ts'
import type { OpDef } from '../ops/define.ts'
import { lookup } from '../ops/registry.ts'
import { onnxTypeCode } from '../ops/type-codes.ts'
import { isFloat } from '../tensor/dtype.ts'
import { numberToHalf, type Tensor } from '../tensor/tensor.ts'
import { extensibleCopy } from './infer-shapes.ts'

export interface HalfPrecisionOptions {
  /** Names of outputs whose nodes stay in float32. */
  readonly float?: ReadonlySet<string>
  /** Largest magnitudes of values, by name, where they were measured: nodes that make or read one near the end of float16's range stay in float32. */
  readonly magnitudes?: ReadonlyMap<string, number>
}

export interface HalfPrecision {
  readonly model: Model
  /** Nodes that read data and compute in float32 still, by their first output, with the reason in plain words. */
  readonly kept: readonly { readonly node: string; readonly why: string }[]
}

const largest = 65504
/** Numbers below have fewer than float16's eleven digits, those below 2^-25 none at all. */
const smallestNormal = 2 ** -14
/** A magnitude measured on some images may be passed on others. */
const margin = 2

/**
 * A copy of the model that computes in float16 what its operators' entries allow. What does not hang on the inputs' content (sizes, grids) stays
 * as it is, and so do nodes that read a constant beyond float16's range, or one too small for it; Casts stand around them.
 */
export function halfPrecision(model: Model, options: HalfPrecisionOptions = {}): HalfPrecision {
  const copy = extensibleCopy(model)
  const opset = opsetOf(copy)
  // By value: names change as casts take them over.
  const wide = new Map([...valuesOf(copy.graph)].map((v) => [v, options.magnitudes?.get(v.name) ?? 0]).filter(([, most]) => (most as number) > largest / margin) as [Value, number][])
  const casts = new Casts(copy.graph)
  const delicate = new Set<Value>()
  const data = new Set(copy.graph.inputs.filter((v) => !v.initializer))
  const kept: { node: string; why: string }[] = []
  for (const node of copy.graph.nodes.slice()) {
    const captured = new Set(capturedBy(node))
    const carrying = [...node.inputs, ...captured].filter((v) => v !== undefined && data.has(v)) as Value[]
    const eligible = carrying.some((v) => v.dtype === 'float32' || casts.turned.has(v))
    const why = eligible ? whyFloat32(node, wide, delicate, options.float) : undefined
    if (eligible && why === undefined) turn(node, opset, casts)
    else {
      node.inputs.forEach((v, i) => {
        if (v && casts.turned.has(v)) setInput(node, i, casts.toFloat(v, node))
      })
      for (const v of captured) if (casts.turned.has(v)) replaceCaptured(node, v, casts.toFloat(v, node))
    }
    if (why !== undefined) kept.push({ node: outputName(node), why })
    for (const v of node.outputs) {
      // An integer made from data is a count, an index or a shape; data in integers (an image in bytes) stays in its type until it is cast.
      if (v?.dtype && carrying.some((from) => isFloat(v.dtype!) || from.dtype === v.dtype)) data.add(v)
    }
  }
  casts.finish()
  return { model: copy, kept }
}

function outputName(node: Node): string {
  return node.outputs.find((v) => v !== undefined)?.name ?? node.name
}

/** Gives a node half-precision operands; its entry's rule tells what comes out. */
function turn(node: Node, opset: number, casts: Casts): void {
  const def = lookup(node.opType, node.domain)!
  node.inputs.forEach((v, i) => {
    if (!v) return
    if (staysFloat(def, i)) {
      if (casts.turned.has(v)) setInput(node, i, casts.toFloat(v, node))
    } else if (v.dtype === 'float32') setInput(node, i, casts.toHalf(v, node))
  })
  const types = def.shape(node, { opset })
  node.outputs.forEach((v, i) => {
    if (v?.dtype !== 'float32' || types[i]?.dtype !== 'float16') return
    v.dtype = 'float16'
    casts.turned.add(v)
  })
}

function staysFloat({ float32 }: OpDef, input: number): boolean {
  return float32 === 'all' || (float32?.includes(input) ?? false)
}

/**
 * Why a node that reads data must compute in float32; undefined where it need not. `delicate`: results that float16 would spoil, such as a sum with 1e-8 that
 * keeps a divisor from zero; their readers compute in float32, too, wherever elements are moved before.
 */
function whyFloat32(node: Node, wide: ReadonlyMap<Value, number>, delicate: Set<Value>, float: HalfPrecisionOptions['float']): string | undefined {
  const def = lookup(node.opType, node.domain)
  if (!def) return `operator ${node.opType} is not known`
  if (subgraphsOf(node).length > 0) return `${node.opType} runs graphs of its own`
  if (def.float32 === 'all') return `${node.opType} needs float32`
  if (node.outputs.some((v) => v && float?.has(v.name))) return 'as asked'
  for (const [i, v] of node.inputs.entries()) {
    if (!v || staysFloat(def, i)) continue
    if (!v.dtype) return `the type of "${v.name}" is not known`
    if (delicate.has(v)) {
      if (formOf(def, node) === 'moves') spoil(node, delicate)
      return `"${v.name}" holds what float16 cannot`
    }
    const fault = v.initializer && constantFault(v.initializer)
    if (!fault) continue
    // A bound that is out of reach bounds nothing.
    if (fault.small || formOf(def, node) !== 'bounds') spoil(node, delicate)
    return `constant "${v.name}" ${fault.text}`
  }
  const large = [...node.inputs, ...node.outputs].find((v) => v && wide.has(v))
  return large && `"${large.name}" reaches ${wide.get(large)!.toPrecision(3)}, float16 ends at ${largest}`
}

function formOf(def: OpDef, node: Node): string | undefined {
  return def.eightBit?.(node)?.kind
}

function spoil(node: Node, delicate: Set<Value>): void {
  for (const v of node.outputs) if (v) delicate.add(v)
}

/** What float16 would spoil of a float32 constant. */
function constantFault({ dtype, data }: Tensor): { readonly text: string; readonly small: boolean } | undefined {
  if (dtype !== 'float32') return undefined
  let most = 0
  for (const v of data as Float32Array) {
    const magnitude = Math.abs(v)
    if (magnitude > largest && magnitude < Infinity) return { text: `holds ${v.toPrecision(3)}, beyond float16's ${largest}`, small: false }
    if (magnitude > most) most = magnitude
  }
  // Small elements beside larger ones lose nothing that counts; a lone 1e-8 that keeps a divisor from zero does.
  return most > 0 && most < smallestNormal ? { text: `holds nothing above ${most.toPrecision(3)}, of which float16 leaves little`, small: true } : undefined
}

/** Values in both precisions, each cast once. */
class Casts {
  /** Values that were float32 and are float16 now. */
  readonly turned = new Set<Value>()
  private readonly graph: Graph
  private readonly unique: (stem: string) => string
  private readonly halves = new Map<Value, Value>()
  private readonly floats = new Map<Value, Value>()

  constructor(graph: Graph) {
    this.graph = graph
    this.unique = uniqueNames(graph)
  }

  /** `value`, float32, in float16 for `reader`. */
  toHalf(value: Value, reader: Node): Value {
    let half = this.halves.get(value)
    if (!half) {
      const name = this.unique(`${value.name}_half`)
      half = value.initializer ? addInitializer(this.graph, name, halved(value.initializer)) : this.cast(value, name, 'float16', reader)
      this.halves.set(value, half)
    }
    return half
  }

  /** `value`, turned, in float32 for `reader` (default: whoever comes last). An output of the graph has its name in float32. */
  toFloat(value: Value, reader?: Node): Value {
    let float = this.floats.get(value)
    if (!float) {
      float = this.cast(value, this.unique(`${value.name}_float`), 'float32', reader)
      this.floats.set(value, float)
      if (this.graph.outputs.includes(value)) replaceOutput(this.graph, value, float, this.unique(`${value.name}_half`))
    }
    return float
  }

  /** Casts at the graph's end; constants that only float16 readers are left of take their half's content, under their own name. */
  finish(): void {
    const { graph } = this
    for (const v of graph.outputs.slice()) if (this.turned.has(v)) this.toFloat(v)
    for (const [value, half] of this.halves) {
      if (!value.initializer || value.uses.size > 0 || graph.outputs.includes(value)) continue
      setInitializer(value, half.initializer!)
      replaceUses(graph, half, value)
    }
    removeUnusedInitializers(graph, this.halves.values())
  }

  private cast(value: Value, name: string, to: 'float16' | 'float32', before: Node | undefined): Value {
    const made = addNode(this.graph, 'Cast', [value], [name], { to: onnxTypeCode(to) }, { before }).outputs[0]!
    made.dtype = to
    made.shape = value.shape
    return made
  }
}

function halved({ dims, data }: Tensor): Tensor {
  return { dtype: 'float16', dims, data: Uint16Array.from(data as Float32Array, numberToHalf) }
}
