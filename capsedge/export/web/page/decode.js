// From a file to the pixels of the upright image: PNG by our decoder, everything else by the browser's.

const MOST_PIXELS = 89478485; // Pillow's limit against decompression bombs
const AT_ONCE = 1 << 21; // pixels that are read from a canvas together; iOS limits the size of a canvas

/**
 * Decode a file.
 *
 * Returns {width, height, planes, alpha}: one or three planes of 8 bits; alpha is null if nothing is transparent.
 */
async function decodeImage(blob) {
  if (!blob.size) throw new UserError("The file is empty: choose an image.");
  try {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    if (isPng(bytes)) {
      const image = await decodePng(bytes);
      return upright(image, image.orientation);
    }
    const given = withoutOrientation(bytes);
    return upright(await decodeByBrowser(new Blob([given.bytes], { type: blob.type })), given.orientation);
  } catch (error) {
    if (error instanceof RangeError)
      throw new UserError("There is not enough memory for this image: make it smaller.");
    if (error instanceof UserError && error.message === CUT_OFF) {
      throw new UserError(`This image cannot be read, ${CUT_OFF}: choose another.`);
    }
    throw error;
  }
}

function checkPixels(width, height) {
  if (width * height > MOST_PIXELS) {
    throw new UserError(
      `This image has ${count(width * height)} pixels, and at most ${count(MOST_PIXELS)} are read: make it smaller.`,
    );
  }
}

async function decodeByBrowser(blob) {
  let bitmap;
  try {
    // Without conversion by a colour profile, as Pillow reads the file.
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new UserError("This is not an image that the browser can read: save it as PNG, JPEG or WebP.");
  }
  try {
    checkPixels(bitmap.width, bitmap.height);
    return planesOf(bitmap);
  } finally {
    bitmap.close();
  }
}

/** The planes of what can be drawn on a canvas, read in strips so that little memory is needed beside them. */
function planesOf(source) {
  const { width, height } = source;
  const size = width * height;
  const planes = [new Uint8Array(size), new Uint8Array(size), new Uint8Array(size)];
  const alpha = new Uint8Array(size);
  const rows = Math.min(height, Math.max(1, Math.floor(AT_ONCE / width)));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = rows;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let opaque = 255;
  for (let top = 0; top < height; top += rows) {
    context.clearRect(0, 0, width, rows);
    context.drawImage(source, 0, -top);
    const { data } = context.getImageData(0, 0, width, Math.min(rows, height - top));
    for (let from = 0, to = top * width; from < data.length; from += 4, to++) {
      planes[0][to] = data[from];
      planes[1][to] = data[from + 1];
      planes[2][to] = data[from + 2];
      alpha[to] = data[from + 3];
      opaque &= data[from + 3];
    }
  }
  return { width, height, planes, alpha: opaque === 255 ? null : alpha };
}

/** A whole number with commas. */
function count(number) {
  return number.toLocaleString("en");
}
