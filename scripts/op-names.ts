/** @file Check: code outside ops/ asks an op's entry and never compares with an op's name. */
import type { SourceFile } from './source-files.ts'

/** Folders of src/ under the rule. detection/ builds graphs by name, which is another thing. */
const folders = ['passes', 'autodiff', 'pruning', 'train', 'onnx']

/** The operators of ONNX's default domain. */
const opNames = `
Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization Bernoulli
BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu CenterCropPad Clip Col2Im
Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DFT
DeformConv DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike
Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If
ImageDecoder InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
Loop LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization
MelWeightMatrix Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot
Optional Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal
RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize ReverseSequence
RoiAlign RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu SequenceAt SequenceConstruct
SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap Shape Shrink Sigmoid Sign Sin Sinh Size Slice
SoftmaxCrossEntropyLoss Softmax Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze StringConcat
StringNormalizer StringSplit Sub Sum Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile TopK Transpose
Trilu Unique Unsqueeze Upsample Where Xor
`.trim().split(/\s+/)

const literal = `(['"\`])(?:${opNames.join('|')})\\1`
const patterns = [
  // opType === 'Conv', 'Conv' !== opType
  `[=!]==?\\s*${literal}`,
  `${literal}\\s*[=!]==?`,
  // case 'Conv':
  `\\bcase\\s+${literal}`,
  // names.has('Conv'), opType.startsWith('Reduce')
  `\\.(?:has|includes|indexOf|startsWith|endsWith)\\(\\s*${literal}`,
  // ['Conv', 'Gemm'].includes(opType), new Set(['Conv'])
  `\\[\\s*${literal}[^\\]]*\\]\\s*\\.(?:includes|indexOf|some)\\(`,
  `\\bnew (?:Set|Map)(?:<[^(]*>)?\\(\\[+\\s*${literal}`,
  // a table to dispatch by: { Conv: ..., 'Gemm': ... }
  `[{,\\n]\\s*(['"]?)(?:${opNames.join('|')})\\1:\\s`,
].map((source) => new RegExp(source, 'g'))

/** Comments blanked out, line breaks kept. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ' '))
}

/** One message a place where code in a folder under the rule branches on an op's name. */
export function opNameComparisons(files: readonly SourceFile[]): string[] {
  const problems: string[] = []
  for (const { path, text } of files) {
    const [top, folder = ''] = path.split('/')
    if (top !== 'src' || !folders.includes(folder)) continue
    const code = withoutComments(text)
    for (const pattern of patterns) {
      for (const match of code.matchAll(pattern)) {
        const line = code.slice(0, match.index + match[0].length).split('\n').length
        problems.push(`${path}:${line}: ${match[0].trim()} (ask the op's entry in ops/)`)
      }
    }
  }
  return problems
}
