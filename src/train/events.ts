/** @file What long work tells as it goes: the CLI, reports and the studio render the same events. */

export type ProgressEvent =
  /** A phase begins: "train", "select layer2", "evaluate". */
  | { readonly type: 'phase'; readonly name: string; readonly total: number; readonly unit: string }
  /** `done` of the phase's total; `values` are what there is to see (losses, rates). */
  | { readonly type: 'progress'; readonly done: number; readonly values: Readonly<Record<string, number>> }
  /** The phase is over; `summary` in one line. */
  | { readonly type: 'end'; readonly summary: string }
  /** A line for the log. */
  | { readonly type: 'note'; readonly text: string }

export type Listener = (event: ProgressEvent) => void
