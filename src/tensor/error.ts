/** @file The error for what a user can mend: bad files, bad options, impossible budgets. */

/**
 * A user's error: the message names the file, the place and the remedy. The CLI prints it without a stack
 * and exits with `exitCode` (2 by default).
 */
export class UserError extends Error {
  readonly exitCode: number
  constructor(message: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(message, { cause: options.cause })
    this.name = 'UserError'
    this.exitCode = options.exitCode ?? 2
  }
}
