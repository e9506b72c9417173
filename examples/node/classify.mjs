// Classify images in Node.js with a file that capsedge exported.
//
//     node classify.mjs MODEL.onnx IMAGE...
//
// It prints one line of JSON for each image: path, class, length of the longest capsule, and the others in next_best,
// as `capsedge infer --invert no --top CLASSES --json` does. The steps: read the contract in the file's metadata, fit
// the image to the input as the contract says, run, take the longest capsule. It refuses models with several classes
// in each image, the frame `figure`, the levels `full`, filters other than bilinear, and images of more than 8 bits.
// An error is one line, with the exit codes of capsedge: 2 for a wrong use, 1 for everything else.

import { readFile } from "node:fs/promises";
import process, { argv, stderr, stdout } from "node:process";

const SCHEMA = 3; // of the contract; a reader refuses any other (docs/contract.md)

async function main([model, ...paths]) {
  if (!model || paths.length === 0) refuse("usage: node classify.mjs MODEL.onnx IMAGE...", 2);
  [ort, sharp] = [await installed("onnxruntime-node"), await installed("sharp")];
  const file = await readFile(model).catch((error) => refuse(`'${model}' cannot be read: ${reason(error)}`));
  const contract = contractOf(file, model);
  const session = await ort.InferenceSession.create(file).catch((error) =>
    refuse(`'${model}' cannot be run: ${reason(error)}`),
  );
  for (const path of paths) {
    const image = await decoded(path).catch((error) => refuse(`'${path}' cannot be read: ${reason(error)}`));
    const lengths = await run(session, contract, fitted(image, contract));
    const ordered = contract.classes
      .map((name, index) => ({ class: name, length: lengths[index] }))
      .sort((one, other) => other.length - one.length); // stable: of two equal lengths the first class
    const [best, ...others] = ordered;
    stdout.write(`${JSON.stringify({ path, ...best, next_best: others })}\n`);
  }
}

// The contract: ONNX Runtime for Node.js does not return a file's metadata, so this reads it. An ONNX file is one
// protobuf message; its field 14, metadata_props, repeats a message of a key (field 1) and a value (field 2).
function contractOf(file, model) {
  const damaged = `'${model}' is cut off, damaged or not an ONNX file: copy or export it again`;
  const message = fields(file) ?? refuse(damaged);
  if (!message.some(({ number }) => number === 7)) refuse(damaged); // the graph
  const props = message
    .filter(({ number }) => number === 14)
    .map(({ content }) => fields(content ?? Buffer.alloc(0)) ?? refuse(damaged));
  const text = (prop, wanted) => prop.find(({ number }) => number === wanted)?.content?.toString("utf8");
  const found = props.find((prop) => text(prop, 1) === "capsedge.contract");
  if (!found) refuse(`'${model}' has no contract: it was not exported by capsedge`);
  const contract = json(text(found, 2)) ?? refuse(damaged);
  const { schema, fit, labels = 1 } = contract;
  if (schema !== SCHEMA) refuse(`the contract has schema ${schema}, and this program reads ${SCHEMA}`);
  const known = ["pad", "crop", "stretch"].includes(fit.frame) && (fit.levels ?? "as-is") === "as-is";
  if (!known || (fit.resize ?? "bilinear") !== "bilinear" || labels !== 1) {
    refuse("expected one class for each image, and a fit by pad, crop or stretch with a bilinear filter");
  }
  return contract;
}

// The value of a JSON text; null if it is none.
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// The outermost fields of a protobuf message; only those with a length (strings, bytes, messages) have content. Null
// if the message is cut off or damaged.
function fields(bytes) {
  const found = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      const byte = bytes[at++]; // undefined after the end
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return NaN;
  };
  while (at < bytes.length) {
    const key = varint();
    const [number, type] = [Math.floor(key / 8), key % 8];
    const length = { 0: 0, 1: 8, 2: type === 2 ? varint() : 0, 5: 4 }[type];
    const value = type === 0 ? varint() : 0;
    if (!number || length === undefined || Number.isNaN(length + value) || at + length > bytes.length) return null;
    if (type !== 0) found.push({ number, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}

// Pixels of an image, 8 bits for red, green and blue, upright, with transparent parts on black.
async function decoded(path) {
  const image = sharp(path);
  const { depth } = await image.metadata();
  if (depth !== "uchar") throw new Error("it has more than 8 bits per channel, which capsedge infer reads");
  const rgba = image.autoOrient().toColourspace("srgb").ensureAlpha().raw();
  const { data, info } = await rgba.toBuffer({ resolveWithObject: true });
  const onBlack = (place, colour) => Math.round((data[4 * place + colour] * data[4 * place + 3]) / 255);
  const planes = [0, 1, 2].map((colour) =>
    Uint8Array.from({ length: info.width * info.height }, (_, place) => onBlack(place, colour)),
  );
  return { width: info.width, height: info.height, planes };
}

// The input: uint8 [height, width, channels]; normalization is in the graph.
function fitted({ width, height, planes }, { input, fit }) {
  const { box, inner } = framed(width, height, input, fit.frame);
  const [left, top] = [(input.width - inner[0]) >> 1, (input.height - inner[1]) >> 1]; // pad: the rest stays black
  const same = width === input.width && height === input.height;
  const pixels = new Uint8Array(input.height * input.width * input.channels);
  (input.channels === 1 ? [grey(planes)] : planes).forEach((plane, channel) => {
    const shown = same ? plane : resized(plane, width, height, box, inner);
    shown.forEach((value, place) => {
      const [x, y] = [left + (place % inner[0]), top + Math.floor(place / inner[0])];
      pixels[(y * input.width + x) * input.channels + channel] = value;
    });
  });
  return pixels;
}

// The part of the image that is shown, [left, top, right, bottom], and its size in the input, [width, height].
function framed(width, height, input, frame) {
  const [across, down] = [input.width / width, input.height / height];
  if (frame === "pad") {
    const scale = Math.min(across, down);
    const inner = [width, height].map((side) => Math.max(1, roundEven(side * scale)));
    return { box: [0, 0, width, height], inner };
  }
  const scale = Math.max(across, down);
  const crop = frame === "crop"; // fills the input; the rest is cut off
  const left = crop ? Math.max(0, (width - input.width / scale) / 2) : 0;
  const top = crop ? Math.max(0, (height - input.height / scale) / 2) : 0;
  return { box: [left, top, width - left, height - top], inner: [input.width, input.height] };
}

// Luma of ITU-R 601-2 in 16 bits of fraction, as Pillow computes it.
function grey([red, green, blue]) {
  return red.map((value, place) => (value * 19595 + green[place] * 38470 + blue[place] * 7471 + 0x8000) >>> 16);
}

// Bilinear resampling of a part of a plane, within one shade of Pillow's: along the rows, then along the columns, each
// rounded to 8 bits; in a reduction each new pixel is a weighted mean of all the pixels that it covers.
function resized(plane, width, height, [left, top, right, bottom], [newWidth, newHeight]) {
  const rows = new Uint8Array(height * newWidth);
  weights(left, right, width, newWidth).forEach(({ first, shares }, x) => {
    for (let y = 0; y < height; y++) rows[y * newWidth + x] = mean(shares, (step) => plane[y * width + first + step]);
  });
  const result = new Uint8Array(newHeight * newWidth);
  weights(top, bottom, height, newHeight).forEach(({ first, shares }, y) => {
    for (let x = 0; x < newWidth; x++) {
      result[y * newWidth + x] = mean(shares, (step) => rows[(first + step) * newWidth + x]);
    }
  });
  return result;
}

// For each new pixel the first old one and the shares of the old ones, by a triangle as wide as the reduction.
function weights(start, end, size, newSize) {
  const scale = (end - start) / newSize;
  const reach = Math.max(1, scale);
  return Array.from({ length: newSize }, (_, place) => {
    const middle = start + (place + 0.5) * scale;
    const first = Math.max(0, Math.floor(middle - reach + 0.5));
    const last = Math.min(size, Math.floor(middle + reach + 0.5));
    const away = (step) => Math.abs(first + step - middle + 0.5) / reach;
    const heights = Array.from({ length: last - first }, (_, step) => Math.max(0, 1 - away(step)));
    const sum = heights.reduce((total, each) => total + each, 0);
    return { first, shares: heights.map((each) => Math.floor((each / sum) * 2 ** 22 + 0.5)) };
  });
}

// A weighted mean in integers of 22 bits of fraction: pixels of two halves are rounded as in Pillow.
function mean(shares, valueAt) {
  return Math.floor((shares.reduce((total, share, step) => total + share * valueAt(step), 0) + 2 ** 21) / 2 ** 22);
}

// Half to even, as Python rounds.
function roundEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

// The capsule lengths of one image; a file with a fixed batch takes images of zeros beside it.
async function run(session, { input, batch }, pixels) {
  const images = new Uint8Array((batch ?? 1) * pixels.length);
  images.set(pixels);
  const tensor = new ort.Tensor("uint8", images, [batch ?? 1, input.height, input.width, input.channels]);
  const { lengths } = await session.run({ [input.name]: tensor }, ["lengths"]);
  return Array.from(lengths.data.subarray(0, lengths.dims[1]));
}

// An error that a person reads as it is.
class Refusal extends Error {
  constructor(text, code) {
    super(text);
    this.code = code;
  }
}

function refuse(text, code = 1) {
  throw new Refusal(text, code);
}

// The first line of an error of a package or of the system.
function reason(error) {
  return String(error?.message ?? error).split("\n")[0];
}

async function installed(name) {
  const { default: module } = await import(name).catch((error) =>
    refuse(`the package ${name} cannot be loaded (${reason(error)}): npm install --ignore-scripts`),
  );
  return module;
}

let ort, sharp;
try {
  await main(argv.slice(2));
} catch (error) {
  stderr.write(`${error instanceof Refusal ? error.message : `this did not work: ${reason(error)}`}\n`);
  process.exitCode = error instanceof Refusal ? error.code : 1;
}
