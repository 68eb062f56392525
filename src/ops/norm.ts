/** @file x */
import type { OpDef } from './define.ts'

export const norm: readonly OpDef[] = []
