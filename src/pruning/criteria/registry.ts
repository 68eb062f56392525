/** @file The criteria by name: the values of `--method`. */
import { UserError } from '../../tensor/error.ts'
import type { Criterion, Needs } from './criterion.ts'
import { dcp } from './dcp.ts'
import { fpgm } from './fpgm.ts'
import { l1 } from './l1.ts'
import { l2 } from './l2.ts'
import { lcp } from './lcp.ts'
import { random } from './random.ts'
import { reconstruction } from './reconstruction.ts'
import { slimming } from './slimming.ts'
import { taylor } from './taylor.ts'
import { thinet } from './thinet.ts'

const criteria: readonly Criterion[] = [lcp, dcp, reconstruction, thinet, taylor, slimming, fpgm, l2, l1, random]

export const methodNames: readonly string[] = criteria.map((c) => c.name)

/** Names of the methods that need `needs`. */
export function methodsThatNeed(needs: Needs): string[] {
  return criteria.filter((c) => c.needs === needs).map((c) => c.name)
}

export function criterionNamed(name: string): Criterion {
  const criterion = criteria.find((c) => c.name === name)
  if (!criterion) throw new UserError(`method "${name}" is not known; known are ${methodNames.join(', ')}`)
  return criterion
}
