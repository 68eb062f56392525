/** @file What a criterion is: a score for every channel of a group, and the statistics that it needs. */
import type { Rng } from '../../tensor/rng.ts'
import { toNumbers } from '../../tensor/tensor.ts'
import type { ChannelGroup, GroupMember, WeightUse } from '../groups.ts'

/** What is known about the model when channels are scored. */
export interface Statistics {
  readonly rng: Rng
  /** Gradient of the criterion's loss by a consumer's weight, accumulated over the selection images. Same dims as the weight. */
  readonly gradient?: (weight: string) => Float32Array
}

export interface Criterion {
  readonly name: string
  /** "weights": scores need nothing beside the model; "gradients": a pass over images with the criterion's loss. */
  readonly needs: 'weights' | 'gradients'
  /** Importance of each unit of a group; higher is kept. */
  readonly score: (group: ChannelGroup, statistics: Statistics) => Float64Array
}

/** Adds f(entry) over all entries of `data` (dims of the member's value) to the unit that owns the entry's slice. */
export function addByUnit(member: GroupMember, channels: number, data: Float32Array, f: (v: number) => number, out: Float64Array): void {
  const dims = member.value.initializer?.dims
  if (!dims) throw new Error(`"${member.value.name}" is no weight`)
  const inner = dims.slice(member.axis + 1).reduce((a, b) => a * b, 1)
  const length = dims[member.axis]!
  const outer = data.length / (inner * length)
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
