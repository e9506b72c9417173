// Medians, percentiles and rounding with NumPy's definitions.

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** A percentile, linear between two values. */
function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort();
  const place = (percent / 100) * (sorted.length - 1);
  const below = Math.floor(place),
    share = place - below;
  const low = sorted[below],
    high = sorted[Math.min(below + 1, sorted.length - 1)];
  return share < 0.5 ? low + (high - low) * share : high - (high - low) * (1 - share);
}

function mean(values) {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** The population's standard deviation. */
function deviation(values) {
  const middle = mean(values);
  return Math.sqrt(mean(Array.from(values, (value) => (value - middle) ** 2)));
}

/** The nearest integer; the even one where two are equally near. */
function roundEven(value) {
  const below = Math.floor(value),
    rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}
