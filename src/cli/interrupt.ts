/** @file What has to be put in order when the user interrupts: unfinished files, a progress bar's hidden cursor. */

const cleanups = new Set<() => void>()

/** Registers a cleanup, synchronous; returns what takes it back. */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup)
  return () => void cleanups.delete(cleanup)
}

/** Runs every cleanup once. */
export function interrupt(): void {
  for (const cleanup of cleanups) cleanup()
  cleanups.clear()
}
