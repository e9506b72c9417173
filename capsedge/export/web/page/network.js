// Running the network with ONNX Runtime Web, on WebAssembly or WebGPU, and checking each back end on the golden sample.

const HAND_OFF_FLOPS = 20_000_000; // work from which a further thread pays (docs/settings.md)
const MOST_THREADS = 4;
// Largest difference between the lengths of two back ends. Those of a back end that computes wrongly differ by far more;
// in int8 a value may be rounded to the other neighbour.
const AGREEMENT = 0.02;

/** A back end with the network in it. */
class Network {
  /**
   * library: ONNX Runtime Web, as a module.
   * session: Its session.
   * contract: The model's contract.
   * label: The back end's name for people.
   */
  constructor(library, session, contract, label) {
    Object.assign(this, { library, session, contract, label, firstMs: null });
  }

  /**
   * Run the network on one image.
   *
   * pixels: Uint8Array [height, width, channels].
   *
   * Returns {lengths, reconstruction}: a Float32Array [classes], and one of pixels, or null if there is no decoder.
   */
  async run(pixels) {
    const { input, outputs } = this.contract;
    const tensor = new this.library.Tensor("uint8", pixels, [1, input.height, input.width, input.channels]);
    const start = performance.now();
    const found = await this.session.run(
      { [input.name]: tensor },
      outputs.filter((name) => name !== "poses"),
    );
    this.firstMs ??= performance.now() - start;
    return {
      lengths: found.lengths.data,
      reconstruction: found.reconstruction?.data ?? null,
    };
  }

  /**
   * Run the golden sample image by image, as the page runs every image.
   *
   * reference: Lengths by another back end, [images][classes]; null if there is none.
   *
   * Returns {images, same, largest, tolerance, between, ok, lengths}: images with the expected answer, the largest
   * difference from the contract's lengths, and the largest from the reference's.
   */
  async check(golden, reference) {
    const { labels, lengths: expected, tolerance } = this.contract.golden;
    const size = golden.length / labels.length;
    const lengths = [];
    for (let image = 0; image < labels.length; image++) {
      lengths.push((await this.run(golden.subarray(image * size, (image + 1) * size))).lengths);
    }
    const largest = largestDifference(lengths, expected);
    const between = reference ? largestDifference(lengths, reference) : 0;
    const answers = (row) => longest(row, this.contract.labels).sort().join();
    const same = expected.filter((row, image) => answers(row) === answers(lengths[image])).length;
    // Written so that a length which is no number fails.
    const ok = same === labels.length && largest <= tolerance && between <= AGREEMENT;
    return { images: labels.length, same, largest, tolerance, between, ok, lengths };
  }
}

/** Start a back end, `wasm` or `webgpu`. */
async function startNetwork(backend, page) {
  const { contract } = page.facts;
  const parts = backend === "wasm" ? page.wasm : await webgpuParts();
  const library = await libraryFrom(parts);
  library.env.logLevel = "error";
  library.env.wasm.wasmBinary = (await fromBase64(parts.wasm, "gzip")).buffer;
  library.env.wasm.numThreads = backend === "wasm" ? threadsFor(contract) : 1;
  const session = await library.InferenceSession.create(page.model, {
    executionProviders: [backend],
    logSeverityLevel: 3,
  });
  const threads = library.env.wasm.numThreads;
  const label = backend === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  return new Network(library, session, contract, label);
}

/** The library as a module. It is in the page as text, since a page from the disk may not import a file. */
async function libraryFrom(parts) {
  const url = URL.createObjectURL(new Blob([await fromBase64(parts.script, "gzip")], { type: "text/javascript" }));
  return import(url); // not revoked: threads are started from it
}

/** Load the file beside the page that has WebGPU's library, if the browser has WebGPU. */
async function webgpuParts() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new UserError("This browser has no WebGPU here.");
  if (!globalThis.capsedgeWebgpu) {
    await new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "webgpu.js";
      script.onload = resolve;
      script.onerror = () =>
        reject(new UserError("The file webgpu.js is not beside the page, or the browser refuses it."));
      document.head.append(script);
    });
  }
  if (!globalThis.capsedgeWebgpu) throw new UserError("The file webgpu.js is cut off or damaged: get it again.");
  return globalThis.capsedgeWebgpu;
}

/** Number of threads: several need a page that is isolated from other sites, and pay for larger networks only. */
function threadsFor({ layers }) {
  const flops = layers.reduce((sum, layer) => sum + layer.flops, 0);
  const useful = 1 + Math.floor(flops / HAND_OFF_FLOPS);
  return globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1, useful) : 1;
}

/** The classes of the longest capsules, longest first; of two equal lengths the first class. */
function longest(lengths, number) {
  return Array.from(lengths, (_, label) => label)
    .sort((one, other) => lengths[other] - lengths[one] || one - other)
    .slice(0, number);
}

/** The largest difference of any two lengths; NaN if one is no number. */
function largestDifference(ours, theirs) {
  return Math.max(
    ...ours.map((row, image) =>
      Math.max(...Array.from(row, (length, label) => Math.abs(length - theirs[image][label]))),
    ),
  );
}
