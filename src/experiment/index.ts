/** @file Public API of espalier/experiment. */
export { type BySeed, compareRows, type Comparison, type Difference, verdictOf } from './bootstrap.ts'
export { type RunRecord, type RunState, stateOf } from './finished.ts'
export { makeGrid, type Run, type RunKind } from './grid.ts'
export { type Results, resultsOf, type RunOutcome } from './results.ts'
export { resultsCsv, resultsMarkdown, runsCsv } from './results-text.ts'
export { type ExperimentSpec, parseSpec } from './spec.ts'
