// Whether an image is unlike the training images: capsedge/runtime/infer/usual.py in JavaScript, where the statistics
// are explained.

const TILES = 4,
  SHADES = 8;

/**
 * Whether an input is unlike the training images.
 *
 * pixels: Uint8Array [height, width, channels].
 * longest: Length of the longest capsule.
 * usual: The contract's statistics; null if it has none.
 */
function isUnlike(pixels, longest, input, usual) {
  if (!usual) return false;
  return longest < usual.shortest || distanceFrom(figuresOf(pixels, input), usual) > usual.limit;
}

/** Squared Mahalanobis distance of an image's statistics from the mean of the training images. */
function distanceFrom(figures, { mean: middle, scale, inverse }) {
  const scaled = figures.map((figure, place) => (figure - middle[place]) / scale[place]);
  return scaled.reduce((sum, one, row) => {
    return sum + one * scaled.reduce((inner, other, column) => inner + other * inverse[row][column], 0);
  }, 0);
}

function figuresOf(pixels, { height, width, channels }) {
  const shares = Float64Array.from(pixels, (shade) => shade / 255);
  const area = height * width;
  const colours = Array.from({ length: area }, (_, place) =>
    shares.subarray(place * channels, (place + 1) * channels),
  );
  const grey = Float64Array.from(colours, (colour) => mean(colour));
  const contrast = deviation(grey),
    detail = detailOf(grey, height, width);
  const figures = [
    Math.log(contrast + 0.003),
    Math.log((detail + 0.001) / (contrast + 0.003)),
    contrast,
    mean(outermost(grey, width, height)),
    detail,
  ];
  const histogram = new Float64Array(SHADES);
  for (const shade of grey) histogram[Math.min(SHADES - 1, Math.trunc(shade * SHADES))] += 1 / area;
  figures.push(...histogram.map(Math.sqrt), ...tilesOf(grey, height, width));
  if (channels === 3) {
    figures.push(
      mean(colours.map(([red, green]) => red - green)),
      mean(colours.map(([, green, blue]) => blue - green)),
      mean(colours.map(deviation)),
    );
  }
  return figures;
}

function detailOf(grey, height, width) {
  let sum = 0;
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place++) {
      if (x + 1 < width) sum += Math.abs(grey[place + 1] - grey[place]);
      if (y + 1 < height) sum += Math.abs(grey[place + width] - grey[place]);
    }
  }
  return sum / (height * width);
}

/** Mean of each tile, row by row. */
function tilesOf(grey, height, width) {
  const rows = divided(height),
    columns = divided(width);
  return rows.flatMap(([top, bottom]) =>
    columns.map(([left, right]) => {
      let sum = 0;
      for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += grey[y * width + x];
      return sum / ((bottom - top) * (right - left));
    }),
  );
}

/** First and last pixel of each tile along a side: as equal as possible, longer tiles first. */
function divided(side) {
  const parts = [];
  for (let tile = 0, start = 0; tile < TILES; tile++) {
    const length = Math.floor((side + TILES - 1 - tile) / TILES);
    if (length > 0) parts.push([start, start + length]);
    start += length;
  }
  return parts;
}
