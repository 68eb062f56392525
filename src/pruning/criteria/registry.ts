/** @file The criteria by name: the values of `--method`. */
import { UserError } from '../../tensor/error.ts'
import type { Criterion } from './criterion.ts'
import { l1 } from './l1.ts'
import { lcp } from './lcp.ts'
import { random } from './random.ts'

const criteria: readonly Criterion[] = [lcp, l1, random]

export const methodNames: readonly string[] = criteria.map((c) => c.name)

export function criterionNamed(name: string): Criterion {
  const criterion = criteria.find((c) => c.name === name)
  if (!criterion) throw new UserError(`method "${name}" is not known; known are ${methodNames.join(', ')}`)
  return criterion
}
