/** @file Whether scores say anything. */
import { UserError } from '../../tensor/error.ts'
import type { ChannelGroup } from '../groups.ts'

/** Throws UserError where all units score 0, or a score is no number. */
export function assertRanked(group: ChannelGroup, scores: Float64Array): void {
  if (scores.every((v) => v === 0)) throw new UserError(`all channels of group "${group.id}" score 0: no loss depends on their consumers, so they cannot be ranked; choose another method, or more images`)
  const odd = scores.findIndex((v) => !Number.isFinite(v))
  if (odd >= 0) throw new UserError(`channel ${odd} of group "${group.id}" scores ${scores[odd]}, so the channels cannot be ranked; is the detector trained?`)
}
