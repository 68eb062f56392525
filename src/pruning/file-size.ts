/** @file Budgets of file size, met by the file as it is written. */
import type { Model } from '../ir/graph.ts'
import { savedSize } from '../onnx/save.ts'
import { UserError } from '../tensor/error.ts'
import type { Budget } from './budget.ts'
import { type BudgetOptions, fileSizeText } from './goals.ts'
import { cutTo } from './latency/whole-times.ts'

/** Rounds of solving and looking at the file that comes out. */
const rounds = 5

/** Solves a budget; where it limits the size of the file, so that the cut model, written, keeps the limit. Throws UserError where it cannot be met. */
export async function meetSize(options: BudgetOptions, solve: (options: BudgetOptions) => Promise<Budget>): Promise<Budget> {
  const { model, groups, maxSize } = options
  if (maxSize === undefined) return solve(options)
  let aim = maxSize
  for (let round = 0; round < rounds; round++) {
    const budget = await solve({ ...options, maxSize: aim })
    const excess = savedSize(cutTo(model, groups, groups.map((g) => budget.widths.get(g.id)!))) - maxSize
    if (excess <= 0) return budget
    aim -= excess
    if (aim <= 0) break
  }
  throw new UserError(`a file of ${fileSizeText(maxSize)} cannot be reached: the constants that the cut itself needs take more than is left. Ask for less, or allow more groups`)
}

/** Throws UserError where the model's file would take more than `maxSize` bytes. */
export function assertSize(model: Model, maxSize: number | undefined): void {
  const size = maxSize === undefined ? 0 : savedSize(model)
  if (maxSize !== undefined && size > maxSize) throw new UserError(`the pruned model takes ${fileSizeText(size)}, more than --max-size allows (${maxSize} bytes); ask for a little less`)
}
