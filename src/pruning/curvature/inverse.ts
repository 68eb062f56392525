/** @file The inverse of a symmetric positive definite matrix, on one flat array: the library's goes entry by entry and takes tens of times as long for the hundreds of inputs of a layer. */

/**
 * Inverts `a` [n, n], row after row, in place; Gauss-Jordan without pivoting, which needs none where the matrix is positive definite, over the lower half alone. Throws
 * where it is not.
 */
export function invertPositive(a: Float64Array, n: number): void {
  const column = new Float64Array(n)
  for (let k = 0; k < n; k++) {
    const pivot = a[k * n + k]!
    if (!(pivot > 0)) throw new Error(`the matrix is not positive definite at row ${k}`)
    // Rows above k hold the half that is swept already, with its sign turned.
    for (let i = 0; i < n; i++) column[i] = i >= k ? a[i * n + k]! : a[k * n + i]!
    for (let i = 0; i < n; i++) {
      if (i === k) continue
      const share = column[i]! / pivot
      const row = i * n
      for (let j = 0; j <= i; j++) if (j !== k) a[row + j] = a[row + j]! - share * column[j]!
      if (k < i) a[row + k] = share
    }
    for (let j = 0; j < k; j++) a[k * n + j] = column[j]! / pivot
    a[k * n + k] = -1 / pivot
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = -a[i * n + j]!
      a[i * n + j] = value
      a[j * n + i] = value
    }
  }
}
