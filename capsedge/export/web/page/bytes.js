// Bytes that the page holds as base64 text, and streams of compressed bytes.

const CUT_OFF = "the file is cut off or damaged";
const DAMAGED = "This page is cut off or damaged: get its files again.";

/** Bytes of base64 text, decompressed from a format: `gzip` or `deflate`. */
async function fromBase64(text, format) {
  try {
    const binary = atob(text.trim());
    const bytes = new Uint8Array(binary.length);
    for (let place = 0; place < binary.length; place++) bytes[place] = binary.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (error) {
    if (error instanceof RangeError) throw error; // no memory
    throw new UserError(DAMAGED);
  }
}

/** What the page holds as JSON. */
function fromJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new UserError(DAMAGED);
  }
}

/**
 * Decompress parts of a zlib stream, and give `take` its bytes in pieces until it has enough.
 * Browsers refuse a stream that other bytes follow, unless all was taken before them.
 *
 * take: gets a Uint8Array; returns whether it has all that it needs.
 */
async function inflate(parts, take) {
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch {
      throw new UserError(CUT_OFF);
    }
    if (piece.done) throw new UserError(CUT_OFF);
    if (take(piece.value)) {
      reader.cancel().catch(() => {});
      return;
    }
  }
}

/** An error with a text for the person at the page: what was found, and what to do. */
class UserError extends Error {}
