/** @file Least squares with coefficients that are not negative, for a handful of columns. */
import { Matrix, pseudoInverse } from 'ml-matrix'

/**
 * The x >= 0 that makes |A x - b| least. The solution is the plain least-squares one on the columns where it is not 0, so all sets of columns are
 * tried: exact, and 16 small systems for 4 columns. `rows`: [m][n], n at most 8.
 */
export function nonNegativeLeastSquares(rows: readonly (readonly number[])[], b: readonly number[]): number[] {
  const n = rows[0]?.length ?? 0
  if (rows.length !== b.length || n === 0 || n > 8) throw new Error(`${rows.length} rows of ${n} columns for ${b.length} values`)
  // Columns of one size: they may be counts beside shares.
  const scale = rows[0]!.map((_, k) => Math.max(...rows.map((row) => Math.abs(row[k]!))) || 1)
  const error = (x: readonly number[]): number => rows.reduce((sum, row, i) => sum + (row.reduce((y, a, k) => y + a * x[k]!, 0) - b[i]!) ** 2, 0)
  let best = Array.from({ length: n }, () => 0)
  let least = error(best)
  for (let set = 1; set < 1 << n; set++) {
    const columns = Array.from({ length: n }, (_, k) => k).filter((k) => set & (1 << k))
    const a = new Matrix(rows.map((row) => columns.map((k) => row[k]! / scale[k]!)))
    const some = pseudoInverse(a).mmul(Matrix.columnVector([...b])).to1DArray()
    if (some.some((v) => v < 0)) continue
    const x = best.map(() => 0)
    columns.forEach((k, i) => (x[k] = some[i]! / scale[k]!))
    const e = error(x)
    if (e < least) {
      best = x
      least = e
    }
  }
  return best
}
