/** @file Progress on stderr: a bar on a terminal, else a plain line every few seconds. */
import { SingleBar } from 'cli-progress'
import type { Listener, ProgressEvent } from '../train/events.ts'
import { onInterrupt } from './interrupt.ts'
import type { Stream } from './streams.ts'

/** Seconds between plain lines. */
const lineEvery = 5

/** A phase under way, and what can be said of its speed. */
export class Phase {
  readonly name: string
  readonly total: number
  readonly unit: string
  private readonly start = performance.now()
  private done = 0
  private images: number | undefined
  private loss: number | undefined

  constructor({ name, total, unit }: Extract<ProgressEvent, { type: 'phase' }>) {
    this.name = name
    this.total = total
    this.unit = unit
  }

  advance({ done, values }: Extract<ProgressEvent, { type: 'progress' }>): void {
    this.done = done
    this.images = values.images ?? (this.unit === 'images' ? done : undefined)
    this.loss = values.loss
  }

  get count(): number {
    return this.done
  }

  /** "120/600 steps, 14.2 images/s, ETA 1:05, loss 3.211" */
  describe(): string {
    const seconds = (performance.now() - this.start) / 1000
    const parts = [`${this.done}/${this.total} ${this.unit}`]
    if (this.images !== undefined && seconds > 0) parts.push(`${(this.images / seconds).toFixed(1)} images/s`)
    if (this.done > 0) parts.push(`ETA ${clock((seconds / this.done) * Math.max(0, this.total - this.done))}`)
    if (this.loss !== undefined) parts.push(`loss ${this.loss.toFixed(3)}`)
    return parts.join(', ')
  }
}

export interface Progress {
  readonly listener: Listener
  close(): void
}

export function createProgress(stream: Stream, quiet: boolean): Progress {
  if (quiet) return { listener: () => {}, close: () => {} }
  return stream.isTTY === true ? barProgress(stream) : lineProgress(stream)
}

function lineProgress(stream: Stream): Progress {
  let phase: Phase | undefined
  let last = performance.now()
  const line = (text: string): void => void stream.write(`${text}\n`)
  return {
    listener(event) {
      if (event.type === 'phase') {
        phase = new Phase(event)
        last = performance.now()
      } else if (event.type === 'progress') {
        phase?.advance(event)
        if (!phase || performance.now() - last < lineEvery * 1000) return
        last = performance.now()
        line(`${phase.name}: ${phase.describe()}`)
      } else if (event.type === 'end') {
        line(phase ? `${phase.name}: ${event.summary}` : event.summary)
        phase = undefined
      } else line(event.text)
    },
    close: () => {},
  }
}

function barProgress(stream: Stream): Progress {
  let phase: Phase | undefined
  let bar: SingleBar | undefined
  const stop = (): void => {
    bar?.stop()
    bar = undefined
  }
  const forget = onInterrupt(stop)
  const line = (text: string): void => void stream.write(`\r\u001B[K${text}\n`)
  return {
    listener(event) {
      if (event.type === 'phase') {
        stop()
        phase = new Phase(event)
        bar = new SingleBar({
          stream: stream as NodeJS.WritableStream, format: '{name} [{bar}] {text}', barsize: 20, hideCursor: true, clearOnComplete: true, fps: 5, gracefulExit: false,
          barCompleteChar: '=', barIncompleteChar: ' ',
        })
        bar.start(Math.max(1, event.total), 0, { name: event.name, text: '' })
      } else if (event.type === 'progress') {
        phase?.advance(event)
        if (phase) bar?.update(Math.min(phase.count, phase.total), { text: phase.describe() })
      } else if (event.type === 'end') {
        stop()
        line(phase ? `${phase.name}: ${event.summary}` : event.summary)
        phase = undefined
      } else line(event.text)
    },
    close() {
      stop()
      forget()
    },
  }
}

/** "1:05", "2:03:10" */
function clock(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (n: number): string => String(n).padStart(2, '0')
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}
