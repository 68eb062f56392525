/** @file Public API of espalier/report. */
export type { Latency } from './latency.ts'
export { readRuns, type ReportRun, type RunRecord } from './record.ts'
export { pageLimit, reportOf, type ReportOptions } from './report.ts'
export { fitSamples, qualityOf, type SamplePicture, type SampleSet } from './samples.ts'
export { type PlottedCut, type PlottedGroup, sensitivityPlot, type SensitivityPicture } from './sensitivity-plot.ts'
