/** @file The process: runs the command line and ends with its exit code. */
import { interrupt } from './interrupt.ts'
import { main } from './program.ts'

process.once('SIGINT', () => {
  interrupt()
  process.exit(130)
})
// A closed pipe (`espalier ... | head`) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
process.exitCode = await main(process.argv.slice(2))
