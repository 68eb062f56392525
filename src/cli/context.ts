/** @file What a command writes to: results on stdout, everything else on stderr. */
import type { Listener } from '../train/events.ts'
import { createProgress } from './progress.ts'
import type { Streams } from './streams.ts'

export interface Context {
  /** Shows progress on stderr. */
  readonly listener: Listener
  /** A line on stderr, unless quiet. */
  note(text: string): void
  /** The result of the command, once: one JSON object with --json, else text for people. */
  result(json: object, text: string): void
  /** Takes a progress bar off the screen. */
  close(): void
}

export function createContext(options: { readonly json: boolean; readonly quiet: boolean }, { stdout, stderr }: Streams): Context {
  const progress = createProgress(stderr, options.quiet)
  return {
    listener: progress.listener,
    note: (text) => progress.listener({ type: 'note', text }),
    result(json, text) {
      progress.close()
      stdout.write(options.json ? `${JSON.stringify(json)}\n` : `${text}\n`)
    },
    close: () => progress.close(),
  }
}
