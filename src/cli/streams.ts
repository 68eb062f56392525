/** @file Where the command line writes. */

export interface Stream {
  write(text: string): unknown
  readonly isTTY?: boolean
}

export interface Streams {
  readonly stdout: Stream
  readonly stderr: Stream
}
