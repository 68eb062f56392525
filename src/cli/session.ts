/** @file From options to the runtime's session options. */
import type { SessionOptions } from '../runtime/session.ts'

/** The options of every command that say how models run. */
interface EngineOptions {
  readonly threads: number | undefined
  readonly ep: string | undefined
}

/** `file` names the model in errors of the runtime. */
export function sessionOptions({ threads, ep }: EngineOptions, file?: string): SessionOptions {
  return { threads, provider: ep, file }
}

/** Throws UserError where the execution provider does not start, before any work is done. */
export async function assertProvider(options: EngineOptions): Promise<void> {
  // Commands that run no model come here too, and start at once without the library.
  const [{ nodeRuntime }, { plainModel }] = await Promise.all([import('../runtime/node.ts'), import('../runtime/ort.ts')])
  await (await nodeRuntime.load(plainModel, sessionOptions(options))).release()
}
