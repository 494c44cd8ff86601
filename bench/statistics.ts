/** What a series of samples comes to. Quartiles, because a machine that others use has outliers. */
export interface Summary {
  count: number;
  median: number;
  /** First quartile. */
  low: number;
  /** Third quartile. */
  high: number;
  min: number;
  max: number;
  /** The samples themselves, in the order they were taken. */
  values: readonly number[];
}

/** @throws RangeError when there are no samples. */
export function summarise(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    median: quantile(sorted, 0.5),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
    min: quantile(sorted, 0),
    max: quantile(sorted, 1),
    values: samples,
  };
}

/** The value below which this share of the samples lies. @throws RangeError when there are none. */
export function quantileOf(samples: readonly number[], share: number): number {
  return quantile(
    samples.toSorted((a, b) => a - b),
    share,
  );
}

function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) throw new RangeError("there are no samples");
  return below + (above - below) * (at - Math.floor(at));
}

/** A straight line through points. */
export interface Trend {
  /** How much y grows for each x. */
  slope: number;
  /** Standard error of the slope. */
  error: number;
}

/**
 * The line of least squares.
 *
 * @throws RangeError for less than three points, or points of one x.
 */
export function trendOf(points: readonly (readonly [x: number, y: number])[]): Trend {
  const meanX = mean(points.map(([x]) => x));
  const meanY = mean(points.map(([, y]) => y));
  const spread = sum(points.map(([x]) => (x - meanX) ** 2));
  if (points.length < 3 || spread === 0) throw new RangeError("too few points for a trend");
  const slope = sum(points.map(([x, y]) => (x - meanX) * (y - meanY))) / spread;
  const rest = sum(points.map(([x, y]) => (y - meanY - slope * (x - meanX)) ** 2));
  return { slope, error: Math.sqrt(rest / (points.length - 2) / spread) };
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
