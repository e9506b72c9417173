// Finding the figure in an image, and the range of its shades: capsedge/data/images/figure.py in JavaScript, where the
// rules are explained.

const SMALL_SIDE = 128,
  SHARE = 0.7,
  LEAST = 24,
  OF_NOISE = 5,
  PEAK = 8,
  NEIGHBOURS = 3,
  FLAT = 32;
const TAILS = [2, 98],
  WITHIN = 95,
  NORMAL = 1.96;

/** The figure in an image: {box, background, distance, darker}; null if nothing stands out. */
function findFigure(image, height, width) {
  const small = smaller(image, [0, 0, image.width, image.height]);
  const borders = small.planes.map((plane) => outermost(plane, small.width, small.height));
  const background = borders.map(median);
  const distance = Float64Array.from(small.planes[0], (_, place) => farthestChannel(small.planes, background, place));
  const peak = Math.min(PEAK, distance.length);
  const farthest = distance.slice().sort()[distance.length - peak];
  const noise =
    percentile(
      Array.from(borders[0], (_, place) => farthestChannel(borders, background, place)),
      WITHIN,
    ) / NORMAL;
  if (farthest < Math.max(LEAST, OF_NOISE * noise)) return null;
  const mask = withoutSpecks(
    Array.from(distance, (each) => each >= farthest / 2),
    small.width,
    small.height,
  );
  const places = [...mask.keys()].filter((place) => mask[place]);
  if (!places.length) return null;
  const rows = places.map((place) => Math.floor(place / small.width)),
    columns = places.map((place) => place % small.width);
  const down = image.height / small.height,
    across = image.width / small.width;
  const top = rows[0] * down,
    bottom = (rows[rows.length - 1] + 1) * down;
  const left = Math.min(...columns) * across,
    right = (Math.max(...columns) + 1) * across;
  const scale = Math.max((bottom - top) / height, (right - left) / width) / SHARE;
  const middleX = (left + right) / 2,
    middleY = (top + bottom) / 2;
  const halfX = (scale * width) / 2,
    halfY = (scale * height) / 2;
  const lighter = places.map((place) =>
    mean(small.planes.map((plane, channel) => plane[place] - background[channel])),
  );
  return {
    box: [middleX - halfX, middleY - halfY, middleX + halfX, middleY + halfY],
    background: background.map(Math.trunc),
    distance: farthest / 2,
    darker: median(lighter) < 0,
  };
}

/** New value of each of the 256 shades, so that they range from black to white; null for an image of one shade. */
function fullLevels(image, figure) {
  const whole = [0, 0, image.width, image.height];
  const small = smaller(image, figure ? within(figure.box, image) : whole);
  const shades = small.planes.flatMap((plane) => [...plane]);
  let [low, high] = TAILS.map((tail) => percentile(shades, tail));
  if (figure && figure.background.length === 1)
    [low, high] = fromBackground(shades, figure.background[0], figure.distance);
  if (high - low < (figure ? LEAST : FLAT)) return null;
  return Uint8Array.from({ length: 256 }, (_, shade) => {
    return Math.min(255, Math.max(0, roundEven((shade - low) * (255 / (high - low)))));
  });
}

function fromBackground(shades, background, distance) {
  const lighter = shades.filter((shade) => shade >= background + distance);
  const darker = shades.filter((shade) => shade <= background - distance);
  if (lighter.length >= darker.length)
    return [background, lighter.length ? percentile(lighter, TAILS[1]) : background];
  return [percentile(darker, TAILS[0]), background];
}

/** The part of a box within an image. */
function within([left, top, right, bottom], { width, height }) {
  return [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)];
}

/** A part of an image, reduced to at most 128 pixels on its longer side. */
function smaller(image, box) {
  const width = box[2] - box[0],
    height = box[3] - box[1];
  const scale = Math.min(1, SMALL_SIDE / Math.max(width, height));
  const size = { width: Math.max(1, roundEven(width * scale)), height: Math.max(1, roundEven(height * scale)) };
  return resize(image, size, "box", box);
}

function farthestChannel(planes, background, place) {
  return Math.max(...planes.map((plane, channel) => Math.abs(plane[place] - background[channel])));
}

/** The pixels of a mask with at least two neighbours in it. */
function withoutSpecks(mask, width, height) {
  return mask.map((each, place) => {
    if (!each) return false;
    const x = place % width,
      y = Math.floor(place / width);
    let near = 0;
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
      for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++)
        near += mask[row * width + column];
    }
    return near >= NEIGHBOURS;
  });
}

/** The outermost pixels of a plane; of a plane of one row or column they count twice, as in NumPy's slices. */
function outermost(plane, width, height) {
  const column = (place) =>
    Array.from({ length: Math.max(0, height - 2) }, (_, row) => plane[(row + 1) * width + place]);
  return [
    ...plane.subarray(0, width),
    ...plane.subarray((height - 1) * width, height * width),
    ...column(0),
    ...column(width - 1),
  ];
}
