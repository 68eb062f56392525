/** @file The intermediate representation: values with their uses, nodes, graphs, models. It knows no protobuf. */
import type { DType } from '../tensor/dtype.ts'
import { type Tensor, sizeOf } from '../tensor/tensor.ts'

/** Length of an axis: a number, a symbol ("N"), or unknown. */
export type Dim = number | string | undefined

/** A node's attribute. Integers are bigint, as ONNX's are 64 bits wide; read them with ir/attributes. */
export type Attribute =
  | { readonly kind: 'int'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly bigint[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: Tensor }
  | { readonly kind: 'graph'; readonly value: Graph }
  | { readonly kind: 'graphs'; readonly value: readonly Graph[] }
  /** Kept as the file has it (sparse tensors, types): carried through, never read. */
  | { readonly kind: 'raw'; readonly value: unknown }

/** One place where a value is read: input `index` of `node`. */
export interface Use {
  readonly node: Node
  readonly index: number
}

/** What flows along an edge: a graph input, an initializer or a node's output. */
export class Value {
  name: string
  dtype: DType | undefined
  shape: readonly Dim[] | undefined
  /** The node that computes it; undefined for graph inputs and initializers. */
  producer: Node | undefined = undefined
  /** Its constant content; weights are values with an initializer. */
  initializer: Tensor | undefined = undefined
  /** What the file says beyond this (doc strings, metadata): carried through, never read. */
  extra: unknown = undefined
  readonly uses = new Set<Use>()

  constructor(name: string, dtype?: DType, shape?: readonly Dim[]) {
    this.name = name
    this.dtype = dtype
    this.shape = shape
  }
}

/** One operator. Optional inputs that are left out are undefined. */
export class Node {
  name: string
  readonly opType: string
  /** "" is ONNX's own operator set. */
  readonly domain: string
  readonly inputs: readonly (Value | undefined)[] = []
  readonly outputs: readonly (Value | undefined)[] = []
  readonly attributes = new Map<string, Attribute>()
  docString = ''
  /** What the file says beyond this: carried through, never read. */
  extra: unknown = undefined

  constructor(opType: string, domain = '', name = '') {
    this.opType = opType
    this.domain = domain
    this.name = name
  }
}

/** Nodes in an order in which every value is computed before it is read. */
export class Graph {
  name: string
  readonly inputs: Value[] = []
  readonly outputs: Value[] = []
  readonly initializers: Value[] = []
  readonly nodes: Node[] = []
  docString = ''
  /** What the file says beyond this: carried through, never read. */
  extra: unknown = undefined

  constructor(name: string) {
    this.name = name
  }
}

/** A graph with what the file says around it. */
export interface Model {
  graph: Graph
  /** Operator set versions by domain ("" is ONNX's own). */
  opsets: Map<string, number>
  irVersion: number
  producerName: string
  producerVersion: string
  domain: string
  modelVersion: bigint
  docString: string
  /** `metadata_props`. */
  metadata: Map<string, string>
  /** Model-local functions and training info, kept as the file has them; undefined where it has none. */
  extra?: unknown
}

/** A model around `graph` with ONNX's own operator set at `opset`. */
export function createModel(graph: Graph, opset: number): Model {
  return {
    graph,
    opsets: new Map([['', opset]]),
    // IR 8 is the newest that runtimes of the last four years all read.
    irVersion: 8,
    producerName: 'espalier',
    producerVersion: '',
    domain: '',
    modelVersion: 0n,
    docString: '',
    metadata: new Map(),
  }
}

/** Version of ONNX's own operator set that the model imports. */
export function opsetOf(model: Model): number {
  return model.opsets.get('') ?? model.opsets.get('ai.onnx') ?? 1
}

/** The shape of `value` when every axis is a known number; undefined otherwise. */
export function staticShape(value: Value): readonly number[] | undefined {
  if (value.initializer) return value.initializer.dims
  const shape = value.shape
  return shape?.every((d): d is number => typeof d === 'number') ? shape : undefined
}

/** The shape of `value`; throws, naming it, unless every axis is a known number. */
export function dimsOf(value: Value): readonly number[] {
  const shape = staticShape(value)
  if (!shape) throw new Error(`the shape of "${value.name}" is not known in full: [${value.shape?.map((d) => d ?? '?').join(',') ?? 'no rank'}]`)
  return shape
}

/** Number of elements of a value of known shape. */
export function countOf(value: Value): number {
  return sizeOf(dimsOf(value))
}

/** The constant content of `value`, where it has one that no graph input can override. */
export function constantOf(value: Value | undefined): Tensor | undefined {
  return value?.initializer
}
