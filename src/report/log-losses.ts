/** @file Losses that a run's log has, step by step. */

export interface LoggedPhase {
  readonly name: string
  /** In the order of the log; a run that writes every ten seconds has few of a fast phase. */
  readonly steps: readonly { readonly step: number; readonly loss: number }[]
}

/** "2026-11-24T07:20:48.415Z stage layer2: fine-tune: 2/50 steps, 1.4 images/s, ETA 4:25, loss 2.591" */
const line = /^\S+ (.+): (\d+)\/\d+ steps, (?:.*, )?loss (\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b/

/** Phases with at least two steps; one that comes again starts anew. */
export function loggedLosses(log: string): LoggedPhase[] {
  const phases: { name: string; steps: { step: number; loss: number }[] }[] = []
  for (const text of log.split('\n')) {
    const [, name, step, loss] = line.exec(text) ?? []
    if (name === undefined) continue
    const last = phases.at(-1)
    if (last?.name === name && Number(step) > last.steps.at(-1)!.step) last.steps.push({ step: Number(step), loss: Number(loss) })
    else phases.push({ name, steps: [{ step: Number(step), loss: Number(loss) }] })
  }
  return phases.filter((phase) => phase.steps.length > 1)
}
