// The page: what it offers, and what happens then.

const page = {
  facts: null,
  model: null,
  wasm: null,
  golden: null,
  networks: {},
  backend: "wasm",
  last: null,
  failed: "The network is not started yet: wait for it.",
};

/** Tell one thing: to eyes in the box, to screen readers by its role. */
function tell(text, isError = false) {
  at("status").textContent = isError ? "" : text;
  at("error").textContent = isError ? text : "";
}

const MOST_GOLDEN = 40; // buttons of golden images at once
const OTHER_LENGTHS =
  "This browser computes other lengths for the golden images than the contract accepts, so it gets no answers: " +
  "try another browser, or a newer one.";

/** An error as one line. */
function told(error) {
  return error instanceof UserError ? error.message : `This did not work in this browser (${error.message ?? error}).`;
}

/** Run one step at a time; its error is told. */
let busy = Promise.resolve();
function step(work) {
  busy = busy.then(work).catch((error) => tell(told(error), true));
  return busy;
}

/**
 * Classify a file, from the page or from the browser's console.
 *
 * Returns {lengths, classes, answer, inverted, unlike, pixels, reconstruction}.
 */
async function classify(blob, invert = at("invert").value) {
  checkStarted();
  return answer(await decodeImage(blob), invert);
}

async function answer(image, invert) {
  const { pixels, inverted } = fitted(image, page.facts, invert);
  return answerTo(pixels, inverted);
}

async function answerTo(pixels, inverted) {
  const { contract } = page.facts;
  const { lengths, reconstruction } = await withNetwork((network) => network.run(pixels));
  return {
    lengths,
    reconstruction,
    pixels,
    inverted,
    classes: contract.classes,
    answer: longest(lengths, contract.labels).map((label) => contract.classes[label]),
    unlike: isUnlike(pixels, Math.max(...lengths), contract.input, contract.usual),
  };
}

/** Refuse work before the network is started, and where that failed: with its reason. */
function checkStarted() {
  if (page.failed) throw new UserError(page.failed);
}

/** Do work with the chosen back end; where WebGPU stops to work, with WebAssembly, from then on. */
async function withNetwork(work) {
  checkStarted();
  try {
    return await work(page.networks[page.backend]);
  } catch (error) {
    if (page.backend === "wasm") throw error;
    useBackend("wasm");
    at("backend-note").textContent = `WebGPU failed (${error.message}), so WebAssembly is used.`;
    return work(page.networks.wasm);
  }
}

function show(found) {
  const { contract } = page.facts;
  page.last = found.pixels;
  at("result").hidden = false;
  at("answer").textContent = found.answer.join(", ");
  showBars(found.lengths, contract.classes, contract.labels);
  showPixels(at("seen"), found.pixels, contract.input);
  showReconstruction(found.reconstruction, contract);
  const notes = [
    found.inverted && "Light and dark were exchanged.",
    found.unlike && "The image is unlike the training images.",
  ];
  at("notes").textContent = notes.filter(Boolean).join(" ");
  at("measure").disabled = false;
  const [first] = longest(found.lengths, 1);
  tell(
    `${found.answer.join(", ")}; the longest capsule has length ${found.lengths[first].toFixed(3)}. ${at("notes").textContent}`,
  );
}

/** Show what is found, again after each change of light and dark. Where this fails, no earlier answer stays. */
async function showFound(find) {
  page.again = null;
  try {
    checkStarted();
    show(await find());
  } catch (error) {
    at("result").hidden = true;
    throw error;
  }
  page.again = () => showFound(find);
}

function take(blob) {
  return step(async () => {
    tell("Classifying.");
    await showFound(() => classify(blob));
    at("result").scrollIntoView({ block: "nearest" });
  });
}

/** Take the first image of what was dropped or pasted. */
function takeFrom(transfer) {
  const file = [...(transfer?.files ?? [])][0];
  if (file) take(file);
  else tell("There is no image in it: choose, drop or paste an image file.", true);
}

function listen() {
  at("camera").closest("p").hidden = !navigator.maxTouchPoints; // elsewhere it opens the same dialog as the file's
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("click", (event) => (event.target.value = "")); // so that a file can be chosen again
    at(id).addEventListener("change", (event) => event.target.files[0] && take(event.target.files[0]));
  }
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  document.addEventListener("dragover", () => document.body.classList.add("dragging"));
  for (const kind of ["dragleave", "drop"])
    document.addEventListener(kind, () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", (event) => takeFrom(event.dataTransfer));
  document.addEventListener("paste", (event) => takeFrom(event.clipboardData));
  at("invert").addEventListener("change", () => page.again && step(page.again));
  const paper = new Paper(at("paper"), () =>
    step(() => showFound(() => answer(planesOf(at("paper")), at("invert").value))),
  );
  at("clear").addEventListener("click", () => paper.clear());
  at("measure").addEventListener("click", () => step(measure));
  at("backend").addEventListener("change", (event) => step(() => chooseBackend(event.target.value)));
}

/** The golden images as buttons: something to try at once. Of many classes some, and a button for the others. */
function offerGolden() {
  const { contract } = page.facts;
  const { labels } = contract.golden;
  const size = page.golden.length / labels.length;
  const offer = (places) =>
    places.map((place) => {
      const name = [labels[place]]
        .flat()
        .map((label) => contract.classes[label])
        .join(", ");
      const button = element("button", "", { type: "button", "aria-label": `golden image: ${name}`, title: name });
      const canvas = element("canvas", "", { class: "pixels", "aria-hidden": "true" });
      const pixels = page.golden.slice(place * size, (place + 1) * size);
      showPixels(canvas, pixels, contract.input);
      button.append(canvas);
      button.addEventListener("click", () =>
        step(async () => {
          await showFound(() => answerTo(pixels, false));
          page.again = null; // it is the input itself, to which the choice of light and dark does not apply
          at("result").scrollIntoView({ block: "nearest" });
        }),
      );
      return button;
    });
  const all = [...labels.keys()];
  const first = all.slice(0, MOST_GOLDEN);
  at("golden").replaceChildren(...offer(first));
  at("more").hidden = first.length === all.length;
  at("more").textContent = `Show all ${count(all.length)}`;
  at("more").addEventListener("click", () => {
    const others = offer(all.slice(first.length));
    at("golden").append(...others);
    at("more").hidden = true;
    others[0].focus();
  });
}

/** The choice of light and dark, with what acts on this network: nothing in colour, which are photographs. */
function offerInvert({ contract, dark_background: dark }) {
  at("invert").closest("p").hidden = !dark && contract.input.channels === 3;
  if (!dark) {
    at("invert").querySelector("[value=auto]").remove(); // it exchanges nothing then
    at("invert").value = "no";
  }
}

async function measure() {
  at("measure").disabled = true;
  tell("Measuring.");
  let found;
  try {
    found = await withNetwork((network) => measured(network, page.last));
  } finally {
    at("measure").disabled = false;
  }
  const network = page.networks[page.backend];
  showRows(at("latency"), [
    ["median", inMs(found.median)],
    ["p95", inMs(found.p95)],
    ["least", inMs(found.least)],
    ["samples", `${found.samples}, each the mean of ${count(found.runs)} ${found.runs === 1 ? "run" : "runs"}`],
    ["clock", `steps of ${inMs(found.step)}`],
    ...startRows(network),
  ]);
  tell(`Median ${inMs(found.median)}, 95th percentile ${inMs(found.p95)}, on ${network.label}.`);
}

function startRows(network) {
  return [
    ["back end", network.label],
    ["first run", inMs(network.firstMs)],
    ["start", inMs(network.startMs)],
  ];
}

/** Start a back end and check it. One that gives other lengths is not used. */
async function chooseBackend(backend) {
  if (!page.networks[backend]) {
    tell(`Starting ${backend === "webgpu" ? "WebGPU" : "WebAssembly"} and checking it on the golden images.`);
    try {
      const start = performance.now();
      const network = await startNetwork(backend, page);
      network.startMs = performance.now() - start;
      network.found = await network.check(page.golden, page.networks.wasm?.found.lengths ?? null);
      noteCheck(network);
      if (!network.found.ok && backend !== "wasm")
        throw new UserError("It computes other lengths than the contract or WebAssembly.");
      page.networks[backend] = network;
    } catch (error) {
      if (backend === "wasm") throw error;
      useBackend("wasm");
      at("backend-note").textContent = `WebGPU is not used: ${error.message} WebAssembly runs the network.`;
      tell(at("backend-note").textContent);
      return;
    }
  }
  useBackend(backend);
}

function useBackend(backend) {
  page.backend = backend;
  at("backend").value = backend;
  at("backend-note").textContent = "";
  showRows(at("latency"), startRows(page.networks[backend]));
  tell(`Ready, on ${page.networks[backend].label}.`);
}

/** A row of the table of checks. */
function noteCheck(network) {
  const { found } = network;
  const row = element("tr");
  row.append(
    element("th", network.label, { scope: "row" }),
    element("td", found.ok ? "agrees" : "DIFFERS"),
    element("td", `${found.same} of ${found.images}`),
    element("td", `${found.largest.toExponential(1)} (${found.tolerance} accepted)`),
  );
  at("checks").append(row);
}

async function start() {
  at("late").remove();
  listen();
  try {
    await load();
    page.failed = null;
  } catch (error) {
    page.failed = told(error);
    throw error;
  }
}

async function load() {
  if (!at("end")) throw new UserError(DAMAGED);
  if (!globalThis.DecompressionStream) {
    throw new UserError("This browser is too old for the page, it has no DecompressionStream: try a newer one.");
  }
  page.facts = fromJson(at("facts").textContent);
  const { contract } = page.facts;
  offerInvert(page.facts);
  tell("Loading the network.");
  page.model = await fromBase64(at("model").textContent, "gzip");
  page.golden = await fromBase64(contract.golden.images, "deflate");
  page.wasm = { script: at("library-script").textContent, wasm: at("library-wasm").textContent };
  offerGolden();
  await chooseBackend("wasm");
  for (const id of ["model", "library-script", "library-wasm"]) at(id).remove(); // megabytes of text
  if (!page.networks.wasm.found.ok) throw new UserError(OTHER_LENGTHS);
  at("backend").disabled = false;
}

// For the browser's console: await capsedge.ready, then capsedge.classify(file).
globalThis.capsedge = { classify, ready: step(start), choose: (backend) => step(() => chooseBackend(backend)) };
