/** @file From options to the runtime's session options. */
import type { SessionOptions } from '../runtime/session.ts'
import type { CommonOptions } from './command.ts'

/** `file` names the model in errors of the runtime. */
export function sessionOptions({ threads, ep }: Pick<CommonOptions, 'threads' | 'ep'>, file?: string): SessionOptions {
  return { threads, provider: ep, file }
}
