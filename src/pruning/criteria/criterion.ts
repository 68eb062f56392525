/** @file What a criterion is: a score for every channel of a group, from the weights alone or from what images show. */
import type { Rng } from '../../tensor/rng.ts'
import { toNumbers } from '../../tensor/tensor.ts'
import type { ChannelGroup, GroupMember, WeightUse } from '../groups.ts'
import type { LcpOptions } from '../lcp/options.ts'

/** What each kind of criterion is handed, by what it needs. */
export interface StatisticsOf {
  /** The model, and a source of random numbers. */
  readonly weights: { readonly rng: Rng }
  /** Gradients of the detector's own loss on the uncut detector by a factor on each unit of a group, put where consumers read it; for each batch of the images. */
  readonly loss: { readonly gates: (group: ChannelGroup) => readonly Float64Array[] }
  /** [channels, channels] inner products, over sampled outputs of the consumers, of what each unit adds to an output; on the uncut model. */
  readonly features: { readonly products: (group: ChannelGroup) => Float64Array }
  /** Gradient of L_re + alpha L_a by a consumer's weight, accumulated over the images. Same dims as the weight. */
  readonly joint: { readonly gradient: (weight: string) => Float32Array }
}

export type Needs = keyof StatisticsOf

interface CriterionOf<N extends Needs> {
  readonly name: string
  /**
   * "weights": nothing beside the model. "loss": passes over images with the detector's own loss. "features": runs over images. "joint": the detector is pruned
   * stage by stage and trained on the way, and the joint loss of layer and stage judges.
   */
  readonly needs: N
  /** Importance of each unit of a group; higher is kept. */
  readonly score: (group: ChannelGroup, statistics: StatisticsOf[N]) => Float64Array
  /** Throws UserError where the group has not what the criterion goes by; asked before anything takes time. Default: it always has. */
  readonly assertScorable?: (group: ChannelGroup) => void
}

export type WeightCriterion = CriterionOf<'weights'>
export type LossCriterion = CriterionOf<'loss'>
export type FeatureCriterion = CriterionOf<'features'>
export interface JointCriterion extends CriterionOf<'joint'> {
  /** Where the method differs from LCP's own defaults. */
  readonly defaults: Partial<LcpOptions>
}
export type Criterion = WeightCriterion | LossCriterion | FeatureCriterion | JointCriterion

/** Adds f(entry) over all entries of `data` (dims of the member's value) to the unit that owns the entry's slice. */
export function addByUnit(member: GroupMember, channels: number, data: Float32Array, f: (v: number) => number, out: Float64Array): void {
  const { inner, length, outer } = layoutOf(member)
  for (let k = 0; k < channels; k++) {
    let total = 0
    for (let i = 0; i < member.perUnit; i++) {
      const index = member.indices[k * member.perUnit + i]!
      for (let o = 0; o < outer; o++) {
        const from = (o * length + index) * inner
        for (let j = from; j < from + inner; j++) total += f(data[j]!)
      }
    }
    out[k] = out[k]! + total
  }
}

/** The entries of `data` (dims of the member's value) that belong to each unit, in one order for all units. */
export function unitVectors(member: GroupMember, channels: number, data: Float32Array): Float32Array[] {
  const { inner, length, outer } = layoutOf(member)
  return Array.from({ length: channels }, (_, k) => {
    const vector = new Float32Array(member.perUnit * outer * inner)
    for (let i = 0, at = 0; i < member.perUnit; i++) {
      const index = member.indices[k * member.perUnit + i]!
      for (let o = 0; o < outer; o++, at += inner) {
        const from = (o * length + index) * inner
        vector.set(data.subarray(from, from + inner), at)
      }
    }
    return vector
  })
}

/** How a member's axis lies in memory: `outer` blocks of `length` slices of `inner` entries. */
export function layoutOf({ value, axis }: GroupMember): { outer: number; length: number; inner: number } {
  const dims = value.initializer?.dims
  if (!dims) throw new Error(`"${value.name}" is no weight`)
  const product = (part: readonly number[]): number => part.reduce((a, b) => a * b, 1)
  return { outer: product(dims.slice(0, axis)), length: dims[axis]!, inner: product(dims.slice(axis + 1)) }
}

/** The weights' axes behind `uses`, each once: a weight that several nodes share is still one weight. */
export function weightAxes(uses: readonly WeightUse[]): GroupMember[] {
  return [...new Set(uses.map((u) => u.member))]
}

/** The weights of a member that is a weight's axis; half and double precision as single. */
export function weightsOf(member: GroupMember): Float32Array {
  const content = member.value.initializer
  if (!content) throw new Error(`"${member.value.name}" is no weight`)
  return content.data instanceof Float32Array ? content.data : Float32Array.from(toNumbers(content))
}
