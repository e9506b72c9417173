// Showing answers: bars, pictures, tables.

const MOST_BARS = 25;

/** The element with an id. */
function at(id) {
  return document.getElementById(id);
}

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** The lengths as bars, longest first; of many classes the 25 longest. */
function showBars(lengths, classes, answers) {
  const rows = longest(lengths, MOST_BARS).map((label, place) => {
    const row = element("tr", "", place < answers ? { class: "answer" } : {});
    const name = element("th", "", { scope: "row" });
    name.append(element("bdi", classes[label]));
    const bar = element("td", "", { class: "bar" });
    const filled = element("div");
    filled.style.width = `${100 * Math.min(1, Math.max(0, lengths[label]))}%`;
    bar.append(filled);
    row.append(name, element("td", lengths[label].toFixed(3)), bar);
    return row;
  });
  at("bars").replaceChildren(...rows);
}

/** Draw pixels of 0 to 255, [height, width, channels], as large sharp squares. */
function showPixels(canvas, pixels, { height, width, channels }) {
  canvas.width = width;
  canvas.height = height;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let place = 0; place < width * height; place++) {
    for (let channel = 0; channel < 3; channel++)
      data[4 * place + channel] = pixels[place * channels + (channels === 3 ? channel : 0)];
    data[4 * place + 3] = 255;
  }
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

/** Draw the reconstruction of each class of the answer; nothing if the network has no decoder. */
function showReconstruction(reconstruction, contract) {
  const figure = at("reconstruction");
  figure.hidden = !reconstruction;
  if (!reconstruction) return;
  const [height, width, channels] = contract.shapes.reconstruction.slice(-3);
  const size = height * width * channels;
  const pictures = Array.from({ length: contract.labels }, (_, place) => {
    const canvas = element("canvas", "", {
      role: "img",
      "aria-label": `reconstruction ${place + 1}`,
      class: "pixels",
    });
    const shades = Array.from(reconstruction.subarray(place * size, (place + 1) * size), (shade) => 255 * shade);
    showPixels(canvas, shades, { height, width, channels });
    return canvas;
  });
  figure.querySelector("div").replaceChildren(...pictures);
}

/** Rows of a table: the first cell is their heading. */
function showRows(body, rows) {
  body.replaceChildren(
    ...rows.map(([name, ...cells]) => {
      const row = element("tr");
      row.append(element("th", name, { scope: "row" }), ...cells.map((cell) => element("td", cell)));
      return row;
    }),
  );
}

/** Milliseconds with three digits. */
function inMs(ms) {
  return ms === null ? "-" : `${Number(ms.toPrecision(3))} ms`;
}
