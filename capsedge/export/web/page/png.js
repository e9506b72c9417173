// A decoder of PNG files. Browsers decode them too, but to 8 bits with the alpha multiplied in; this one gives the
// pixels that Pillow gives. Specification: www.w3.org/TR/png-3.

const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0,
  COLOUR = 2,
  PALETTE = 3,
  GREY_ALPHA = 4,
  COLOUR_ALPHA = 6;
const SAMPLES = { [GREY]: 1, [COLOUR]: 3, [PALETTE]: 1, [GREY_ALPHA]: 2, [COLOUR_ALPHA]: 4 };
const DEPTHS = {
  [GREY]: [1, 2, 4, 8, 16],
  [COLOUR]: [8, 16],
  [PALETTE]: [1, 2, 4, 8],
  [GREY_ALPHA]: [8, 16],
  [COLOUR_ALPHA]: [8, 16],
};
// First column, first row, and steps across and down, of each pass of an interlaced image (Adam7).
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
const CHECKED = new Set(["IHDR", "PLTE", "tRNS", "eXIf"]); // the pixels have a checksum of their own, which Pillow heeds

function isPng(bytes) {
  return PNG_SIGNATURE.every((value, place) => bytes[place] === value);
}

/**
 * Decode a PNG file.
 *
 * Returns {width, height, planes, alpha, orientation}: one plane (grey) or three, each a Uint8Array; alpha is null if
 * nothing is transparent. Grey of 16 bits is v * 255 / 65535, rounded; of colour and alpha of 16 bits the upper bits.
 */
async function decodePng(bytes) {
  const png = pngChunks(bytes);
  checkPixels(png.width, png.height);
  const image = emptyPng(png);
  const passes = (png.interlaced ? ADAM7 : [[0, 0, 1, 1]]).filter(
    ([left, top]) => left < png.width && top < png.height,
  );
  const rows = pngRows(png, passes, (pixels, left, step, row) => image.put(pixels, left, step, row));
  await inflate(png.data, rows);
  return {
    width: png.width,
    height: png.height,
    planes: image.planes,
    alpha: image.alpha,
    orientation: png.exif ? orientationOf(png.exif).value : 1,
  };
}

/** The header, the palette, the transparency and the compressed parts of a file. */
function pngChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const png = { data: [], palette: null, transparent: null, exif: null };
  for (let place = 8; place + 12 <= bytes.length;) {
    const length = view.getUint32(place);
    const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (kind === "IEND" || place + 12 + length > bytes.length) {
      // A last part that is cut off still has rows; if some are missing, `inflate` tells it.
      if (kind === "IDAT") png.data.push(bytes.subarray(place + 8));
      break;
    }
    const content = bytes.subarray(place + 8, place + 8 + length);
    if (
      CHECKED.has(kind) &&
      crc32(bytes.subarray(place + 4, place + 8 + length)) !== view.getUint32(place + 8 + length)
    ) {
      throw new UserError(CUT_OFF);
    }
    if (kind === "IHDR") readHeader(png, new DataView(content.buffer, content.byteOffset, length), length);
    else if (kind === "PLTE") png.palette = content;
    else if (kind === "tRNS") png.transparent = content;
    else if (kind === "eXIf") png.exif = content;
    else if (kind === "IDAT") png.data.push(content);
    place += 12 + length;
  }
  if (!png.width || !png.height || !png.data.length) throw new UserError(CUT_OFF);
  if (png.kind === PALETTE && !png.palette) throw new UserError(CUT_OFF);
  return png;
}

function readHeader(png, view, length) {
  if (length < 13) throw new UserError(CUT_OFF);
  Object.assign(png, {
    width: view.getUint32(0),
    height: view.getUint32(4),
    depth: view.getUint8(8),
    kind: view.getUint8(9),
    interlaced: view.getUint8(12) === 1,
  });
  if (!DEPTHS[png.kind]?.includes(png.depth)) throw new UserError(CUT_OFF);
}

/** The planes of an image, and a function that puts a row of samples into them. */
function emptyPng(png) {
  const { width, height, depth, kind } = png;
  const size = width * height;
  const isGrey = kind === GREY || kind === GREY_ALPHA;
  const planes = Array.from({ length: isGrey ? 1 : 3 }, () => new Uint8Array(size));
  const samples = SAMPLES[kind];
  const hasAlpha = kind === GREY_ALPHA || kind === COLOUR_ALPHA || png.transparent !== null;
  const alpha = hasAlpha ? new Uint8Array(size).fill(255) : null;
  const look = sampleTable(png);
  const clear = transparentSamples(png);
  const colours = planes.length;

  function put(row, left, step, line) {
    const count = row.length / samples;
    for (let pixel = 0, from = 0, to = line * width + left; pixel < count; pixel++, from += samples, to += step) {
      if (kind === PALETTE) {
        const entry = row[from];
        for (let channel = 0; channel < 3; channel++) planes[channel][to] = png.palette[3 * entry + channel] ?? 0;
        if (alpha) alpha[to] = png.transparent[entry] ?? 255;
        continue;
      }
      for (let channel = 0; channel < colours; channel++) planes[channel][to] = look(row[from + channel]);
      if (samples > colours) alpha[to] = depth === 16 ? row[from + colours] >> 8 : row[from + colours];
      else if (clear && clear(row, from)) alpha[to] = 0;
    }
  }
  return { planes, alpha, put };
}

/** The function from a sample of the file to 8 bits. */
function sampleTable({ depth, kind }) {
  if (depth === 16)
    return kind === GREY ? (value) => Math.floor((value * 255 + 32767) / 65535) : (value) => value >> 8;
  const step = kind === GREY ? 255 / ((1 << depth) - 1) : 1;
  return (value) => value * step;
}

/** The test for the one transparent colour of a grey or colour image; null if there is none. */
function transparentSamples({ depth, kind, transparent }) {
  if (!transparent || (kind !== GREY && kind !== COLOUR)) return null;
  if (transparent.length < 2 * SAMPLES[kind]) throw new UserError(CUT_OFF);
  const wanted = Array.from({ length: SAMPLES[kind] }, (_, channel) => {
    return (transparent[2 * channel] << 8) | transparent[2 * channel + 1];
  });
  // In colour of 16 bits Pillow compares the upper 8.
  if (kind === COLOUR && depth === 16)
    return (row, from) => wanted.every((each, channel) => row[from + channel] >> 8 === each >> 8);
  return (row, from) => wanted.every((each, channel) => row[from + channel] === each);
}

/** A function for `inflate` that undoes the filter of each row, and gives its samples to `put`. */
function pngRows({ width, height, depth, kind }, passes, put) {
  const bits = SAMPLES[kind] * depth;
  const back = Math.max(1, bits >> 3); // distance of the byte to the left
  let pass = 0,
    row = 0,
    filled = 0,
    line,
    above;
  const begin = () => {
    const [left, , across] = passes[pass];
    const columns = Math.ceil((width - left) / across);
    line = new Uint8Array(1 + Math.ceil((columns * bits) / 8)); // the filter's number first
    above = new Uint8Array(line.length);
    row = passes[pass][1];
    return columns;
  };
  let columns = begin();
  return (piece) => {
    for (let place = 0; place < piece.length;) {
      const some = Math.min(line.length - filled, piece.length - place);
      line.set(piece.subarray(place, place + some), filled);
      place += some;
      filled += some;
      if (filled < line.length) break;
      filled = 0;
      unfilter(line, above, back);
      const [left, , across, down] = passes[pass];
      put(samplesOf(line, columns * SAMPLES[kind], depth), left, across, row);
      [line, above] = [above, line];
      row += down;
      if (row < height) continue;
      pass += 1;
      if (pass === passes.length) return true;
      columns = begin();
    }
    return false;
  };
}

function unfilter(line, above, back) {
  const filter = line[0];
  if (filter > 4) throw new UserError(CUT_OFF);
  for (let place = 1; place < line.length; place++) {
    const left = place > back ? line[place - back] : 0,
      up = above[place];
    if (filter === 1) line[place] += left;
    else if (filter === 2) line[place] += up;
    else if (filter === 3) line[place] += (left + up) >> 1;
    else if (filter === 4) line[place] += paeth(left, up, place > back ? above[place - back] : 0);
  }
}

function paeth(left, up, corner) {
  const across = Math.abs(up - corner),
    down = Math.abs(left - corner),
    both = Math.abs(left + up - 2 * corner);
  if (across <= down && across <= both) return left;
  return down <= both ? up : corner;
}

/** The samples of a row, of 1 to 16 bits each. */
function samplesOf(line, count, depth) {
  if (depth === 8) return line.subarray(1);
  const samples = new Uint16Array(count);
  for (let place = 0; place < count; place++) {
    if (depth === 16) samples[place] = (line[1 + 2 * place] << 8) | line[2 + 2 * place];
    else {
      const bit = place * depth;
      samples[place] = (line[1 + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
    }
  }
  return samples;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (let place = 0; place < bytes.length; place++) crc = CRC_TABLE[(crc ^ bytes[place]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
