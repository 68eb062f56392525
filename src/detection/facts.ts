/** @file What is known of a detector's outputs without a card: names, dims, and how they follow from what the last layers give. */

/**
 * What a stretch of an output is, seen from the layers before it: their numbers as they are ("raw", but for a factor), a sigmoid of each, a
 * softmax over the stretch, or something computed from them.
 */
export type Nature = 'raw' | 'sigmoid' | 'softmax' | 'computed' | 'unknown'

/** Numbers that every layer in front of the outputs is made to give, one run each; `replies` are the outputs then. */
export const probes = [0, 2, -3] as const

export interface OutputFacts {
  readonly name: string
  /** Of one run on one image, or on as many as the file fixes. */
  readonly dims: readonly number[]
  /** True where the output is a choice among candidates: NMS or a ranking lies in the graph. */
  readonly chosen: boolean
  /** The whole output for each of `probes`; undefined where the tail of the graph could not be run by itself. */
  readonly replies: readonly Float32Array[] | undefined
}

export interface ModelFacts {
  readonly input: { readonly width: number; readonly height: number }
  readonly outputs: readonly OutputFacts[]
}

/** `"boxes" [1,4420,4]` */
export function outputText({ name, dims }: Pick<OutputFacts, 'name' | 'dims'>): string {
  return `"${name}" [${dims.join(',')}]`
}

/** What the entries `from`..`to` (exclusive) along `axis` are; "computed" where they are not all the same. */
export function natureOf(output: OutputFacts, axis: number, from: number, to: number): Nature {
  if (!output.replies) return 'unknown'
  const shares = 1 / (to - from)
  let common: Nature | undefined
  for (const at of entriesOf(output.dims, axis, from, to)) {
    const [zero, two, minusThree] = output.replies.map((reply) => reply[at]!) as [number, number, number]
    const nature = natureOfEntry(zero, two, minusThree, shares)
    if (common !== undefined && nature !== common) return 'computed'
    common = nature
  }
  return common ?? 'unknown'
}

function natureOfEntry(zero: number, two: number, minusThree: number, shares: number): Nature {
  const near = (x: number, y: number): boolean => Math.abs(x - y) <= 1e-4 * Math.max(1, Math.abs(y))
  const logistic = (x: number): number => 1 / (1 + Math.exp(-x))
  if (near(zero, 0) && Math.abs(two) > 1e-3 && near(minusThree, -1.5 * two)) return 'raw'
  if (near(zero, 0.5) && near(two, logistic(2)) && near(minusThree, logistic(-3))) return 'sigmoid'
  if ([zero, two, minusThree].every((x) => Math.abs(x - shares) <= 1e-3 * shares)) return 'softmax'
  return 'computed'
}

function* entriesOf(dims: readonly number[], axis: number, from: number, to: number): Generator<number> {
  const inner = dims.slice(axis + 1).reduce((n, d) => n * d, 1)
  const outer = dims.slice(0, axis).reduce((n, d) => n * d, 1)
  for (let o = 0; o < outer; o++) for (let i = from * inner; i < to * inner; i++) yield o * dims[axis]! * inner + i
}

/** Locations of square grids of these strides over the input. */
export function cellsOf(input: ModelFacts['input'], strides: readonly number[]): number {
  return strides.reduce((sum, s) => sum + Math.ceil(input.width / s) * Math.ceil(input.height / s), 0)
}

/** Sets of strides that anchor-free and YOLO heads have. */
const strideSets: readonly (readonly number[])[] = [[8, 16, 32], [8, 16, 32, 64], [4, 8, 16, 32], [16, 32]]

/** The strides whose cells, `each` locations in every one, are `count` in all. */
export function stridesFor(input: ModelFacts['input'], count: number, each = 1): readonly number[] | undefined {
  return strideSets.find((strides) => each * cellsOf(input, strides) === count)
}

export interface BoxForm {
  /** Corners x1 y1 x2 y2, or centre and size. */
  readonly boxesAre: 'corners' | 'centres'
  /** Pixels of the input, or shares of its width and height. */
  readonly units: 'pixels' | 'unit'
}

/**
 * The form of decoded boxes, from those that the layers' answers of 2 give: near the right and bottom edges small boxes have x2 > x1 but not
 * width > centre x. `number(i, k)` is number k of box i. Undefined where neither fits.
 */
export function boxFormOf(count: number, number: (i: number, k: number) => number, input: ModelFacts['input']): BoxForm | undefined {
  const every = (test: (box: readonly number[]) => boolean): boolean => Array.from({ length: count }, (_, i) => i).every((i) => test([0, 1, 2, 3].map((k) => number(i, k))))
  const corners = every(([a, b, c, d]) => c! > a! && d! > b!)
  const centres = every(([, , w, h]) => w! >= 0 && h! >= 0)
  if (!corners && !centres) return undefined
  let farthest = 0
  for (let i = 0; i < count; i++) farthest = Math.max(farthest, corners ? (number(i, 0) + number(i, 2)) / 2 : number(i, 0))
  const units = farthest <= 1.5 ? 'unit' : farthest > input.width / 2 ? 'pixels' : undefined
  return units && { boxesAre: corners ? 'corners' : 'centres', units }
}
