/** @file From options to the runtime's session options. */
import type { SessionOptions } from '../runtime/session.ts'
import type { CommonOptions } from './command.ts'

export function sessionOptions({ threads, ep }: Pick<CommonOptions, 'threads' | 'ep'>): SessionOptions {
  return { threads, provider: ep }
}
