/** @file The picture of a sensitivity measurement, drawn without a browser. Loaded only where one is asked for. */
import { parseHTML } from 'linkedom'
import { type SensitivityPicture, sensitivityPlot } from '../report/sensitivity-plot.ts'

export function sensitivitySvg(picture: SensitivityPicture): string {
  const { document } = parseHTML('<!DOCTYPE html><html><body></body></html>')
  return sensitivityPlot(picture, document)
}
