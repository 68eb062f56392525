/** @file The clock that latency is best taken with in Node. */
import type { Clock } from './latency.ts'
import type { SessionOptions } from './session.ts'

/**
 * The processor time of this process where one thread of the CPU does all the work: on an idle machine the same as time on the wall, and what other
 * processes take does not count. Undefined, for the clock on the wall, with more threads (they wait for one another) and on other devices.
 */
export function cpuClock({ threads, provider = 'cpu' }: SessionOptions): Clock | undefined {
  if (threads !== 1 || provider !== 'cpu') return undefined
  return () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }
}
