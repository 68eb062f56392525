/**
 * @file Network slimming: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017, section 3: s_j = |gamma_j|, gamma the scale of
 * the batch normalisation behind channel j. (There an L1 penalty on gamma in training drives scales to zero; here the detector is taken as it was trained.)
 */
import type { Node, Value } from '../../ir/graph.ts'
import { lookup } from '../../ops/registry.ts'
import { UserError } from '../../tensor/error.ts'
import { nodeLabel } from '../channel-links.ts'
import type { ChannelGroup, GroupMember } from '../groups.ts'
import { addByUnit, type WeightCriterion, weightsOf } from './criterion.ts'

/**
 * Adds up |gamma| of the first normalisation behind each producer. Throws UserError where a channel reaches a consumer without one: of several producers each
 * needs its own, but for the gates of a stream (squeeze-excitation).
 */
export const slimming: WeightCriterion = {
  name: 'slimming',
  needs: 'weights',
  score(group) {
    const scores = new Float64Array(group.channels)
    for (const member of scalesOf(group)) addByUnit(member, group.channels, weightsOf(member), Math.abs, scores)
    return scores
  },
  assertScorable: (group) => void scalesOf(group),
}

/** The scales' axes, each once. */
function scalesOf(group: ChannelGroup): Set<GroupMember> {
  const found = new Set<GroupMember>()
  const members = new Set(group.members.map((m) => m.value))
  const consumers = new Set(group.consumers.map((c) => c.node))
  const seen = new Set<Value>()
  const follow = (value: Value | undefined): void => {
    // What the group does not cut is another stream.
    if (!value || seen.has(value) || !members.has(value)) return
    seen.add(value)
    for (const { node } of value.uses) {
      if (consumers.has(node)) throw unscaled(group, node)
      const scale = scaleOf(group, node)
      if (scale) found.add(scale)
      else for (const out of node.outputs) follow(out)
    }
  }
  for (const { node } of group.coupled ? group.producers : group.producers.slice(0, 1)) for (const out of node.outputs) follow(out)
  if (found.size === 0) throw unscaled(group, group.producers[0]!.node)
  return found
}

/** The axis of a normalisation's scale: constant, along the channels of the group. Instance or layer normalisation have no training form, and none of BN's meaning. */
function scaleOf(group: ChannelGroup, node: Node): GroupMember | undefined {
  const scale = node.inputs[1]
  return lookup(node.opType, node.domain)?.training && scale?.initializer ? group.members.find((m) => m.value === scale) : undefined
}

function unscaled(group: ChannelGroup, node: Node): UserError {
  return new UserError(`--method slimming: no batch normalisation scales the channels of group "${group.id}" before ${nodeLabel(node)} (it may have been folded into the convolutions when the model was exported); choose another method, or leave the group whole with --keep "${group.id}"`)
}
