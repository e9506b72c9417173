// The EXIF orientation of a file, and turning pixels by it. Browsers differ in the files whose orientation they heed,
// so it is set to 1 in what they decode, and applied here.

/**
 * The orientation in a TIFF block, as EXIF stores it.
 *
 * Returns {value, at, little}: 1 to 8, the place of the value in the block, and its byte order; value 1 and no place if
 * there is none or the block is damaged.
 */
function orientationOf(block) {
  const none = { value: 1, at: -1, little: false };
  if (block.length < 8) return none;
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const order = view.getUint16(0);
  const little = order === 0x4949;
  if ((!little && order !== 0x4d4d) || view.getUint16(2, little) !== 42) return none;
  const start = view.getUint32(4, little);
  if (start + 2 > block.length) return none;
  const count = view.getUint16(start, little);
  for (let entry = 0; entry < count; entry++) {
    const place = start + 2 + 12 * entry;
    if (place + 12 > block.length) return none;
    if (view.getUint16(place, little) !== 0x0112) continue;
    const value = view.getUint16(place + 8, little);
    return view.getUint16(place + 2, little) === 3 && value >= 1 && value <= 8
      ? { value, at: place + 8, little }
      : none;
  }
  return none;
}

/**
 * A copy of a JPEG or WebP file whose orientation is 1, and the orientation that it had.
 *
 * Returns {bytes, orientation}.
 */
function withoutOrientation(bytes) {
  const start = exifStart(bytes);
  if (start < 0) return { bytes, orientation: 1 };
  const { value, at, little } = orientationOf(bytes.subarray(start));
  if (value === 1) return { bytes, orientation: 1 };
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint16(start + at, 1, little);
  return { bytes: copy, orientation: value };
}

/** Where the TIFF block of a JPEG or a WebP file starts; -1 if there is none. */
function exifStart(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const has = (text, place) => [...text].every((letter, step) => bytes[place + step] === letter.charCodeAt(0));
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    for (let place = 2; place + 10 <= bytes.length && bytes[place] === 0xff;) {
      const marker = bytes[place + 1];
      if (marker === 0xda) break; // the pixels
      if (marker === 0xe1 && has("Exif\0\0", place + 4)) return place + 10;
      place += marker === 0xff ? 1 : 2 + view.getUint16(place + 2);
    }
  } else if (has("RIFF", 0) && has("WEBP", 8)) {
    for (let place = 12; place + 8 <= bytes.length;) {
      const length = view.getUint32(place + 4, true);
      if (has("EXIF", place)) return has("Exif\0\0", place + 8) ? place + 14 : place + 8;
      place += 8 + length + (length & 1);
    }
  }
  return -1;
}

/** An image turned and mirrored by its orientation. */
function upright(image, orientation) {
  if (orientation === 1) return image;
  const turned = (plane) => plane && turnPlane(plane, image.width, image.height, orientation);
  const exchanged = orientation >= 5;
  return {
    width: exchanged ? image.height : image.width,
    height: exchanged ? image.width : image.height,
    planes: image.planes.map(turned),
    alpha: turned(image.alpha),
  };
}

function turnPlane(plane, width, height, orientation) {
  const result = new Uint8Array(plane.length);
  const across = orientation >= 5 ? height : width; // width of the result
  const place = (x, y) => {
    const [column, row] = placeOf(x, y, width, height, orientation);
    return row * across + column;
  };
  const start = place(0, 0),
    right = place(1, 0) - start,
    down = place(0, 1) - start;
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0, to = start + y * down; x < width; x++, from++, to += right) result[to] = plane[from];
  }
  return result;
}

/** Where a stored pixel is shown. */
function placeOf(x, y, width, height, orientation) {
  switch (orientation) {
    case 2:
      return [width - 1 - x, y];
    case 3:
      return [width - 1 - x, height - 1 - y];
    case 4:
      return [x, height - 1 - y];
    case 5:
      return [y, x];
    case 6:
      return [height - 1 - y, x];
    case 7:
      return [height - 1 - y, width - 1 - x];
    default:
      return [y, width - 1 - x]; // 8
  }
}
