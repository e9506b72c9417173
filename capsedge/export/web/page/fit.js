// From decoded pixels to the network's input: capsedge/data/images/fit.py and background.py in JavaScript, where the
// rules are explained.

const SHEET = 32,
  DARK = 85,
  LIGHT = 170,
  ALIKE = 32,
  MOST = 0.6,
  CONTRAST = 8,
  STROKE = 5,
  STROKE_CONTRAST = 32;
const BLACK = 0,
  WHITE = 255;

/**
 * Fit a decoded image to the input.
 *
 * facts: The page's {contract, dark_background}.
 * invert: `auto`, `yes` or `no`, as for `capsedge infer`.
 *
 * Returns {pixels, inverted}: a Uint8Array [height, width, channels].
 */
function fitted(image, facts, invert) {
  const { input, fit } = facts.contract;
  const inverted = invert === "auto" ? facts.dark_background && isDarkOnLight(layOn(image, WHITE)) : invert === "yes";
  return { pixels: fitImage(layOn(image, inverted ? WHITE : BLACK), input, fit, inverted), inverted };
}

function fitImage(image, input, fit, inverted) {
  const size = { width: input.width, height: input.height };
  let shown = inChannels(image, input.channels);
  if (inverted) shown = inShades(shown, (shade) => 255 - shade);
  const figure = fit.frame === "figure" ? findFigure(shown, input.height, input.width) : null;
  const levels = fit.levels === "full" ? fullLevels(shown, figure) : null;
  if (levels) shown = inShades(shown, (shade) => levels[shade]);
  if (figure) {
    const background = levels ? figure.background.map((shade) => levels[shade]) : figure.background;
    shown = showFigure(shown, size, fit.resize, figure.box, background);
  } else if (shown.width !== size.width || shown.height !== size.height) {
    shown = (FRAMES[fit.frame] ?? pad)(shown, size, fit.resize);
  }
  return interleaved(shown.planes);
}

/** Blend transparent parts with black or white: c a / 255 + background (1 - a / 255), rounded. */
function layOn(image, background) {
  const { width, height, planes, alpha } = image;
  if (!alpha) return image;
  const laid = planes.map((plane) =>
    plane.map((shade, place) => {
      const sum = background * (255 - alpha[place]) + shade * alpha[place] + 128;
      return ((sum >> 8) + sum) >> 8;
    }),
  );
  return { width, height, planes: laid };
}

/** Grey by the luma of ITU-R 601-2 in Pillow's integers, or three planes. */
function inChannels(image, channels) {
  const { width, height, planes } = image;
  if (planes.length === channels) return image;
  if (channels === 3) return { width, height, planes: [planes[0], planes[0], planes[0]] };
  const [red, green, blue] = planes;
  const grey = red.map((shade, place) => (shade * 19595 + green[place] * 38470 + blue[place] * 7471 + 0x8000) >> 16);
  return { width, height, planes: [grey] };
}

function inShades(image, change) {
  return { ...image, planes: image.planes.map((plane) => plane.map(change)) };
}

function interleaved(planes) {
  const pixels = new Uint8Array(planes[0].length * planes.length);
  planes.forEach((plane, channel) =>
    plane.forEach((shade, place) => (pixels[place * planes.length + channel] = shade)),
  );
  return pixels;
}

const FRAMES = { pad, crop, stretch: resize };

function pad(image, size, filter) {
  const scale = Math.min(size.width / image.width, size.height / image.height);
  const inner = {
    width: Math.max(1, roundEven(image.width * scale)),
    height: Math.max(1, roundEven(image.height * scale)),
  };
  const left = Math.floor((size.width - inner.width) / 2),
    top = Math.floor((size.height - inner.height) / 2);
  return pasted(
    resize(image, inner, filter),
    size,
    left,
    top,
    image.planes.map(() => BLACK),
  );
}

function crop(image, size, filter) {
  const scale = Math.max(size.width / image.width, size.height / image.height);
  const left = Math.max(0, (image.width - size.width / scale) / 2);
  const top = Math.max(0, (image.height - size.height / scale) / 2);
  return resize(image, size, filter, [left, top, image.width - left, image.height - top]);
}

/** Show a part of the image; areas beyond its edges are filled with the background. */
function showFigure(image, size, filter, box, background) {
  const across = size.width / (box[2] - box[0]),
    down = size.height / (box[3] - box[1]);
  const part = within(box, image);
  const left = roundEven((part[0] - box[0]) * across),
    top = roundEven((part[1] - box[1]) * down);
  const inner = {
    width: Math.max(1, Math.min(size.width - left, roundEven((part[2] - part[0]) * across))),
    height: Math.max(1, Math.min(size.height - top, roundEven((part[3] - part[1]) * down))),
  };
  return pasted(resize(image, inner, filter, part), size, left, top, background);
}

/** An image on a background of one colour. */
function pasted(image, size, left, top, background) {
  const planes = image.planes.map((plane, channel) => {
    const whole = new Uint8Array(size.width * size.height).fill(background[channel]);
    for (let row = 0; row < image.height; row++) {
      whole.set(plane.subarray(row * image.width, (row + 1) * image.width), (top + row) * size.width + left);
    }
    return whole;
  });
  return { ...size, planes };
}

/** Whether an image shows something dark on an even, light background. */
function isDarkOnLight(image) {
  const [small] = resize(inChannels(image, 1), { width: SHEET, height: SHEET }, "box").planes;
  const border = outermost(small, SHEET, SHEET);
  const background = median(border);
  if (background < LIGHT) return false;
  const even = mean(border.map((shade) => Number(Math.abs(shade - background) <= ALIKE))) >= MOST;
  const inner = [...small].filter((_, place) => {
    const x = place % SHEET,
      y = Math.floor(place / SHEET);
    return x > 0 && y > 0 && x < SHEET - 1 && y < SHEET - 1;
  });
  const stroke = inner.filter((shade) => shade <= background - STROKE_CONTRAST).length >= STROKE;
  return even && (stroke || mean(inner) <= background - CONTRAST || (findFigure(image, 1, 1)?.darker ?? false));
}
