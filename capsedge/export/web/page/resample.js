// Resizing planes of 8 bits with the arithmetic of Pillow: a horizontal and a vertical pass, each with coefficients of
// 22 binary digits and rounded to 8 bits. Filters and windows as in Pillow's documentation of `Image.resize`.

const COEFFICIENT_BITS = 22;
const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/**
 * Resize a part of an image.
 *
 * size: {width, height} of the result.
 * filter: A name of FILTERS, or `nearest`.
 * box: Left, top, right and bottom of the part, in pixels; null for the whole image.
 */
function resize(image, size, filter, box = null) {
  const whole = [0, 0, image.width, image.height];
  const part = Float32Array.from(box ?? whole); // Pillow takes a box in 32 bits
  const same = whole.every((edge, side) => part[side] === edge);
  if (same && size.width === image.width && size.height === image.height) return image;
  const planes = image.planes.map((plane) => {
    return filter === "nearest"
      ? nearest(plane, image, size, part)
      : resample(plane, image, size, FILTERS[filter], part);
  });
  return { ...size, planes };
}

function resample(plane, image, size, filter, [left, top, right, bottom]) {
  const columns = coefficients(image.width, left, right, size.width, filter);
  const rows = coefficients(image.height, top, bottom, size.height, filter);
  const isWide = size.width === image.width && left === 0 && right === size.width; // needs no horizontal pass
  const isHigh = size.height === image.height && top === 0 && bottom === size.height;
  const horizontal = (given, height) => (isWide ? given : across(given, image.width, size.width, height, columns));
  const vertical = (given, width, first) => (isHigh ? given : downwards(given, width, size.height, first, rows));
  // Pillow's order since release 13; earlier ones always begin with the horizontal pass.
  const higher = image.height - size.height,
    wider = image.width - size.width;
  if (higher > 0 && higher > 2 * wider) return horizontal(vertical(plane, image.width, 0), size.height);
  const first = rows[0].start,
    last = rows[size.height - 1].start + rows[size.height - 1].weights.length;
  return vertical(
    horizontal(plane.subarray(first * image.width, last * image.width), last - first),
    size.width,
    first,
  );
}

function across(plane, width, newWidth, height, columns) {
  const result = new Uint8Array(newWidth * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < newWidth; column++) {
      const { start, weights } = columns[column];
      let sum = 1 << (COEFFICIENT_BITS - 1);
      for (let step = 0, from = row * width + start; step < weights.length; step++, from++)
        sum += plane[from] * weights[step];
      result[row * newWidth + column] = clipped(sum);
    }
  }
  return result;
}

function downwards(plane, width, newHeight, first, rows) {
  const result = new Uint8Array(width * newHeight);
  for (let row = 0; row < newHeight; row++) {
    const { start, weights } = rows[row];
    for (let column = 0; column < width; column++) {
      let sum = 1 << (COEFFICIENT_BITS - 1);
      for (let step = 0, from = (start - first) * width + column; step < weights.length; step++, from += width) {
        sum += plane[from] * weights[step];
      }
      result[row * width + column] = clipped(sum);
    }
  }
  return result;
}

function clipped(sum) {
  return Math.min(255, Math.max(0, sum >> COEFFICIENT_BITS));
}

/** For each pixel of the result its first pixel of the source, and the integer weights from there on. */
function coefficients(length, start, end, newLength, filter) {
  const scale = Math.fround(end - start) / newLength;
  const stretch = Math.max(1, scale);
  const support = filter.support * stretch;
  return Array.from({ length: newLength }, (_, place) => {
    const centre = start + (place + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - support + 0.5));
    const to = Math.min(length, Math.trunc(centre + support + 0.5));
    const exact = Array.from({ length: to - from }, (_, step) =>
      filter.weight((step + from - centre + 0.5) * (1 / stretch)),
    );
    const total = exact.reduce((sum, weight) => sum + weight, 0) || 1;
    const weights = Int32Array.from(exact, (weight) => {
      const share = (weight / total) * (1 << COEFFICIENT_BITS);
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return { start: from, weights };
  });
}

function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** The pixel in which the centre of each pixel of the result lies. */
function nearest(plane, image, size, [left, top, right, bottom]) {
  const columns = centres(left, right, size.width),
    rows = centres(top, bottom, size.height);
  const result = new Uint8Array(size.width * size.height);
  rows.forEach((row, to) => {
    if (row >= image.height) return;
    columns.forEach((column, place) => {
      if (column < image.width) result[to * size.width + place] = plane[row * image.width + column];
    });
  });
  return result;
}

function centres(start, end, newLength) {
  const step = Math.fround(end - start) / newLength;
  const places = new Int32Array(newLength);
  for (let place = 0, centre = start + step * 0.5; place < newLength; place++, centre += step) places[place] = centre;
  return places;
}
