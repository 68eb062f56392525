/** @file The most memory that this process has taken. */
import { readFileSync } from 'node:fs'

/**
 * Largest resident size of this process so far, in 10^6 bytes. Linux: VmHWM, which starts anew with the program; the maximum of
 * getrusage includes the size of the process that started it.
 */
export function peakMB(): number {
  if (process.platform === 'linux') {
    const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))
    if (found) return Number(found[1]) * 1.024e-3
  }
  return process.resourceUsage().maxRSS * 1.024e-3
}
