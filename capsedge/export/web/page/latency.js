// Latency of a warm network in this browser, whose clock is coarse: a sample is the mean of as many runs as make it long
// against the clock's step.

const TAKEN = 50,
  WARM_UP = 10,
  STEPS_A_SAMPLE = 20;

/**
 * Measure a network on one image.
 *
 * Returns {median, p95, least, samples, runs}: milliseconds for an image, and the runs in each sample.
 */
async function measured(network, pixels) {
  const step = clockStep();
  const warm = async () => {
    const start = performance.now();
    for (let run = 0; run < WARM_UP; run++) await network.run(pixels);
    return (performance.now() - start) / WARM_UP;
  };
  const one = Math.max(Math.min(await warm(), await warm(), await warm()), 1e-3);
  const runs = Math.max(1, Math.ceil((STEPS_A_SAMPLE * step) / one));
  const samples = [];
  for (let sample = 0; sample < TAKEN; sample++) {
    const start = performance.now();
    for (let run = 0; run < runs; run++) await network.run(pixels);
    samples.push((performance.now() - start) / runs);
    await new Promise((resolve) => setTimeout(resolve)); // the page stays alive
  }
  return {
    median: median(samples),
    p95: percentile(samples, 95),
    least: Math.min(...samples),
    samples: TAKEN,
    runs,
    step,
  };
}

/** The smallest step of the browser's clock, in milliseconds. */
function clockStep() {
  const steps = Array.from({ length: 5 }, () => {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    return now - start;
  });
  return Math.min(...steps);
}
