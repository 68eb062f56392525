/** @file Channel groups as `inspect` shows them: one line a group, names shortened to what a screen holds. */
import { type ChannelGroup, nodeName, type WeightUse, wholeReason } from '../pruning/groups.ts'
import type { UnitCost } from '../pruning/width-cost.ts'
import { amount, shortened, table } from './table.ts'

/** Characters that a line of the table should not exceed. */
const lineWidth = 112
/** Characters of the columns beside the group's name and the two lists of layers. */
const fixedWidth = 46
const longestId = 32

/** A group with what one of its units costs. */
export interface CostedGroup {
  readonly group: ChannelGroup
  readonly cost: UnitCost
}

/** As --json gives it; costs are those of one unit. */
export function groupJson({ group: g, cost }: CostedGroup) {
  const reason = wholeReason(g)
  return {
    id: g.id,
    channels: g.channels,
    prunable: reason === undefined,
    ...(reason !== undefined && { reason }),
    coupled: g.coupled,
    producers: layersOf(g.producers),
    consumers: layersOf(g.consumers),
    paramsPerChannel: cost.params,
    macsPerChannel: cost.macs,
    members: g.members.map((m) => ({ value: m.value.name, axis: m.axis, role: m.role, perUnit: m.perUnit })),
  }
}

/** The groups that can be cut as a table, then the others with the reason. */
export function groupsText(groups: readonly CostedGroup[]): string {
  const cut = groups.filter(({ group }) => wholeReason(group) === undefined)
  const whole = groups.filter(({ group }) => wholeReason(group) !== undefined)
  const lines = [`${cut.length} of ${groups.length} channel groups can be cut`]
  if (cut.length > 0) lines.push('', cutTable(cut), '', ...legendOf(cut))
  if (whole.length > 0) lines.push('', `${whole.length} stay whole`, '', wholeTable(whole))
  return lines.join('\n')
}

function legendOf(groups: readonly CostedGroup[]): string[] {
  const several = groups.map(({ group }) => unitsText(group)).find((text) => text.includes('x'))
  return [
    'params, MACs: what the model is relieved of when one channel goes',
    'prune --keep NAMES leaves groups and layers whole, by any name that is here or in --json; * stands for any letters',
    ...(several === undefined ? [] : [`channels "${several}": ${several.replace('x', 'units of ')} channels each, which can only go together`]),
    ...(groups.some(({ group }) => group.coupled) ? ['kind: inner, made by one layer; coupled, a stream that several layers write to (cut with prune --groups all)'] : []),
  ]
}

function cutTable(groups: readonly CostedGroup[]): string {
  const longest = Math.min(longestId, Math.max(...groups.map(({ group }) => group.id.length)))
  const names = Math.floor((lineWidth - fixedWidth - longest) / 2)
  const rows = groups.map(({ group, cost }) => [
    shortened(group.id, longest),
    unitsText(group),
    listed(layersOf(group.producers), names),
    listed(layersOf(group.consumers), names),
    amount(cost.params),
    cost.macs === null ? '?' : amount(cost.macs),
    group.coupled ? 'coupled' : 'inner',
  ])
  return table(['group', 'channels', 'made by', 'read by', 'params', 'MACs', 'kind'], rows, [true, false, true, true, false, false, true])
}

function wholeTable(groups: readonly CostedGroup[]): string {
  return table(['group', 'channels', 'why'], groups.map(({ group }) => [shortened(group.id, longestId), unitsText(group), wholeReason(group) ?? '']), [true, false, true])
}

/** "96", or "12 x4" where a unit holds several channels of its first layer. */
function unitsText({ channels, producers }: ChannelGroup): string {
  const perUnit = producers[0]!.member.perUnit
  return perUnit === 1 ? String(channels) : `${channels} x${perUnit}`
}

/** Names of the nodes, each once. */
function layersOf(uses: readonly WeightUse[]): string[] {
  return [...new Set(uses.map(({ node }) => nodeName(node)))]
}

/** As many names as `width` holds, then how many more: "a, b +3". */
export function listed(names: readonly string[], width: number): string {
  for (let n = names.length; n > 1; n--) {
    const text = names.slice(0, n).join(', ') + (n < names.length ? ` +${names.length - n}` : '')
    if (text.length <= width) return text
  }
  const more = names.length > 1 ? ` +${names.length - 1}` : ''
  return names.length === 0 ? '-' : shortened(names[0]!, width - more.length) + more
}
