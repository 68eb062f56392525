/** @file Widths that a group may have: multiples of the rounding step, the minimum, the full width. */
import type { ChannelGroup } from './groups.ts'

export interface WidthOptions {
  /** Widths are rounded to multiples of this many channels; a group's full width is always allowed. Default 8. */
  readonly round?: number
  /** No group goes below this many channels. Default: `round`. */
  readonly minimum?: number
}

/** Units that a group keeps at `ratio` (0: its minimum, 1: all). Grows with the ratio. */
export function widthAt(group: ChannelGroup, ratio: number, options: WidthOptions): number {
  const step = unitStep(group, options)
  const minimum = Math.ceil((options.minimum ?? options.round ?? 8) / perUnit(group) / step) * step
  const wanted = group.channels * ratio
  const rounded = Math.round(wanted / step) * step
  // The full width is allowed even where it is no multiple: it wins where it is nearer.
  if (group.channels - wanted <= Math.abs(wanted - rounded)) return group.channels
  return Math.min(group.channels, Math.max(rounded, step, minimum, feedsGroups(group) ? 2 : 1))
}

/**
 * True where a consumer looks at groups of the channels one by one (a grouped convolution). One channel a group would make it a depthwise
 * one, whose outputs go with its inputs: what belongs together would be another thing in the next step of a method that cuts in steps.
 */
function feedsGroups(group: ChannelGroup): boolean {
  return group.consumers.some(({ member }) => member.perUnit < perUnit(group))
}

/** The least that each group may keep, in their order. */
export function leastWidths({ groups, ...options }: WidthOptions & { readonly groups: readonly ChannelGroup[] }): number[] {
  return groups.map((g) => minimumWidth(g, options))
}

/** The least that a group may keep. */
function minimumWidth(group: ChannelGroup, options: WidthOptions): number {
  return widthAt(group, 0, options)
}

/** The next smaller width that rounding allows; undefined at the least. */
export function narrowerWidth(group: ChannelGroup, width: number, options: WidthOptions): number | undefined {
  const step = unitStep(group, options)
  const next = (Math.ceil(width / step) - 1) * step
  return next >= minimumWidth(group, options) ? next : undefined
}

/** The narrowest width that rounding allows where a group may lose `limit` (0 to 1) of its channels. */
export function leastWidth(group: ChannelGroup, options: WidthOptions, limit = 1): number {
  let width = group.channels
  for (let next = narrowerWidth(group, width, options); next !== undefined && next >= (1 - limit) * group.channels; next = narrowerWidth(group, next, options)) width = next
  return width
}

/** The next larger width that rounding allows, the full one at most. */
export function widerWidth(group: ChannelGroup, width: number, options: WidthOptions): number {
  const step = unitStep(group, options)
  return Math.min(group.channels, (Math.floor(width / step) + 1) * step)
}

/** Units in one rounding step. */
function unitStep(group: ChannelGroup, { round = 8 }: WidthOptions): number {
  return round / greatestCommonDivisor(round, perUnit(group))
}

/** Channels are counted on the first producer's output axis, where one unit may hold several. */
export function perUnit(group: ChannelGroup): number {
  return group.producers[0]!.member.perUnit
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
