/** @file Profiles models side by side with the native runtime, which writes its profiles to files. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cloneModel } from '../ir/edit.ts'
import type { Model } from '../ir/graph.ts'
import { type LatencyOptions, measureLatency } from './latency.ts'
import { nodeRuntime } from './node.ts'
import { type NodeTime, readNodeTimes } from './node-times.ts'
import type { Session, SessionOptions, Tensors } from './session.ts'

export interface NodeTimesOptions extends LatencyOptions {
  readonly session?: SessionOptions
}

/** Times of all nodes of each model, by the name of their first output, measured in turns. */
export async function measureNodeTimes(models: readonly { readonly model: Model; readonly feeds: Tensors }[], { runs, warmup, session }: NodeTimesOptions): Promise<NodeTime[][]> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-profile-'))
  const sessions: Session[] = []
  try {
    for (const [i, { model }] of models.entries()) sessions.push(await nodeRuntime.load(named(model), { ...session, profilePrefix: join(folder, `${i}`) }))
    await measureLatency(models.map(({ feeds }, i) => ({ session: sessions[i]!, feeds })), { runs, warmup })
    // The file is written when the session goes.
    for (const s of sessions.splice(0)) await s.release()
    const files = await readdir(folder)
    return await Promise.all(models.map(async (_, i) => {
      const file = files.find((name) => name.startsWith(`${i}_`))
      if (!file) throw new Error('the runtime wrote no profile')
      return readNodeTimes(await readFile(join(folder, file), 'utf8'), warmup)
    }))
  } finally {
    for (const s of sessions) await s.release()
    await rm(folder, { recursive: true, force: true })
  }
}

/** A copy whose nodes are named by their first outputs: names that are missing or used twice would mix their times. */
function named(model: Model): Model {
  const { model: copy } = cloneModel(model)
  for (const node of copy.graph.nodes) node.name = node.outputs.find((v) => v)?.name ?? node.name
  return copy
}
