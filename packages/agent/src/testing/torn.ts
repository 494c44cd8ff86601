import * as fc from "fast-check";

/** Where to cut a stream: as {@link tear} takes it. */
export const cuts = fc.array(fc.nat(), { maxLength: 12 });

/** A stream in the pieces that it falls into at some cuts. */
export function tear(stream: Buffer, at: readonly number[]): Buffer[] {
  const bounds = [0, ...at.map((cut) => cut % (stream.length + 1)), stream.length];
  bounds.sort((a, b) => a - b);
  return bounds.slice(1).map((end, index) => stream.subarray(bounds[index], end));
}
